"""Images: every format, every kind of damage, limits before work, no warnings and no global state."""

import io
import random
import struct
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples.image_formats import IMAGE_EXTENSIONS, PILLOWS
from transforms.lib.samples.images import decode, image_of, thumbnail

FORMATS = {
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "tiff": "TIFF",
    "tif": "TIFF",
    "avif": "AVIF",
    **dict.fromkeys(("ppm", "pgm", "pbm", "pnm"), "PPM"),
    **dict.fromkeys(("jp2", "j2k"), "JPEG2000"),
}
LOSSLESS = {
    "webp": {"lossless": True},
    "avif": {"quality": 100, "subsampling": "4:4:4"},
    "jpg": {"quality": 100},
}


def picture(width=24, height=18, mode="RGB"):
    ramp = np.add.outer(np.arange(height) * 7, np.arange(width) * 5) % 256
    return Image.fromarray(ramp.astype(np.uint8)).convert(mode)


def encoded(image, form, **options):
    stored = io.BytesIO()
    image.save(stored, form, **options)
    return stored.getvalue()


def reason_of(call, *args, **options):
    with pytest.raises(SampleError) as caught:
        call(*args, **options)
    assert caught.value.detail
    return caught.value.reason


def outcome_of(data):
    try:
        image = decode(data, max_pixels=1_000_000)
    except SampleError as error:
        return error.reason
    return "decoded" if image.size[0] * image.size[1] <= 1_000_000 else "too large, decoded"


def png_header(width, height):
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    empty = zlib.compress(b"")
    body = b"IDAT" + empty
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(empty)) + body + struct.pack(">I", zlib.crc32(body))


def test_every_extension_is_tested():
    assert sorted(FORMATS) == sorted(PILLOWS)
    assert set(IMAGE_EXTENSIONS) - set(PILLOWS) == {"exr", "hdr", "dcm"}  # tests/tfio


@pytest.mark.parametrize("extension", PILLOWS)
def test_decodes_every_format(extension):
    source = picture()
    image = decode(encoded(source, FORMATS[extension], **LOSSLESS.get(extension, {})))
    assert image.size == (24, 18)
    difference = np.asarray(image.convert("RGB"), int) - np.asarray(source, int)
    assert np.abs(difference).max() <= 12


@pytest.mark.parametrize(
    ("form", "mode"),
    [
        ("PNG", "P"),
        ("PNG", "LA"),
        ("PNG", "I;16"),
        ("PNG", "1"),
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("GIF", "P"),
        ("WEBP", "RGBA"),
        ("TIFF", "F"),
    ],
)
def test_leaves_the_mode_alone(form, mode):
    source = picture().quantize(8) if mode == "P" else picture(mode="L").convert(mode)
    if mode == "RGBA":
        source.putalpha(77)
    assert decode(encoded(source, form)).mode == ("L" if mode in ("I;16", "F") else mode)  # test_depths has these


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_takes_the_first_frame(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    red, green, blue = decode(data).convert("RGB").getpixel((4, 4))
    assert red > 200
    assert max(green, blue) < 60


def test_the_content_decides_and_not_the_name():
    extension, data = image_of({"jpg": encoded(picture(), "PNG"), "txt": b"x"})
    assert extension == "jpg"
    assert decode(data).format == "PNG"


def test_prefers_extensions_in_order():
    members = dict.fromkeys(IMAGE_EXTENSIONS, b"")
    for extension in IMAGE_EXTENSIONS:
        assert image_of(members)[0] == extension
        del members[extension]
    assert reason_of(image_of, {"txt": b"x"}) is Reason.IMAGE_MISSING
    assert reason_of(image_of, {}) is Reason.IMAGE_MISSING


@pytest.mark.parametrize("form", sorted(set(FORMATS.values())))
def test_the_pixel_limit_is_exact_and_comes_before_decoding(form):
    data = encoded(picture(100, 90), form)
    assert decode(data, max_pixels=9000).size == (100, 90)
    assert reason_of(decode, data, max_pixels=8999) is Reason.IMAGE_TOO_LARGE
    if form not in ("WEBP", "AVIF", "TIFF"):  # those need the whole file to find their size
        assert reason_of(decode, data[:-50]) is Reason.IMAGE_UNDECODABLE
        assert reason_of(decode, data[:-50], max_pixels=10) is Reason.IMAGE_TOO_LARGE


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_too_large_and_warn_nobody(width, height):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(decode, png_header(width, height)) is Reason.IMAGE_TOO_LARGE


def test_a_gif_whose_frame_outgrows_its_screen_warns_nobody():
    screen = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 12_000, 10_000, 0) + b"\x02\x02\x44\x01\x00;"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason_of(decode, screen + frame) is Reason.IMAGE_TOO_LARGE


def test_a_larger_limit_than_pillows_own_is_honoured():
    data = encoded(Image.new("1", (20_000, 10_000)), "PNG")
    assert decode(data, max_pixels=300_000_000).size == (20_000, 10_000)


