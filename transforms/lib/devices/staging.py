"""Memory and streams of a GPU: batches that fit, and copies that overlap with the networks."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32
from transforms.lib.devices.cuda_streams import Gpu, Span

if TYPE_CHECKING:
    import torch

Pixels: TypeAlias = "NDArray[np.uint8] | torch.Tensor"
"""Of one image, uint8 ``[height, width, 3]``: in memory, or on the device that decoded it."""
PixelBatch: TypeAlias = "NDArray[np.uint8] | Callable[[], torch.Tensor]"
"""Of several: in memory, or what makes it on the device."""

DEPTH = 2
"""Batches in a ring: one is computed while the next is copied."""


@dataclasses.dataclass(eq=False)
class RowLimit:
    """Remembers how many rows fit on the device.

    Attributes:
      rows: at most this many at once; 0 = no limit met so far. It never rises.
    """

    rows: int = 0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def run(self, work: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
        """Returns what ``work`` makes of a batch, in pieces once the device ran out of memory with all of it.

        Each time it runs out the piece is halved, for this batch and all later ones.

        Raises:
          torch.cuda.OutOfMemoryError: a single row does not fit.
        """
        import torch

        while True:
            size = min(self.rows or len(batch), len(batch))
            try:
                pieces = [work(piece) for piece in batch.split(size)]
                return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
            except torch.cuda.OutOfMemoryError:
                if size == 1:
                    raise
                with self._lock:
                    self.rows = min(self.rows or size, size // 2)  # another thread may have met a lower limit since
            torch.cuda.empty_cache()  # outside of the handler, where the traceback held the tensors


def queued(
    gpu: Gpu, forward: Callable[[], torch.Tensor], after: Sequence[Span] = ()
) -> tuple[Span, Callable[[], tuple[Float32, float]]]:
    """Queues work of a network; returns it, and what waits for its rows and the seconds that the GPU worked.

    Args:
      gpu: whose computing stream it is queued in.
      forward: gives float32 ``[n, dim]`` on the device.
      after: what it needs.
    """
    import torch

    found: list[torch.Tensor] = []

    def work() -> None:
        with torch.inference_mode():
            embedded = forward()
            found.append(gpu.host(embedded.shape, embedded.dtype).copy_(embedded, non_blocking=True))

    span = gpu.computing.queue(work, after)

    def result() -> tuple[Float32, float]:
        span.wait()
        return found[0].numpy(), span.seconds()

    return span, result


def uploaded(gpu: Gpu, rows: torch.Tensor) -> torch.Tensor:
    """Returns a copy on the device; queues it in the current stream and waits for nothing."""
    return gpu.host(rows.shape, rows.dtype).copy_(rows).to(gpu.device, non_blocking=True)


def batch_of(pixels: Sequence[Pixels], gpu: Gpu | None) -> PixelBatch:
    """Returns one batch of the pixels of images; of those that lie on a GPU, what makes it there when it is called.

    Args:
      pixels: uint8 ``[height, width, 3]`` each, finished, in memory or on the device.
      gpu: the device; None when networks run on a CPU.
    """
    if gpu is None or all(isinstance(one, np.ndarray) for one in pixels):
        return np.stack([np.asarray(one) for one in pixels])

    @functools.cache  # models that share the batch ask one after the other, in one stream
    def gathered() -> torch.Tensor:
        import torch

        rows: list[Any] = list(pixels)
        ours = [number for number, one in enumerate(rows) if isinstance(one, np.ndarray)]
        if ours:
            there = uploaded(gpu, torch.from_numpy(np.stack([rows[number] for number in ours])))
            for number, row in zip(ours, there, strict=True):
                rows[number] = row
        for row in rows:
            if row.is_cuda:  # made in another stream, which must not use the memory again before this one has read it
                row.record_stream(torch.cuda.current_stream())
        return torch.stack(rows)

    return gathered


class Ring:
    """Buffers through which batches reach a device: one is copied while the one before is computed.

    One thread uses it.

    Args:
      rows: of a batch.
      gpu: where to.
    """

    def __init__(self, rows: int, gpu: Gpu) -> None:
        self._rows, self._gpu = rows, gpu
        self._host: list[torch.Tensor] = []
        self._device: list[torch.Tensor] = []
        self._copied: list[Span | None] = [None] * DEPTH
        self._computed: list[Span | None] = [None] * DEPTH
        self._next = 0

    def start(
        self, pixels: PixelBatch, forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[], tuple[Float32, float]]:
        """Queues a batch and returns at once; what it returns waits for the rows and the seconds the GPU worked.

        Args:
          pixels: from ``batch_of``, n rows, at most the ring's; the rest of the batch is zero.
          forward: what to do on the device with uint8 ``[batch, height, width, 3]``, giving float32 ``[batch, dim]``.

        Raises:
          Exception: what ``forward`` raises, from here or from what is returned.
        """
        if callable(pixels):
            gather, count = pixels, 0

            def whole() -> torch.Tensor:
                nonlocal count
                rows = gather()
                count = len(rows)
                return forward(_padded(rows, self._rows))

            _, result = queued(self._gpu, whole)
        else:
            count, (slot, copied) = len(pixels), self._copy(pixels)
            device = self._device[slot]
            self._computed[slot], result = queued(self._gpu, lambda: forward(device), [copied])

        def own() -> tuple[Float32, float]:
            found, busy = result()
            return found[:count], busy

        return own

    def _copy(self, pixels: NDArray[np.uint8]) -> tuple[int, Span]:
        """Returns a slot and the copying of pixels to it, which waits until the batch before it there was computed."""
        import torch

        if not self._host:
            shape = (self._rows, *pixels.shape[1:])
            self._host = [self._gpu.host(shape, torch.uint8) for _ in range(DEPTH)]
            self._device = [torch.empty(shape, dtype=torch.uint8, device=self._gpu.device) for _ in range(DEPTH)]
        slot = self._next
        self._next = (slot + 1) % DEPTH
        host, device, earlier, computed = self._host[slot], self._device[slot], self._copied[slot], self._computed[slot]
        if earlier is not None:
            earlier.wait()  # the memory was read
        host.numpy()[: len(pixels)] = pixels
        host[len(pixels) :] = 0
        after = [] if computed is None else [computed]
        copied = self._gpu.copying.queue(lambda: device.copy_(host, non_blocking=True), after)
        self._copied[slot] = copied
        return slot, copied


def _padded(rows: torch.Tensor, count: int) -> torch.Tensor:
    import torch

    lacking = count - len(rows)
    return torch.cat([rows, rows.new_zeros((lacking, *rows.shape[1:]))]) if lacking else rows
