import io

import numpy as np
import pytest
from PIL import Image

from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import faces


def smooth(mode="RGB"):
    """Returns a picture of slow waves, 200 x 100, as PNG."""
    x, y = np.meshgrid(np.arange(200), np.arange(100))
    pixels = np.stack([127 + 100 * np.sin(x / 9), 127 + 100 * np.cos(y / 8), 127 + 60 * np.sin((x + y) / 7)], -1)
    sink = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(sink, "PNG")
    return sink.getvalue()


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_face_is_blurred_and_the_rest_stays():
    before, after = pixels(smooth()), pixels(faces.blur(smooth(), [(0.25, 0.2, 0.55, 0.8)]))
    assert after.shape == before.shape
    inside = (slice(35, 65), slice(70, 90))
    assert after[inside].std() < 0.7 * before[inside].std()
    far = np.ones(before.shape[:2], bool)
    far[:, 20:140] = False
    assert np.abs(after - before)[far].mean() < 3  # WebP at quality 100


def test_equal_input_gives_equal_bytes():
    assert faces.blur(smooth(), [(0, 0, 1, 1)]) == faces.blur(smooth(), [(0, 0, 1, 1)])


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1"])
def test_every_mode_comes_out_as_webp(mode):
    image = Image.open(io.BytesIO(faces.blur(smooth(mode), [(0.1, 0.1, 0.4, 0.4)])))
    assert (image.format, image.size) == ("WEBP", (200, 100))


def test_boxes_are_clipped_and_empty_ones_left_out():
    assert faces.boxes_of(None) == []
    assert faces.boxes_of([[-0.5, 0.25, 0.5, 1.5], [0.5, 0.5, 0.5, 0.9], [2, 2, 3, 3]]) == [(0, 0.25, 0.5, 1)]


@pytest.mark.parametrize("value", ["x", [[1, 2, 3]], [["a", 0, 0, 1]], 7, [[0, 0, 1, float("nan")]], [None]])
def test_anything_else_is_refused(value):
    with pytest.raises(SampleError) as caught:
        faces.boxes_of(value)
    assert caught.value.reason is Reason.JSON_INVALID
