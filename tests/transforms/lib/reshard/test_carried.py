"""Which members an output carries, under which names, and what loaders make of them."""

import hashlib
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from transforms.lib.reshard import readers
from transforms.lib.reshard.carried import ALL, AS_STORED, FOR_LOADERS, Carried, is_pickle
from transforms.lib.reshard.held import Counting, Held


def array(values):
    sink = io.BytesIO()
    np.save(sink, values, allow_pickle=True)
    return sink.getvalue()


def held(*samples):
    counting = Counting()
    for members in samples:
        counting.add(*FOR_LOADERS.of(members))
    return Held.of([counting.counts()])


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "avif", "jp2", "ppm", "exr"])
def test_an_image_of_any_format_has_one_name_and_its_bytes(extension):
    members = [("cls", b"7"), (extension, b"image"), ("txt", b"a thing")]
    assert FOR_LOADERS.of(members) == ([("cls", b"7"), ("jpg", b"image"), ("txt", b"a thing")], ())
    assert Carried(image_name="keep").of(members) == (members, ())


def test_the_image_of_several_is_renamed_and_no_member_is_lost():
    members = [("tif", b"1"), ("png", b"2"), ("webp", b"3")]
    assert FOR_LOADERS.of(members)[0] == [("tif", b"1"), ("jpg", b"2"), ("webp", b"3")]


@pytest.mark.parametrize("extension", ["pyd", "pickle", "pkl", "pth", "pt", "feature.pyd", "a.b.pkl"])
def test_a_pickle_is_left_out_and_named_unless_it_is_listed(extension):
    members = [("jpg", b"1"), (extension, pickle.dumps({})), ("txt", b"x")]
    assert FOR_LOADERS.of(members) == ([("jpg", b"1"), ("txt", b"x")], (extension,))
    assert Carried((extension.rpartition(".")[2],)).of(members) == (members, ())
    assert AS_STORED.of(members) == (members, ())


def test_an_array_of_objects_is_a_pickle_and_one_of_numbers_is_not():
    assert is_pickle("npy", array(np.array([{}, 1], object)))
    assert is_pickle("npy", array(np.array([(1, "x")], [("a", "i4"), ("b", object)])))
    assert not is_pickle("emb.npy", array(np.zeros(3, np.float32)))
    assert not is_pickle("npy", array(np.array(["O", "'O'"])))


def test_a_list_carries_what_it_names_beside_image_and_caption():
    members = [("jpg", b"1"), ("txt", b"x"), ("json", b"{}"), ("cls", b"7"), ("pyd", b"p")]
    assert Carried(("json",)).of(members) == (members[:3], ())
    assert Carried((ALL,)).of(members) == (members, ())


def test_a_sample_without_an_image_keeps_its_members():
    assert FOR_LOADERS.of([("txt", b"x")]) == ([("txt", b"x")], ())


def test_names_of_members_are_counted_to_a_bound():
    samples = [[("jpg", picture(1)), (f"name{number}", b"")] for number in range(500)]
    found = held(*samples)
    assert found.images == {("jpg", "jpeg"): 500}
    assert len(found.members) == 100


def test_an_output_that_every_loader_takes_has_no_warning():
    pool = [[("gif", picture(1, "GIF")), ("txt", b"x")], [("webp", picture(2, "WEBP")), ("txt", b"y")]]
    assert readers.warnings("webdataset", [2], held(*pool)) == []


@pytest.mark.parametrize(("sizes", "said"), [([7, 7, 3], "1 of 3 shards"), ([8, 8, 4], ""), ([3], ""), ([], "")])
def test_a_shard_of_less_than_half_the_samples_of_others_is_said(sizes, said):
    pool = [[("jpg", picture(1)), ("txt", b"x")]] * sum(sizes)
    lines = readers.warnings("webdataset", sizes, held(*pool))
    assert len(lines) == bool(said)
    assert all(line.startswith(said) and "--spread_remainder true" in line for line in lines)
    assert readers.warnings("parquet", sizes, held(*pool)) == []


def test_what_a_loader_leaves_out_is_counted():
    counting = Counting()
    for members in (
        [("jpg", picture(1)), ("txt", b"x"), ("json", b"{}")],
        [("gif", picture(1, "GIF")), ("txt", b"x")],
        [("bmp", picture(1, "BMP"))],
        [("txt", b"x")],
        [("png", b"no image"), ("txt", b"x")],
    ):
        counting.add(members, ["pyd"])
    lines = readers.warnings("webdataset", [5], Held.of([counting.counts()]))
    for text in (
        "1 images are of the format unknown", "open_clip leaves out 2 images, 1 .bmp, 1 .gif; give --image_name jpg",
        "open_clip leaves out 1 samples without image", "open_clip leaves out 1 samples without .txt",
        "takes images of one name; there are 1 .bmp, 1 .gif, 1 .jpg, 1 .png", "1 .json, 4 .txt of 5 samples",
        "5 members .pyd were left out",
    ):  # fmt: skip
        assert any(text in line for line in lines), (text, lines)
    assert len(readers.warnings("parquet", [5], Held.of([counting.counts()]))) == 2


def stored(image, kind, **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


@pytest.mark.parametrize("wanted", ["jpg", "webp"])
@pytest.mark.parametrize("extension", ["png", "gif", "bmp", "tif", "jpg", "webp"])
def test_images_of_other_formats_are_encoded_again_and_the_json_says_so(wanted, extension):
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(extension, extension.upper())
    before = picture(3, kind)
    found = dict(Carried(image_type=wanted).of([(extension, before), ("json", b'{"uid": "x"}')]).members)
    assert list(found) == [wanted, "json"]
    assert Image.open(io.BytesIO(found[wanted])).format == {"jpg": "JPEG", "webp": "WEBP"}[wanted]
    if extension == wanted:
        assert found == {wanted: before, "json": b'{"uid": "x"}'}
        return
    difference = np.asarray(Image.open(io.BytesIO(found[wanted]))).astype(int)
    difference -= np.asarray(Image.open(io.BytesIO(before)).convert("RGB"))
    assert np.abs(difference).mean() < 10  # a picture of squares, whose edges JPEG blurs
    assert json.loads(found["json"]) == {
        "uid": "x", "original_image_format": kind.lower(),
        "original_image_sha256": hashlib.sha256(before).hexdigest(),
    }  # fmt: skip


def test_transparent_parts_become_white():
    clear = stored(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG")
    palette = stored(Image.new("P", (8, 8), 0), "PNG", transparency=0)
    for data in (clear, palette):
        found = dict(Carried(image_type="jpg").of([("png", data)]).members)
        assert np.asarray(Image.open(io.BytesIO(found["jpg"]))).min() == 255


def test_what_cannot_be_decoded_keeps_its_bytes_and_name():
    members = [("exr", b"\x76\x2f\x31\x01rest"), ("txt", b"x")]
    assert Carried(image_type="jpg").of(members) == (members, ())


def test_an_image_too_wide_for_the_format_stays():
    wide = stored(Image.new("L", (16384, 1)), "PNG")
    assert Carried(image_type="webp").of([("png", wide)]).members == [("png", wide)]
