"""The process that decodes TIFF, AVIF and JPEG 2000: it can be killed, and its time and memory are limited.

The cost of these formats cannot be told from a header, and their libraries are large. ``isolated`` starts this module
and talks to it: a request is ``REQUEST`` and the encoded image; an answer is ``ANSWER``, and an error's text or, after
one byte more of the request, the pixels.
"""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import sys
import time
import warnings
from typing import BinaryIO

from PIL import AvifImagePlugin, Image, ImageFile, Jpeg2KImagePlugin, TiffImagePlugin

from transforms.lib.samples import depths

READERS: dict[str, type[ImageFile.ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
REQUEST = struct.Struct("<16sQQQ")  # format, pixels allowed, seconds of CPU allowed, bytes of the image that follow
ANSWER = struct.Struct("<8sIIQ")  # OK, LARGE, COSTLY or ERROR; width, height; bytes that follow
OK, LARGE, COSTLY, ERROR = b"ok", b"large", b"costly", b"error"
GO = b"g"  # after the answer with the size, lets the pixels be decoded
READY = b"winnow-ready"
_MARGIN = 256 << 20  # bytes of memory beside the pixels and what the process has at its start


def serve(source: BinaryIO, sink: BinaryIO, bytes_per_pixel: int) -> None:
    """Answers requests until ``source`` ends."""
    at_start = _address_space()
    Image.MAX_IMAGE_PIXELS = None  # the request says how many are allowed
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        name, max_pixels, seconds, size = REQUEST.unpack(head)
        data = source.read(size)
        _limit(seconds, at_start + max_pixels * bytes_per_pixel)
        image: Image.Image
        try:
            image = READERS[name.rstrip(b"\0").decode()](io.BytesIO(data))
            width, height = image.size
            _answer(sink, OK if width * height <= max_pixels else LARGE, b"", width, height)
            if width * height > max_pixels or source.read(1) != GO:
                continue
            stored = depths.stored_as(image)
            image.load()
            image = depths.eight_bits(image, stored) if stored else image
            facts = {"mode": image.mode, "palette": image.palette.mode if image.palette else "", "stored": stored}
            palette = bytes(image.palette.palette) if image.palette else b""
            text = json.dumps({**facts, "palette_bytes": len(palette)}).encode()
            _answer(sink, OK, text.ljust(256) + palette + image.tobytes(), *image.size)
        except MemoryError:
            _answer(sink, COSTLY, b"it needs more memory than is allowed")
        except Exception as error:  # readers raise nearly anything on damaged data, and this process does nothing else
            _answer(sink, ERROR, f"{type(error).__name__}: {error}".encode()[:300])


def _answer(sink: BinaryIO, kind: bytes, body: bytes, width: int = 0, height: int = 0) -> None:
    sink.write(ANSWER.pack(kind, width, height, len(body)) + body)
    sink.flush()


def _address_space() -> int:
    """Returns the bytes of address space that this process has; 0 where the system does not say so."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _limit(seconds: int, memory: int) -> None:
    """Lets the system end this process after so many more seconds of CPU, and refuse it more memory than that."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (_MARGIN + memory, hard))


def main() -> None:
    """Serves standard input and output; what libraries print goes nowhere."""
    warnings.simplefilter("ignore")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sink.write(READY)
    sink.flush()
    serve(sys.stdin.buffer, sink, int(sys.argv[1]))


if __name__ == "__main__":
    main()
