"""Formats that Pillow cannot read, where tensorflow-io is not: recognised, measured, rejected with the hint."""

import ast
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from tests.transforms.lib import rareimages
from transforms.lib.errors import Reason, SampleError
from transforms.lib.inference import prefetch
from transforms.lib.samples import images, tfio_formats
from transforms.lib.samples.index_row import ReadRules

LIGHT = np.zeros((5, 7, 3), np.float32)
RARE = {
    "OpenEXR": rareimages.exr(LIGHT),
    "HDR": rareimages.hdr(7, 5),
    "DICOM": rareimages.dicom(np.zeros((5, 7), "<u2")),
}
PNM = {
    b"P1\n3 2\n1 0 1\n0 1 0\n": "1",
    b"P2\n3 2\n255\n1 2 3 4 5 6\n": "L",
    b"P3\n3 2\n255\n" + b"1 2 3 " * 6: "RGB",
    b"P4\n3 2\n\xa0\x40": "1",
    b"P5\n3 2\n255\nabcdef": "L",
    b"P6\n3 2\n255\n" + b"abc" * 6: "RGB",
}


@pytest.mark.parametrize("kind", RARE)
def test_they_are_rejected_with_the_cure(kind):
    assert tfio_formats.kind_of(RARE[kind]) == kind
    assert tfio_formats.size_of(kind, RARE[kind]) == (7, 5)
    done = prefetch.decode(RARE[kind], ReadRules(), [])
    assert done.error.reason == Reason.IMAGE_UNDECODABLE
    assert done.error.detail == (
        f"{kind}, which Pillow does not read; give --tfio_python, the python of an environment with tensorflow-io "
        "(docs/scoring.md)"
    )


@pytest.mark.parametrize("kind", RARE)
def test_a_header_that_does_not_say_the_size_is_rejected_before_anything_is_started(kind):
    for end in (20, 60, 140):
        cut = RARE[kind][:end]
        if tfio_formats.kind_of(cut) == kind and tfio_formats.size_of(kind, cut) == (0, 0):
            with pytest.raises(SampleError, match="0 x 0 pixels"):
                images.decode(cut, others=sys.executable)


@pytest.mark.skipif(bool(tfio_formats.python_here()), reason="tensorflow-io is here")
def test_a_python_without_it_is_refused_at_the_start(winnow, small_pool, tiny_network, tmp_path):
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    for python, why in ((sys.executable, "ModuleNotFoundError"), ("/no/python", "No such file")):
        code, _, err = winnow("score", *args, "--tfio_python", python)
        assert code == 2
        assert f"--tfio_python {python}" in err
        assert why in err


@pytest.mark.skipif(bool(tfio_formats.python_here()), reason="tensorflow-io is here")
def test_a_worker_that_lacks_what_the_start_had_fails_loudly():
    with pytest.raises(RuntimeError, match=r"tensorflow-io cannot be started: ModuleNotFoundError"):
        images.decode(RARE["HDR"], others=sys.executable)


@pytest.mark.parametrize("data", PNM, ids=lambda data: data[:2].decode())
def test_pnm_is_read_by_pillow(data):
    image = images.decode(data)
    assert (image.mode[0], image.size) == (PNM[data][0], (3, 2))
    assert np.array_equal(np.asarray(image), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.skipif(not features.check("jpg_2000"), reason="a Pillow without OpenJPEG")
def test_jpeg_2000_is_read_by_pillow_where_it_can(monkeypatch):
    data = rareimages.jpeg_2000(64, 48)
    assert np.array_equal(np.asarray(images.decode(data)), np.asarray(rareimages.picture(64, 48)))
    assert tfio_formats.size_of("JPEG 2000", data) == (64, 48)
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(SampleError, match="JPEG 2000, which Pillow does not read"):
        images.decode(data)


def test_only_one_module_imports_tensorflow():
    root = Path(__file__).parents[4]
    importing = set()
    for path in [*root.glob("transforms/**/*.py"), *root.glob("beam_pipelines/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("tensorflow") for name in names):
                importing.add(path.name)
    assert importing == {"tfio_process.py"}
    code = "import sys, transforms.lib.samples.images; print(any(m.startswith('tensorflow') for m in sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
