"""JPEGs decoded and resized on a GPU, in groups, for ``--preprocess gpu``; any other image goes the CPU's way.

torchvision decodes a group of JPEGs at once with NVIDIA's nvJPEG, which uses the decoding hardware of a GPU that has
some. The resizing is torch's bicubic with antialiasing, whose pixels differ from Pillow's by a level here and there;
so do two builds of a JPEG decoder. The variant has a fingerprint of its own.
"""

from __future__ import annotations

import io
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from transforms.lib.devices.cuda_streams import Span, streams_of
from transforms.lib.devices.staging import Pixels
from transforms.lib.errors import InputError
from transforms.lib.inference import prefetch
from transforms.lib.models.preprocessing import Preprocess
from transforms.lib.samples import images
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.samples.phash import hashes_of

if TYPE_CHECKING:
    import torch

GROUP = 32
"""JPEGs that are decoded at once, if so many wait."""
_TOGETHER = 1 << 26  # float32 values of images that are resized at once: 256 MiB
_SMALL = 64  # pixels of the squeezed image that the perceptual hash is taken of


class _DecodeRequest(NamedTuple):
    data: bytes
    rules: ReadRules
    views: Sequence[Preprocess]
    future: Future[prefetch.Decoded]


class _DecodedImages(NamedTuple):
    """A group on its way: sizes, squeezed images in memory, and view -> number in the group -> pixels."""

    sizes: list[tuple[int, int]]
    small: torch.Tensor
    pixels: dict[str, dict[int, torch.Tensor]]


def check(device: str) -> None:
    """Decodes a JPEG on a device.

    Raises:
      InputError: torchvision cannot: it was built without nvJPEG, or finds no GPU.
    """
    sink = io.BytesIO()
    Image.new("RGB", (16, 16)).save(sink, "JPEG")
    try:
        _decoded([sink.getvalue()], device)
    except RuntimeError as error:
        why = str(error).splitlines()[0]
        raise InputError(f"--preprocess gpu: torchvision cannot decode on {device} ({why}); use fast") from error


