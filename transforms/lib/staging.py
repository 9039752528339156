"""Memory and streams of a GPU: batches that fit, and copies that overlap with the networks."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

DEPTH = 2
"""Batches in a ring: one is computed while the next is copied."""


@dataclasses.dataclass(eq=False)
class Room:
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


class Ring:
    """Pinned uint8 buffers, a stream that copies them to the GPU and one that computes; one thread uses it.

    A batch is copied while the one before is computed. Runs on CUDA only.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        import torch

        self._copying, self._computing = torch.cuda.Stream(), torch.cuda.Stream()
        self._pinned = [torch.zeros(shape, dtype=torch.uint8, pin_memory=True) for _ in range(DEPTH)]
        self._device = [torch.empty(shape, dtype=torch.uint8, device="cuda") for _ in range(DEPTH)]
        self._computed: list[Any] = [None] * DEPTH
        self._next = 0

    def start(
        self, pixels: NDArray[np.uint8], forward: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[], tuple[NDArray[np.float32], float]]:
        """Queues a batch and returns at once; what it returns waits for the rows and the seconds the GPU worked.

        Args:
          pixels: uint8 ``[n, height, width, 3]``, n at most the buffer's; the rest of the batch is zero.
          forward: what to do on the device with uint8 ``[batch, height, width, 3]``, giving float32 ``[batch, dim]``.
        """
        import torch

        slot = self._next
        self._next = (slot + 1) % DEPTH
        if self._computed[slot] is not None:
            self._computed[slot].synchronize()  # the buffers were read
        pinned, device = self._pinned[slot], self._device[slot]
        pinned[: len(pixels)] = torch.from_numpy(pixels)
        pinned[len(pixels) :] = 0
        with torch.cuda.stream(self._copying):
            device.copy_(pinned, non_blocking=True)
        begun, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self._computing.wait_stream(self._copying)
        with torch.cuda.stream(self._computing):
            begun.record()
            embedded = forward(device)
            ended.record()
            found = torch.empty(embedded.shape, dtype=embedded.dtype, pin_memory=True)
            found.copy_(embedded, non_blocking=True)
            fetched = torch.cuda.Event()
            fetched.record()
        self._computed[slot] = ended

        def result() -> tuple[NDArray[np.float32], float]:
            fetched.synchronize()
            return found[: len(pixels)].numpy(), begun.elapsed_time(ended) / 1000

        return result
