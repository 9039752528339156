"""JPEGs decoded and resized on a GPU, in groups, for ``--preprocess gpu``; any other image goes the CPU's way.

torchvision decodes a group of JPEGs at once with NVIDIA's nvJPEG, which uses the decoding hardware of a GPU that has
some. The resizing is torch's bicubic with antialiasing, whose pixels differ from Pillow's by a level here and there;
so do two builds of a JPEG decoder. The variant has a fingerprint of its own.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transforms.lib import feeding, images
from transforms.lib.errors import InputError
from transforms.lib.phash import phash
from transforms.lib.pixelviews import View
from transforms.lib.reading import ReadRules

if TYPE_CHECKING:
    import torch

GROUP = 32
"""JPEGs that are decoded at once, if so many wait."""
_SMALL = 64  # pixels of the squeezed image that the perceptual hash is taken of


class _Asked(NamedTuple):
    data: bytes
    rules: ReadRules
    views: Sequence[View]
    future: Future[feeding.Decoded]


class DeviceDecoder:
    """Decodes and resizes on a device, in groups of what waits, on a thread of its own.

    Args:
      device: ``cuda``; on ``cpu`` it does the same work with torch, for tests.
      pool: decodes what the device does not: other formats, CMYK, damaged or refused images.

    Raises:
      InputError: torchvision cannot decode on this device.
    """

    def __init__(self, device: str, pool: Executor) -> None:
        self._device, self._pool = device, pool
        sink = io.BytesIO()
        Image.new("RGB", (16, 16)).save(sink, "JPEG")
        try:
            self._decoded([sink.getvalue()])
        except RuntimeError as error:
            why = str(error).splitlines()[0]
            raise InputError(f"--preprocess gpu: torchvision cannot decode on {device} ({why}); use fast") from error
        self._asked: queue.Queue[_Asked] = queue.Queue()
        threading.Thread(target=self._run, name="winnow-device-decode", daemon=True).start()

    def submit(self, data: bytes, rules: ReadRules, views: Sequence[View]) -> Future[feeding.Decoded]:
        """Returns what ``feeding.decode`` would, in the future; the perceptual hash differs in a bit or two."""
        future: Future[feeding.Decoded] = Future()
        asked = _Asked(data, rules, views, future)
        if views and _plain(data, rules, views):
            self._asked.put(asked)
        else:
            self._elsewhere(asked)
        return future

    def _elsewhere(self, asked: _Asked) -> None:
        """Has an image decoded by the pool, as without a GPU."""

        def finish(done: Future[feeding.Decoded]) -> None:
            error = done.exception()
            asked.future.set_result(done.result()) if error is None else asked.future.set_exception(error)

        self._pool.submit(feeding.decode, asked.data, asked.rules, asked.views).add_done_callback(finish)

    def _run(self) -> None:
        while True:
            group = [self._asked.get()]
            while len(group) < GROUP and not self._asked.empty():
                group.append(self._asked.get())
            try:
                self._group(group)
            except BaseException as error:  # belongs to those who wait for the images
                for asked in group:
                    if not asked.future.done():
                        asked.future.set_exception(error)

    def _group(self, group: list[_Asked]) -> None:
        start = time.perf_counter()
        try:
            made = self._made(group)
        except RuntimeError:  # torch does not say which of them it was
            if len(group) == 1:
                self._elsewhere(group[0])
                return
            for asked in group:
                self._group([asked])
            return
        seconds = (time.perf_counter() - start) / len(group)
        for asked, done in zip(group, made, strict=True):
            done.seconds = seconds
            asked.future.set_result(done)

    def _made(self, group: list[_Asked]) -> list[feeding.Decoded]:
        """Returns what becomes of JPEGs, in one copy from the device for each view."""
        import torch
        from torchvision.transforms.functional import InterpolationMode, resize

        with torch.inference_mode():
            whole = self._decoded([asked.data for asked in group])
            small = torch.stack([resize(image, [_SMALL, _SMALL], InterpolationMode.BILINEAR) for image in whole])
            seen: dict[str, dict[int, torch.Tensor]] = {}
            for number, (asked, image) in enumerate(zip(group, whole, strict=True)):
                for view in asked.views:
                    seen.setdefault(view.name, {})[number] = view.on_device(image)
            fetched = {
                name: dict(zip(pixels, _fetched(torch.stack(list(pixels.values()))), strict=True))
                for name, pixels in seen.items()
            }
        hashes = [phash(Image.fromarray(one)) for one in _fetched(small)]
        return [
            feeding.Decoded(
                image.shape[2], image.shape[1], hashes[number], [fetched[view.name][number] for view in asked.views]
            )
            for number, (asked, image) in enumerate(zip(group, whole, strict=True))
        ]

    def _decoded(self, data: list[bytes]) -> list[torch.Tensor]:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        encoded = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in data]
        found: list[torch.Tensor] = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=self._device)
        return found


def _fetched(batch: torch.Tensor) -> NDArray[np.uint8]:
    """Returns uint8 ``[n, height, width, 3]`` in memory of uint8 ``[n, 3, height, width]`` on a device."""
    return np.ascontiguousarray(batch.permute(0, 2, 3, 1).cpu().numpy())


def _plain(data: bytes, rules: ReadRules, views: Sequence[View]) -> bool:
    """Returns whether an image is a whole JPEG of one or three colours and of a size that is allowed.

    nvJPEG gives some picture for a file that was cut off; a CPU rejects it.
    """
    found = images.jpeg_header(data)
    if found is None or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return False
    mode, size = found
    allowed = size[0] * size[1] <= rules.max_pixels and not any(view.too_narrow(size) for view in views)
    return mode in ("RGB", "L") and allowed
