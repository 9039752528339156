"""One pool with every type of image that people have, curated once; what each reader makes of it is compared with it.

Run by `make test-loaders`, in an environment that has the readers.
"""

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"

ROOT = Path(__file__).parents[2]
FORMATS = ("webdataset", "parquet", "tfrecord")
TYPES = {
    "jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tif": "TIFF",
    "avif": "AVIF", "jp2": "JPEG2000", "ppm": "PPM",
}  # fmt: skip
"""Extension of an image member -> the name that Pillow has for its format."""
EACH = 6


def picture(seed, kind):
    cells = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(cells).resize((50, 40), Image.Resampling.NEAREST).save(sink, kind)
    return sink.getvalue()


def samples():
    """Returns uid -> (extension, members) of the pool, types in turn."""
    found = {}
    for number in range(EACH * len(TYPES)):
        extension = [*TYPES][number % len(TYPES)]
        uid = f"{number + 1:032x}"
        document = {
            "uid": uid,
            "url": f"https://example.org/{number}",
            "width": 50,
            "exif": None if number < 20 else "x",
        }
        members = {
            extension: picture(number, TYPES[extension]),
            "txt": f"thing number {number}".encode(),
            "json": json.dumps(document).encode(),
        }
        found[uid] = extension, members
    return found


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    tars = [b"", b""]
    for number, (_, members) in enumerate(samples().values()):
        tars[number % 2] += b"".join(write_member(f"{number:05d}.{e}", data) for e, data in members.items())
    for number, tar in enumerate(tars):
        (folder / f"{number:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)
    return folder


def winnow(*args):
    """Runs Winnow in the environment of the checkout, and returns what it says on stderr."""
    done = subprocess.run([ROOT / ".venv/bin/winnow", *args], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="session")
def outputs(pool, tmp_path_factory):
    """Returns format -> the folder of the curated pool in that format; all of its samples are kept."""
    root = tmp_path_factory.mktemp("outputs")
    found = {form: str(root / form) for form in FORMATS}
    flags = ["--samples_per_shard", "25"]
    source = ["--input", f"{pool}/*.tar", "--model", "tinyclip", "--recipe", "no_filter"]
    winnow("curate", *source, "--output", found["webdataset"], *flags)
    for form in FORMATS[1:]:
        shutil.copytree(found["webdataset"], found[form])
        winnow("reshard", "--output", found[form], "--format", form, *flags)
    return found


@pytest.fixture(scope="session")
def differing(outputs, tmp_path_factory):
    """Returns the output folder of the same pool as tars whose images have the names that they had."""
    out = tmp_path_factory.mktemp("differing") / "out"
    shutil.copytree(outputs["webdataset"], out)
    winnow("reshard", "--output", str(out), "--image_name", "keep", "--samples_per_shard", "25")
    return str(out)
