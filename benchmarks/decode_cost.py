"""What it costs to decode an image, per pixel and format: where the figures of ``decode_limits`` come from.

python -m benchmarks.decode_cost --side 4000

Each format is decoded in a process of its own. Memory is the peak of that process above what it had before, so that it
holds the decoder's own as well as the image.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": 85}),
    "JPEG, progressive": ("JPEG", {"quality": 85, "progressive": True, "subsampling": 0}),
    "PNG": ("PNG", {"compress_level": 1}),
    "WebP": ("WEBP", {"quality": 80, "method": 0}),
    "GIF": ("GIF", {}),
    "BMP": ("BMP", {}),
    "TIFF, LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "AVIF": ("AVIF", {"speed": 10}),
    "JPEG 2000": ("JPEG2000", {}),
    "PNM": ("PPM", {}),
    "PNM as text": ("", {}),
}


def encoded(name: str, side: int) -> bytes:
    """Returns a smooth picture of ``side`` by ``side`` pixels in a format."""
    form, how = FORMATS[name]
    if not form:
        return b"P3\n%d %d\n255\n" % (side, side) + b"1 " * (side * side * 3)
    small = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR).save(stored, form, **how)
    return stored.getvalue()


def peak() -> int:
    """Returns the most bytes that this process has held."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def decode_here() -> None:
    """Decodes what standard input holds; prints seconds of CPU, bytes of memory and pixels."""
    data = sys.stdin.buffer.read()
    Image.init()
    Image.MAX_IMAGE_PIXELS = None
    before, start = peak(), time.process_time()
    image = Image.open(io.BytesIO(data))
    image.load()
    print(time.process_time() - start, peak() - before, image.size[0] * image.size[1])


def main() -> None:
    """Prints a line per format."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4000, help="width and height in pixels")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.here:
        decode_here()
        return
    print("| format | ns of CPU per pixel | bytes of memory per pixel |\n|---|---|---|")
    for name in FORMATS:
        side = flags.side if FORMATS[name][0] else flags.side // 4  # text is slow
        command = [sys.executable, "-m", "benchmarks.decode_cost", "--here"]
        runs = [
            subprocess.run(command, input=encoded(name, side), stdout=subprocess.PIPE, check=True).stdout.split()
            for _ in range(3)
        ]
        pixels = float(runs[0][2])
        nanoseconds = min(float(run[0]) for run in runs) / pixels * 1e9
        print(f"| {name} | {nanoseconds:.1f} | {max(float(run[1]) for run in runs) / pixels:.1f} |", flush=True)


if __name__ == "__main__":
    main()
