"""What networks see: encoded files of every kind give open_clip's own pixels; `fast` differs a little and says so."""

import io

import numpy as np
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from transforms.lib.errors import Reason, SampleError
from transforms.lib.models import preprocessing, resolve, trained_with
from transforms.lib.samples import images

SHORTEST = dict(trained_with.PREPROCESS)
LONGEST = {**SHORTEST, "resize_mode": "longest", "fill_color": 255}
SQUASH = {**SHORTEST, "resize_mode": "squash", "interpolation": "bilinear"}


def smooth(width, height, seed=0):
    cells = np.random.default_rng(seed).integers(0, 255, (5, 5, 4), dtype=np.uint8)
    return Image.fromarray(cells, "RGBA").resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind, **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(smooth(90, 50).convert("RGB"), "JPEG", exif=exif)


def sixteen_bits(width, height):
    return Image.fromarray(np.random.default_rng(0).integers(0, 65535, (height, width)).astype(np.uint16))


FILES = {
    **{f"jpeg turned by exif {n}": turned(n) for n in (1, 2, 3, 6, 8)},
    "jpeg": encoded(smooth(300, 200).convert("RGB"), "JPEG"),
    "jpeg grey": encoded(smooth(90, 50).convert("L"), "JPEG"),
    "jpeg cmyk": encoded(smooth(90, 50).convert("RGB").convert("CMYK"), "JPEG"),
    "jpeg progressive": encoded(smooth(90, 50).convert("RGB"), "JPEG", progressive=True),
    "png alpha": encoded(smooth(90, 50), "PNG"),
    "png grey and alpha": encoded(smooth(90, 50).convert("LA"), "PNG"),
    "png palette": encoded(smooth(90, 50).convert("RGB").convert("P"), "PNG"),
    "png palette, one colour clear": encoded(smooth(90, 50).convert("RGB").convert("P"), "PNG", transparency=3),
    "png rgb, one colour clear": encoded(smooth(90, 50).convert("RGB"), "PNG", transparency=(1, 2, 3)),
    "png 16 bit": encoded(sixteen_bits(90, 50), "PNG"),
    "png 1 bit": encoded(smooth(90, 50).convert("1"), "PNG"),
    "tiff cmyk": encoded(smooth(90, 50).convert("RGB").convert("CMYK"), "TIFF"),
    "tiff 16 bit": encoded(sixteen_bits(90, 50), "TIFF"),
    "webp alpha": encoded(smooth(90, 50), "WEBP"),
    "gif": encoded(smooth(90, 50).convert("RGB").convert("P"), "GIF"),
    "bmp": encoded(smooth(90, 50).convert("RGB"), "BMP"),
    "1 x 1": encoded(smooth(1, 1).convert("RGB"), "JPEG"),
    "1 x 40": encoded(smooth(1, 40).convert("RGB"), "PNG"),
    "40 x 1": encoded(smooth(40, 1), "PNG"),
}


@pytest.mark.parametrize("preprocess", [SHORTEST, LONGEST, SQUASH], ids=["shortest", "longest", "squash"])
@pytest.mark.parametrize("name", [name for name in FILES if "16 bit" not in name])  # open_clip shows them nearly white
def test_exact_is_open_clips_own_transform_of_the_file_to_the_bit(name, preprocess):
    own = image_transform_v2(PreprocessCfg(size=32, **preprocess), is_train=False)
    expected = own(Image.open(io.BytesIO(FILES[name]))).numpy()
    seen = preprocessing.view(preprocess, 32).pixels(images.decode(FILES[name]))
    mean, std = (np.array(preprocess[what], np.float32) for what in ("mean", "std"))
    ours = ((seen.astype(np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)
    assert np.array_equal(ours, expected)


def test_exif_orientation_changes_nothing_as_in_open_clip():
    seen = [preprocessing.view(SHORTEST, 32).pixels(images.decode(turned(n))) for n in (1, 6)]
    assert np.array_equal(*seen)


@pytest.mark.parametrize("name", FILES)
def test_fast_equals_exact_where_nothing_can_be_skipped(name):
    exact, fast = preprocessing.view(SHORTEST, 32), preprocessing.view(SHORTEST, 32, "fast")
    image, size = images.decode_scaled(FILES[name], fast.least)
    whole = images.decode(FILES[name])
    assert size == whole.size
    if image.size == whole.size:
        assert np.array_equal(fast.pixels(image), exact.pixels(whole))
    else:
        assert name == "jpeg"


@pytest.mark.parametrize(
    ("size", "preprocess", "kept"),
    [
        ((512, 512), SHORTEST, (256, 256)),
        ((447, 900), SHORTEST, (447, 900)),
        ((448, 900), SHORTEST, (224, 450)),
        ((447, 900), LONGEST, (112, 225)),
        ((2000, 1800), SHORTEST, (250, 225)),
    ],
)
def test_fast_decodes_at_the_least_size_that_is_no_smaller_than_the_view(size, preprocess, kept):
    data = encoded(smooth(*size).convert("RGB"), "JPEG")
    view = preprocessing.view(preprocess, 224, "fast")
    image, whole = images.decode_scaled(data, view.least)
    assert whole == size
    assert image.size == kept
    exact = preprocessing.view(preprocess, 224).pixels(images.decode(data)).astype(int)
    assert np.abs(view.pixels(image) - exact).mean() < 2


def test_a_cut_jpeg_is_rejected_however_it_is_decoded():
    data = encoded(smooth(600, 500).convert("RGB"), "JPEG")[:-2000]
    for call in (lambda: images.decode(data), lambda: images.decode_scaled(data, (224, False))):
        with pytest.raises(SampleError) as caught:
            call()
        assert caught.value.reason == Reason.IMAGE_UNDECODABLE


def test_a_view_is_named_after_its_pixels_alone():
    name = preprocessing.view(SHORTEST, 32).name
    assert preprocessing.view({**SHORTEST, "mean": [0.5] * 3}, 32).name == name
    assert len({name, preprocessing.view(SHORTEST, 64).name, preprocessing.view(SHORTEST, 32, "fast").name}) == 3
    assert len({name, preprocessing.view(LONGEST, 32).name, preprocessing.view(SQUASH, 32).name}) == 3


def test_the_variant_is_part_of_a_models_fingerprint(tiny_network):
    parsed = resolve.parse_model(str(tiny_network))
    exact, fast = resolve.resolve(parsed), resolve.resolve(parsed, variant="fast")
    assert exact.preprocess != fast.preprocess
    assert (exact.variant, fast.variant) == ("exact", "fast")


@pytest.mark.parametrize("size", [(2000, 5), (5, 2000), (4000, 1), (1, 4000), (1, 1)])
def test_a_scaled_decode_leaves_a_pixel_of_the_shorter_side(size):
    data = encoded(smooth(*size).convert("RGB"), "JPEG")
    image, whole = images.decode_scaled(data, preprocessing.view(LONGEST, 32, "fast").least)
    assert whole == size
    assert min(image.size) >= 1
