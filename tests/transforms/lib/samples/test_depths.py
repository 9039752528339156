"""Every bit depth is seen as its 8 bits: by networks, the perceptual hash and the report alike."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from transforms.lib.errors import Notice
from transforms.lib.models import preprocessing, trained_with
from transforms.lib.samples import depths, images
from transforms.lib.samples.phash import phash

GREY = np.asarray(
    Image.fromarray(np.random.default_rng(7).integers(0, 255, (6, 8), np.uint8)).resize(
        (64, 48), Image.Resampling.BICUBIC
    )
)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], 2)
VIEW = preprocessing.view(dict(trained_with.PREPROCESS), 32)


def stored(image, kind, **more):
    sink = io.BytesIO()
    image.save(sink, kind, **more)
    return sink.getvalue()


def wide_png(values, colour_type):
    """Returns a PNG of 16 bits per channel, which Pillow writes of grey alone."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def wide(values):
    return values.astype(np.uint16) * 257


def pnm(magic, values, most):
    return magic + f" {values.shape[1]} {values.shape[0]} {most}\n".encode() + values.astype(">u2").tobytes()


def inverted_tiff():
    return stored(Image.fromarray(65535 - wide(GREY)), "TIFF", tiffinfo={262: 0})


CASES = {
    "png grey": (stored(Image.fromarray(wide(GREY)), "PNG"), "I;16", GREY),
    "tiff grey": (stored(Image.fromarray(wide(GREY)), "TIFF"), "I;16", GREY),
    "tiff packed": (stored(Image.fromarray(wide(GREY)), "TIFF", compression="tiff_lzw"), "I;16", GREY),
    "tiff inverted": (inverted_tiff(), "I;16", GREY),
    "jpeg 2000": (stored(Image.fromarray(wide(GREY)), "JPEG2000", irreversible=False), "I;16", GREY),
    "pgm": (pnm(b"P5", wide(GREY), 65535), "I;16", GREY),
    "pgm of 10 bits": (pnm(b"P5", GREY.astype(np.uint16) * 4, 1020), "I;16", GREY),
    "dark pgm": (pnm(b"P5", GREY.astype(np.uint16), 65535), "I;16", (GREY / 257 + 0.5).astype(np.uint8)),
    "ppm": (pnm(b"P6", wide(COLOUR), 65535), "RGB;16", COLOUR),
    "png colour": (wide_png(wide(COLOUR), 2), "RGB;16", COLOUR),
    "png grey, alpha": (wide_png(wide(np.stack([GREY, GREY], 2)), 4), "LA;16", np.stack([GREY] * 4, 2)),
    "12 bits in 16": (
        stored(Image.fromarray((GREY.astype(np.uint32) * 4095 // 255).astype(np.uint16)), "PNG"),
        "I;16",
        None,
    ),
    "whole numbers": (stored(Image.fromarray(GREY.astype(np.int32)), "TIFF"), "I;32", GREY),
    "large numbers": (stored(Image.fromarray(GREY.astype(np.int32) * 257), "TIFF"), "I;32", GREY),
    "floats to 1": (stored(Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"), "F;32", GREY),
    "floats to 255": (stored(Image.fromarray(GREY.astype(np.float32)), "TIFF"), "F;32", GREY),
}


@pytest.mark.parametrize("name", CASES)
def test_a_deep_image_is_its_8_bits_for_all_who_see_it(name):
    data, kind, expected = CASES[name]
    image = images.decode(data, notices=(notices := set()))
    assert notices == {Notice.IMAGE_DEPTH}
    if expected is None:  # the bits that are used do not divide
        expected = np.asarray(image)
        assert np.abs(expected.astype(int) - GREY).max() <= 1
    plain = Image.fromarray(expected)
    assert image.mode == plain.mode
    assert np.array_equal(np.asarray(image), expected)
    assert image.info[depths.SCALED] == kind
    assert np.array_equal(VIEW.pixels(image), VIEW.pixels(plain))
    assert phash(image) == phash(plain)
    assert images.thumbnail(data) == images.thumbnail(stored(plain, "PNG"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"])
def test_8_bits_and_less_stay_as_pillow_reads_them(mode):
    source = Image.fromarray(COLOUR).convert("L" if mode in ("LA", "PA") else "RGB").convert(mode)
    kind = "TIFF" if mode in ("PA", "CMYK") else "PNG"
    data = stored(source, kind)
    image, plain = images.decode(data), Image.open(io.BytesIO(data))
    assert image.mode == plain.mode
    assert np.array_equal(np.asarray(image), np.asarray(plain))
    assert depths.SCALED not in image.info


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_fewer_bits_reach_from_black_to_white(bits):
    levels = (np.arange(8) % 2**bits).astype(np.uint8)
    packed = np.packbits(((levels[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8)).tobytes()
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + packed)), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    image = images.decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert np.array_equal(np.asarray(image.convert("L"))[0], levels * (255 // (2**bits - 1)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[-100, 0, 101]], [[0, 127, 255]]),
        ([[0, 1 << 20]], [[0, 255]]),
        ([[7, 7]], [[7, 7]]),
        ([[-7, -7]], [[0, 0]]),
    ],
)
def test_values_outside_of_every_range_are_spread(values, expected):
    image = depths.eight_bits(Image.fromarray(np.array(values, np.int32)), "I")
    assert np.asarray(image).tolist() == expected


def test_what_is_no_number_is_black():
    values = np.array([[np.nan, np.inf, -np.inf, 0.5, 1.0, 0.0]], np.float32)
    assert np.asarray(depths.eight_bits(Image.fromarray(values), "F")).tolist() == [[0, 255, 0, 128, 255, 0]]
    nothing = Image.fromarray(np.full((1, 2), np.nan, np.float32))
    assert np.asarray(depths.eight_bits(nothing, "F")).tolist() == [[0, 0]]


def test_bands_of_a_large_image_join(monkeypatch):
    monkeypatch.setattr(depths, "_BAND_PX", 100)
    assert np.array_equal(np.asarray(images.decode(CASES["png grey"][0])), GREY)
