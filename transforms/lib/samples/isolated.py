"""Decodes TIFF, AVIF and JPEG 2000 in processes that can be killed, with limits on time and memory."""

from __future__ import annotations

import atexit
import json
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import IO

from PIL import Image, ImagePalette

from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import depths, isolated_process

BYTES_PER_PIXEL = 24
"""Memory that a process may use per pixel allowed; JPEG 2000 takes 20, measured."""
NANOSECONDS_PER_PIXEL = 200
"""CPU time that an image may take per pixel allowed; JPEG 2000 takes 190, measured."""


FORMATS = tuple(isolated_process.READERS)
"""What is decoded here, by Pillow's names."""


def decode(
    kind: str, data: bytes, max_pixels: int, memory: Callable[[int], AbstractContextManager[None]]
) -> Image.Image:
    """Returns an image, loaded, of 8 bits per channel (``depths``), in its mode and with the palette of its file.

    Args:
      kind: one of ``FORMATS``.
      data: the encoded image.
      max_pixels: width times height allowed; time and memory allowed follow from it.
      memory: entered with the bytes that decoding takes, for as long as it lasts.

    Raises:
      SampleError: ``IMAGE_TOO_LARGE`` by its size, ``IMAGE_TOO_COSTLY`` by its time or memory, ``IMAGE_UNDECODABLE``
        for damaged data, also when the process died of it.
    """
    process = _take()
    try:
        return process.decode(kind, data, max_pixels, memory)
    finally:
        process.settle()
        _give(process)


class _Process:
    """A process that decodes one image at a time, started when it is first needed and again when it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._busy = False

    def decode(
        self, kind: str, data: bytes, max_pixels: int, memory: Callable[[int], AbstractContextManager[None]]
    ) -> Image.Image:
        seconds = 2 + max_pixels * NANOSECONDS_PER_PIXEL // 10**9
        process = self._started()
        assert process.stdin
        assert process.stdout
        self._busy = True
        try:
            process.stdin.write(isolated_process.REQUEST.pack(kind.encode(), max_pixels, seconds, len(data)))
            process.stdin.write(data)
            process.stdin.flush()
            (width, height), _ = _answered(process.stdout, kind, max_pixels)
            with memory(width * height * BYTES_PER_PIXEL):
                process.stdin.write(isolated_process.GO)
                process.stdin.flush()
                size, body = _answered(process.stdout, kind, max_pixels)
        except SampleError:
            self._busy = False  # it answered, and waits for the next image
            raise
        except (OSError, struct.error):  # it reads no more, or its answer ends early
            raise self._died(process, kind, seconds) from None
        self._busy = False
        return _image(size, body)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", isolated_process.__name__, str(BYTES_PER_PIXEL)]
            pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nowhere)
            assert self._process.stdout
            if self._process.stdout.read(len(isolated_process.READY)) != isolated_process.READY:
                self.stop()
                raise RuntimeError(f"{sys.executable} cannot run {isolated_process.__name__}, which decodes images")
        return self._process

    @staticmethod
    def _died(process: subprocess.Popen[bytes], kind: str, seconds: int) -> SampleError:
        if process.wait() == -signal.SIGXCPU:
            return SampleError(Reason.IMAGE_TOO_COSTLY, f"{kind}: not decoded after {seconds} s of CPU")
        return SampleError(Reason.IMAGE_UNDECODABLE, f"{kind}: the decoder died of it")

    def settle(self) -> None:
        """Stops the process if it still works on an image that nobody waits for."""
        if self._busy:
            self.stop()
            self._busy = False

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _answered(source: IO[bytes], kind: str, max_pixels: int) -> tuple[tuple[int, int], bytes]:
    name, width, height, length = isolated_process.ANSWER.unpack(source.read(isolated_process.ANSWER.size))
    body = source.read(length)
    if len(body) != length:
        raise struct.error("the answer ends early")
    name = name.rstrip(b"\0")
    if name == isolated_process.LARGE:
        raise SampleError(Reason.IMAGE_TOO_LARGE, f"{width} x {height} pixels, allowed {max_pixels}")
    if name != isolated_process.OK:
        reason = Reason.IMAGE_TOO_COSTLY if name == isolated_process.COSTLY else Reason.IMAGE_UNDECODABLE
        raise SampleError(reason, f"{kind}: {body.decode(errors='replace')}"[:300])
    return (width, height), body


def _image(size: tuple[int, int], body: bytes) -> Image.Image:
    facts, start = json.loads(body[:256]), 256 + json.loads(body[:256])["palette_bytes"]
    image = Image.frombytes(facts["mode"], size, body[start:])
    if facts["palette"]:
        image.palette = ImagePalette.raw(facts["palette"], body[256:start])
        image.load()
    if facts["stored"]:
        image.info[depths.SCALED] = facts["stored"]
    return image


_LOCK = threading.Lock()
_IDLE: list[_Process] = []  # processes belong to this process, as its threads do; as many as decode at once


def _take() -> _Process:
    with _LOCK:
        return _IDLE.pop() if _IDLE else _Process()


def _give(process: _Process) -> None:
    with _LOCK:
        _IDLE.append(process)


@atexit.register
def _stop_all() -> None:
    with _LOCK:
        for process in _IDLE:
            process.stop()
        _IDLE.clear()
