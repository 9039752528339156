"""What `winnow reshard` carries of each sample, what it says of the rest, and that `verify` agrees."""

import json
import pickle

import pytest

from tests.beam_pipelines.test_reshard import read_shards, uid_of, write_subset
from tests.conftest import picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP"}


@pytest.fixture
def copied(winnow, tmp_path):
    """Returns a function that copies a pool of four formats, each sample with a pickle, by flags."""
    tar = b""
    for number, (extension, kind) in enumerate(FORMATS.items()):
        members = {
            extension: picture(number, kind), "pyd": pickle.dumps({}), "txt": b"a thing",
            "json": json.dumps({"uid": uid_of(number)}).encode(),
        }  # fmt: skip
        tar += b"".join(write_member(f"{number:04d}.{name}", data) for name, data in members.items())
    (tmp_path / "pool.tar").write_bytes(tar + END_OF_ARCHIVE)
    listed = write_subset(tmp_path / "s.npy", sorted(uid_of(number) for number in range(4)))

    def run(*flags):
        out = tmp_path / "out"
        source = ["--input", tmp_path / "pool.tar", "--subset", listed]
        code, _, stderr = winnow("reshard", *source, "--output", out, *flags)
        return code, stderr, out

    return run


def sample(out, number, form="webdataset"):
    return dict(read_shards(out / "shards", form)[0])[f"{uid_of(number)}-0"]


def test_images_have_one_name_and_pickles_are_left_out_and_said(winnow, copied):
    code, stderr, out = copied()
    assert code == 0, stderr
    assert "warning: 4 members .pyd were left out" in stderr
    assert "open_clip" not in stderr
    for number, kind in enumerate(FORMATS.values()):
        assert sample(out, number)["jpg"] == picture(number, kind)
        assert set(sample(out, number)) == {"jpg", "txt", "json"}
    assert winnow("verify", "--output", out)[0] == 0


def test_names_and_pickles_are_kept_where_the_user_says_so(winnow, copied):
    code, stderr, out = copied("--image_name", "keep", "--carry", "all")
    assert code == 0, stderr
    assert "warning: open_clip leaves out 1 images, 1 .gif; give --image_name jpg" in stderr
    assert set(sample(out, 2)) == {"gif", "txt", "json", "pyd"}
    assert winnow("verify", "--output", out)[0] == 0


def test_a_table_keeps_the_names_of_formats(winnow, copied):
    code, stderr, out = copied("--format", "parquet")
    assert code == 0, stderr
    assert set(sample(out, 2, "parquet")) == {"gif", "txt", "json"}
    assert winnow("verify", "--output", out)[0] == 0


@pytest.mark.parametrize("form", ["webdataset", "parquet", "tfrecord"])
def test_images_are_encoded_again_on_request(winnow, copied, form):
    code, stderr, out = copied("--image_type", "jpg", "--format", form)
    assert code == 0, stderr
    assert all(sample(out, number, form)["jpg"].startswith(b"\xff\xd8") for number in range(4))
    assert sample(out, 0, form)["jpg"] == picture(0)
    assert json.loads(sample(out, 1, form)["json"])["original_image_format"] == "png"
    assert winnow("verify", "--output", out)[0] == 0


def test_what_cannot_be_meant_is_said_before_any_work(copied):
    code, stderr, out = copied("--carry", "json,,cls", "--image_type", "gif", "--image_name", "image")
    assert code == 2
    for text in ("--carry must be extensions separated by commas", "--image_type must be keep, jpg or webp, got 'gif'"):
        assert text in stderr
    assert "--image_name must be jpg or keep" in stderr
    assert not out.exists()
