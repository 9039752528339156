"""What Pillow cannot read, read by the real tensorflow-io through the process that runs it. Run by `make test-tfio`."""

import sys

import numpy as np
import pytest

from tests.transforms.lib import rareimages
from transforms.lib.errors import Reason, SampleError
from transforms.lib.inference import prefetch
from transforms.lib.samples import images, tfio_formats
from transforms.lib.samples.index_row import ReadRules

LIGHT = np.random.default_rng(0).random((5, 7, 3)).astype(np.float32)


def srgb(light):
    """IEC 61966-2-1, one value at a time."""
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


def test_it_is_found():
    assert tfio_formats.python_here() == sys.executable


def test_openexr_becomes_srgb():
    image = images.decode(rareimages.exr(LIGHT), others=sys.executable)
    assert (image.mode, image.size) == ("RGB", (7, 5))
    assert np.abs(np.asarray(image).astype(int) - np.vectorize(srgb)(LIGHT)).max() <= 1


def test_openexr_with_brightness_alone_is_grey():
    image = images.decode(rareimages.exr(LIGHT[:, :, :1], "Y"), others=sys.executable)
    assert (image.mode, image.size) == ("L", (7, 5))


def test_radiance_hdr_becomes_srgb():
    image = images.decode(rareimages.hdr(7, 5), others=sys.executable)
    assert (image.mode, image.size) == ("RGB", (7, 5))
    assert np.asarray(image)[2, 3].tolist() == [srgb(1.0), srgb(0.5), srgb(0.25)]


def test_dicom_goes_from_darkest_to_brightest():
    grey = np.arange(35, dtype="<u2").reshape(5, 7) * 50 + 300
    image = images.decode(rareimages.dicom(grey), others=sys.executable)
    assert (image.mode, image.size) == ("L", (7, 5))
    assert np.abs(np.asarray(image) - (grey.astype(float) - 300) * 255 / 1700).max() <= 1


def test_a_damaged_file_costs_itself_alone():
    """tensorflow-io's OpenEXR reader ends its process on this one; the next image is decoded all the same."""
    whole = rareimages.exr(LIGHT)
    for bad in (whole[:-300], rareimages.hdr(7, 5)[:20], rareimages.dicom(np.zeros((5, 7), "<u2"))[:200]):
        with pytest.raises(SampleError) as caught:
            images.decode(bad, others=sys.executable)
        assert caught.value.reason == Reason.IMAGE_UNDECODABLE
        assert images.decode(whole, others=sys.executable).size == (7, 5)


def test_size_is_checked_in_the_header():
    for data in (rareimages.exr(LIGHT), rareimages.hdr(7, 5), rareimages.dicom(np.zeros((5, 7), "<u2"))):
        with pytest.raises(SampleError) as caught:
            images.decode(data, max_pixels=34, others=sys.executable)
        assert caught.value.reason == Reason.IMAGE_TOO_LARGE


def test_a_sample_is_decoded_as_any_other():
    done = prefetch.decode(rareimages.hdr(70, 50), ReadRules(others=sys.executable), [])
    assert (done.width, done.height, done.error) == (70, 50, None)
    assert done.phash == 1 << 63


def test_jpeg_2000_for_a_pillow_that_lacks_it():
    pixels = np.asarray(rareimages.picture(64, 48))
    found = tfio_formats.decode("JPEG 2000", rareimages.jpeg_2000(64, 48), sys.executable)
    assert np.array_equal(np.asarray(found), pixels)