class DeviceDecoder:
    """Decodes and resizes on a device, in groups of what waits, queued by a thread of its own.

    On a GPU pixels stay there: they are finished when they are given out, and read by ``staging.batch_of``.

    Args:
      device: ``cuda``; on ``cpu`` it does the same work with torch, for tests, and gives pixels in memory.
      pool: decodes what the device does not: other formats, CMYK, damaged or refused images; and waits for groups.

    Raises:
      InputError: as ``check``.
    """

    def __init__(self, device: str, pool: Executor) -> None:
        check(device)
        self._gpu, self._pool = streams_of(device), pool
        self._last: Span | None = None
        self._requests: queue.Queue[_DecodeRequest] = queue.Queue()
        threading.Thread(target=self._run, name="winnow-device-decode", daemon=True).start()

    def submit(self, data: bytes, rules: ReadRules, views: Sequence[Preprocess]) -> Future[prefetch.Decoded]:
        """Returns what ``prefetch.decode`` would, in the future; the perceptual hash differs in a bit or two."""
        future: Future[prefetch.Decoded] = Future()
        request = _DecodeRequest(data, rules, views, future)
        if _plain(data, rules):
            self._requests.put(request)
        else:
            self._elsewhere(request)
        return future

    def _elsewhere(self, request: _DecodeRequest) -> None:
        """Has an image decoded by the pool, as without a GPU."""

        def finish(done: Future[prefetch.Decoded]) -> None:
            error = done.exception()
            request.future.set_result(done.result()) if error is None else request.future.set_exception(error)

        self._pool.submit(prefetch.decode, request.data, request.rules, request.views).add_done_callback(finish)

    def _run(self) -> None:
        while True:
            group = [self._requests.get()]
            while len(group) < GROUP and not self._requests.empty():
                group.append(self._requests.get())
            try:
                self._group(group)
            except BaseException as error:  # belongs to those who wait for the images
                for request in group:
                    if not request.future.done():
                        request.future.set_exception(error)

    def _group(self, group: list[_DecodeRequest]) -> None:
        """Queues a group for the device; a thread of the pool gives it out, so that this one goes on to the next."""
        if self._last is not None:
            self._last.wait()  # nvJPEG writes in a stream of its own, maybe to memory that pending resizes still read
            self._last = None
        start, batch = time.perf_counter(), list[_DecodedImages]()
        try:
            self._last = span = self._gpu.decoding.queue(lambda: batch.append(self._made(group)))
        except RuntimeError:  # torch does not say which of them it was
            if len(group) == 1:
                self._elsewhere(group[0])
                return
            for request in group:
                self._group([request])
            return
        self._pool.submit(self._finish, group, batch[0], span, time.perf_counter() - start)

    def _finish(self, group: list[_DecodeRequest], batch: _DecodedImages, span: Span, seconds: float) -> None:
        try:
            span.wait()
            start = time.perf_counter()
            hashes = hashes_of(batch.small.numpy())
            seconds = (seconds + time.perf_counter() - start) / len(group)
            busy = span.seconds() / len(group)
            for number, (request, (width, height)) in enumerate(zip(group, batch.sizes, strict=True)):
                rows = [batch.pixels.get(view.name, {}).get(number) for view in request.views]
                near = self._gpu.device == "cpu"
                pixels: list[Pixels | None] = [row.numpy() if near and row is not None else row for row in rows]
                request.future.set_result(prefetch.Decoded(width, height, hashes[number], pixels, None, seconds, busy))
        except BaseException as error:  # belongs to those who wait for the images
            for request in group:
                if not request.future.done():
                    request.future.set_exception(error)

    def _made(self, group: list[_DecodeRequest]) -> _DecodedImages:
        """Queues the work on a group, in the current stream."""
        import torch

        with torch.inference_mode():
            whole = _decoded([request.data for request in group], self._gpu.device)
            small: dict[int, torch.Tensor] = {}
            seen: dict[str, dict[int, torch.Tensor]] = {}
            for numbers in _alike([tuple(image.shape) for image in whole]):
                batch = torch.stack([whole[number] for number in numbers]).float()
                squeezed = torch.nn.functional.interpolate(batch, (_SMALL, _SMALL), mode="bilinear", antialias=True)
                small.update(zip(numbers, squeezed, strict=True))
                for view in {view.name: view for number in numbers for view in group[number].views}.values():
                    if not view.too_narrow((batch.shape[3], batch.shape[2])):
                        seen.setdefault(view.name, {}).update(zip(numbers, view.on_device(batch), strict=True))
            squeezed = _levels([small[number] for number in range(len(group))])
            host = self._gpu.host(squeezed.shape, torch.uint8).copy_(squeezed, non_blocking=True)
            pixels = {
                name: dict(zip(found, _levels(list(found.values())), strict=True)) for name, found in seen.items()
            }
        return _DecodedImages([(image.shape[2], image.shape[1]) for image in whole], host, pixels)


def _decoded(data: list[bytes], device: str) -> list[torch.Tensor]:
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    encoded = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in data]
    found: list[torch.Tensor] = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    return found


def _alike(shapes: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Returns the numbers of images in groups of one shape, each of at most ``_TOGETHER`` values or a single image."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, shape in enumerate(shapes):
        found.setdefault(shape, []).append(number)
    groups = []
    for shape, numbers in found.items():
        most = max(1, _TOGETHER // math.prod(shape))
        groups += [numbers[first : first + most] for first in range(0, len(numbers), most)]
    return groups


def _levels(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Returns uint8 ``[n, height, width, 3]`` of float32 ``[3, height, width]`` each; laid out anew where they are."""
    import torch

    return torch.stack(list(images)).clamp_(0, 255).round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _plain(data: bytes, rules: ReadRules) -> bool:
    """Returns whether an image is a whole JPEG of one or three colours and of a size that is allowed.

    nvJPEG gives some picture for a file that was cut off; a CPU rejects it.
    """
    found = images.jpeg_header(data)
    if found is None or not data.rstrip(b"\0").endswith(b"\xff\xd9"):
        return False
    mode, size = found
    return mode in ("RGB", "L") and size[0] * size[1] <= rules.max_pixels
