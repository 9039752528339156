"""The perceptual hash against scipy's transform, and what it shrugs off."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dct

from tests.conftest import picture
from transforms.lib.errors import SampleError
from transforms.lib.samples import images, phash

SIDE = 32


def oracle(pixels):
    """Returns the bits of the definition, with scipy's floating point transform (whose terms are twice as large)."""
    low = dct(dct(pixels.astype(float), axis=0), axis=1)[:8, :8] / 4
    return [bool(bit) for bit in (low > np.median(low) + 64).ravel()]


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_definition(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    found = phash.bits_of(pixels)
    assert [bool(found >> (63 - bit) & 1) for bit in range(64)] == oracle(pixels)


def test_known_hashes_stay():
    """Files written once are compared with files of years later: the bits may never change unnoticed."""
    pixels = (np.multiply.outer(np.arange(SIDE), np.arange(SIDE)) % 251).astype(np.uint8)
    assert f"{phash.bits_of(pixels):016x}" == "803f78636c495255"


def distance(one, other):
    return (phash.phash(one) ^ phash.phash(other)).bit_count()


def jpeg(image, quality):
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality)
    return images.decode(sink.getvalue())


@pytest.mark.parametrize("seed", range(10))
def test_a_copy_that_was_resized_and_encoded_again_is_near(seed):
    image = images.decode(picture(seed)).resize((300, 240), Image.Resampling.BICUBIC)
    others = [images.decode(picture(seed + 100)).resize((300, 240)), jpeg(image.resize((270, 216)), 70)]
    assert distance(image, others[1]) <= 2
    assert distance(image, jpeg(image.resize((600, 480)), 50)) <= 2
    assert distance(image, others[0]) > 8


def test_a_symmetric_picture_has_no_bits_of_noise():
    flag = Image.new("RGB", (172, 99), "white")
    flag.paste((0, 50, 120), (0, 40, 172, 59))
    flag.paste((0, 50, 120), (76, 0, 96, 99))
    assert distance(flag, jpeg(flag.resize((154, 89)), 70)) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_every_mode_has_a_hash(mode):
    assert 0 <= phash.phash(Image.new(mode, (5, 3))) < 1 << 64


def test_transparent_is_white_whatever_colour_lies_under_it():
    hidden = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    hidden.paste((0, 0, 0, 255), (10, 5, 30, 20))
    seen = Image.new("RGB", (40, 40), "white")
    seen.paste((0, 0, 0), (10, 5, 30, 20))
    assert distance(hidden, seen) == 0


def test_one_colour_is_one_hash():
    assert {phash.phash(Image.new("RGB", (50, 40), c)) for c in ("red", "white", "#010101")} == {1 << 63}
    assert phash.phash(Image.new("L", (1, 900))) == 0


def test_a_mode_without_a_way_to_grey_is_named():
    with pytest.raises(SampleError, match="image_undecodable: mode LAB"):
        phash.phash(Image.new("LAB", (4, 4)))


def test_many_small_images_at_once_have_the_hashes_of_each_alone():
    random = np.random.default_rng(3)
    small = [random.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(20)]
    for _ in range(20):
        cells = Image.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        small.append(np.asarray(cells.resize((64, 64), Image.Resampling.BICUBIC)))
    small += [np.full((64, 64, 3), level, np.uint8) for level in (0, 1, 128, 255)]
    assert phash.hashes_of(np.stack(small)) == [phash.phash(Image.fromarray(one)) for one in small]