@pytest.mark.parametrize("form", sorted(set(FORMATS.values())))
def test_cut_images_are_undecodable(form):
    data = encoded(picture(64, 64), form)
    for cut in {0, 1, 4, 12, 20, 40, len(data) // 2, len(data) * 3 // 4}:
        assert reason_of(decode, data[:cut]) is Reason.IMAGE_UNDECODABLE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>404</html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"%PDF-1.4\n",
        b"\xff\xd8\xff",
        b"BM" + bytes(100),
        b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\nabc",
        encoded(picture(), "ICO"),
        encoded(picture(), "TGA"),
    ],
)
def test_other_formats_never_reach_a_reader(data):
    assert reason_of(decode, data) is Reason.IMAGE_UNDECODABLE


def test_images_without_pixels_are_undecodable():
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:22] = bytes(4)
    assert reason_of(decode, bytes(bmp)) is Reason.IMAGE_UNDECODABLE
    assert reason_of(decode, png_header(0, 5)) is Reason.IMAGE_UNDECODABLE


@pytest.mark.parametrize("form", sorted(set(FORMATS.values())))
def test_flipped_bits_decode_or_have_a_reason(form):
    chance = random.Random(form)
    data = encoded(picture(32, 32), form)
    outcomes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(400):
            damaged = bytearray(data)
            top = len(data) if number % 2 else min(len(data), 120)
            for _ in range(1 + number % 5):
                damaged[chance.randrange(top)] = chance.randrange(256)
            outcomes.add(outcome_of(bytes(damaged)))
    assert {"decoded", Reason.IMAGE_UNDECODABLE} <= outcomes
    assert outcomes <= {"decoded", Reason.IMAGE_UNDECODABLE, Reason.IMAGE_TOO_LARGE}


def test_changes_no_global_state_from_many_threads():
    good, bad = encoded(picture(), "PNG"), png_header(10_000, 10_000)
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    sizes = []

    def work():
        for _ in range(50):
            sizes.append(decode(good).size)
            reason_of(decode, bad)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [(24, 18)] * 200
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


def test_one_thread_at_a_time_sets_the_warning_filters_aside(monkeypatch):
    inside, most = [], []
    original = PngImagePlugin.PngImageFile._open

    def slow_open(self):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.003)
        inside.pop()
        original(self)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "_open", slow_open)
    data = encoded(picture(), "PNG")
    threads = [threading.Thread(target=decode, args=(data,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"])
def test_thumbnails_of_every_mode_are_small_jpegs(mode):
    source = picture(640, 200).quantize(8) if mode == "P" else picture(640, 200, "L").convert(mode)
    stored = thumbnail(encoded(source, "TIFF"))
    assert stored == thumbnail(encoded(source, "TIFF"))
    image = Image.open(io.BytesIO(stored))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (160, 50))
    low, high = image.convert("L").getextrema()
    assert high - low > 100


@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_thumbnails_of_print_and_float_images(form):
    source = picture(320, 320).convert("F") if form == "TIFF" else picture(320, 320).convert("CMYK")
    assert Image.open(io.BytesIO(thumbnail(encoded(source, form), 40))).size == (40, 40)


def test_thumbnails_stand_on_white_and_are_not_enlarged():
    image = Image.open(io.BytesIO(thumbnail(encoded(Image.new("RGBA", (9, 5), (0, 0, 0, 0)), "PNG"))))
    assert image.size == (9, 5)
    assert min(image.getpixel((4, 2))) > 250
    assert Image.open(io.BytesIO(thumbnail(encoded(Image.new("L", (3000, 1)), "PNG")))).size == (160, 1)
    assert reason_of(thumbnail, b"x") is Reason.IMAGE_UNDECODABLE


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"input.jpg": b"x", "outputs.txt": b"y"}, "input.jpg"),
        ({"img": encoded(picture(), "PNG"), "cap": b"y"}, "img"),
        ({"img": encoded(picture(), "PNG"), "note": b"BMW in the snow", "label": b"P5 is a road"}, "img"),
        ({"thumb.jpg": b"x", "img": encoded(picture(), "PNG")}, "thumb.jpg"),  # names come before bytes
    ],
)
def test_an_image_under_another_name_is_found_where_it_is_the_only_one_and_noticed(members, expected):
    notices = set()
    assert image_of(members, notices=notices) == (expected, members[expected])
    assert notices == {Notice.IMAGE_MEMBER}


def test_of_several_images_under_other_names_none_is_taken_unless_it_is_named():
    members = {"left.jpg": b"x", "right.jpg": b"y", "txt": b"z"}
    assert reason_of(image_of, members) is Reason.IMAGE_MISSING
    assert image_of(members, "right.jpg") == ("right.jpg", b"y")
    assert reason_of(image_of, {**members, "jpg": b"z"}, "img") is Reason.IMAGE_MISSING
