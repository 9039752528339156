"""Images that Pillow cannot read: recognised, measured by their header, and decoded by tensorflow-io where it is.

Nothing here imports TensorFlow. ``tfio_process`` does, in a process of its own, which damaged files may end.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import re
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from transforms.lib.errors import InputError, Reason, SampleError
from transforms.lib.samples import tfio_process

_DICOM_US = rb"\x28\x00%s\x00(?:US)?\x02\x00(?:\x00\x00)?(..)"  # element (0028, %s), explicit or implicit
HINT = "give --tfio_python, the python of an environment with tensorflow-io (docs/scoring.md)"
JPEG_2000 = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")


def python_here() -> str:
    """Returns this process's python when TensorFlow and tensorflow-io are installed beside it; else ""."""
    here = all(importlib.util.find_spec(name) for name in ("tensorflow", "tensorflow_io"))
    return sys.executable if here else ""


def check(python: str) -> None:
    """Starts the decoder of an environment once.

    Raises:
      InputError: it cannot be started.
    """
    try:
        _decoder(python).start()
    except (OSError, RuntimeError) as error:
        raise InputError(f"--tfio_python {python}: {error}; name a python that can import tensorflow_io") from None


def kind_of(data: bytes) -> str:
    """Returns ``OpenEXR``, ``HDR``, ``DICOM`` or ``JPEG 2000`` (where Pillow cannot read it), by content; else ""."""
    if data.startswith(b"\x76\x2f\x31\x01"):
        return "OpenEXR"
    if data.startswith((b"#?RADIANCE", b"#?RGBE")):
        return "HDR"
    if data[128:132] == b"DICM":
        return "DICOM"
    if data.startswith(JPEG_2000) and not features.check("jpg_2000"):
        return "JPEG 2000"
    return ""


def size_of(kind: str, data: bytes) -> tuple[int, int]:
    """Returns width and height in pixels as the header has them; (0, 0) when it does not say."""
    if kind == "OpenEXR":
        at = data.find(b"dataWindow\0box2i\0") + 21
        if at > 20 and len(data) >= at + 16:
            left, top, right, bottom = struct.unpack_from("<4i", data, at)
            return right - left + 1, bottom - top + 1
    elif kind == "HDR":
        sizes = re.search(rb"\n[-+]([XY]) (\d{1,9}) [-+][XY] (\d{1,9})\n", data[:65536])
        if sizes:
            one, two = int(sizes[2]), int(sizes[3])
            return (two, one) if sizes[1] == b"Y" else (one, two)
    elif kind == "DICOM":
        found = [re.search(_DICOM_US % tag, data, re.S) for tag in (b"\\x11", b"\\x10")]  # columns, rows
        if found[0] and found[1]:
            return struct.unpack("<H", found[0][1])[0], struct.unpack("<H", found[1][1])[0]
    elif (at := data.find(b"\xff\x4f\xff\x51")) >= 0 and len(data) >= at + 24:
        width, height, left, top = struct.unpack_from(">4I", data, at + 8)
        return width - left, height - top
    return 0, 0


def decode(kind: str, data: bytes, python: str) -> Image.Image:
    """Returns an image of a format that ``kind_of`` knows, mode ``RGB``, ``L`` or ``I;16``.

    Linear light of OpenEXR and HDR is cut to 0 .. 1 and encoded as sRGB (IEC 61966-2-1).

    Args:
      kind: from ``kind_of``.
      data: the encoded image.
      python: of an environment that has tensorflow-io; Winnow need not be in it.

    Raises:
      SampleError: ``IMAGE_UNDECODABLE``, also when the decoder died of it.
      RuntimeError: tensorflow-io cannot be started.
    """
    pixels = _decoder(python).decode(kind, data)
    if pixels.dtype == np.float32:
        light = np.clip(np.nan_to_num(pixels), 0, 1)
        curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        pixels = np.rint(curved * 255).astype(np.uint8)
    if pixels.shape[2] >= 3:
        return Image.fromarray(np.minimum(pixels[:, :, :3], 255).astype(np.uint8), "RGB")
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0]))


class _Decoder:
    """A process that decodes, started when it is first needed and again when it died; one image at a time."""

    def __init__(self, python: str) -> None:
        self._python = python
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def decode(self, kind: str, data: bytes) -> NDArray[Any]:
        with self._lock:
            process = self._started()
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(tfio_process.REQUEST.pack(kind.encode(), len(data)))
                process.stdin.write(data)
                process.stdin.flush()
                head = process.stdout.read(tfio_process.ANSWER.size)
                name, height, width, channels, size = tfio_process.ANSWER.unpack(head)
                body = process.stdout.read(size)
            except (OSError, struct.error):  # it reads no more, or its answer ends early
                self.stop()
                raise SampleError(Reason.IMAGE_UNDECODABLE, f"{kind}: the decoder died of it") from None
        if name.startswith(b"error"):
            raise SampleError(Reason.IMAGE_UNDECODABLE, f"{kind}: {body.decode(errors='replace')}"[:300])
        return np.frombuffer(body, name.rstrip(b"\0").decode()).reshape(height, width, channels)

    def start(self) -> None:
        """Starts the process if it does not run; raises as ``decode``."""
        with self._lock:
            self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            with tempfile.TemporaryFile() as notes:
                pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": notes}
                self._process = subprocess.Popen([self._python, tfio_process.__file__], **pipes)
                assert self._process.stdout
                if self._process.stdout.read(len(tfio_process.READY)) != tfio_process.READY:
                    self.stop()
                    notes.seek(0)
                    why = (notes.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
                    raise RuntimeError(f"tensorflow-io cannot be started: {why}")
        return self._process

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@functools.cache
def _decoder(python: str) -> _Decoder:
    decoder = _Decoder(python)
    atexit.register(decoder.stop)
    return decoder
