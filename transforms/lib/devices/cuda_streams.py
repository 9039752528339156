"""Queues of work on a GPU that all threads of a process share, and for how long the GPU was busy with it."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

_PARTS = 1024  # of the time covered so far that are kept apart; older ones are forgotten
_REBASE_S = 60.0  # an event gives float32 milliseconds: a minute has a resolution of 4 microseconds, a day only to 8 ms


class Span(Protocol):
    """Work that was queued."""

    def wait(self) -> None:
        """Returns when the work is over."""

    def seconds(self) -> float:
        """Returns the seconds of finished work in which no other work was counted before; ask once."""


class Stream(Protocol):
    """Work that is done in the order in which it is queued."""

    def queue(self, work: Callable[[], Any], after: Sequence[Span] = ()) -> Span:
        """Queues work that starts when that of ``after`` is over; what it raises comes now, or from ``wait``."""


class Covered:
    """Intervals of time, of which each moment counts once however many intervals hold it."""

    def __init__(self) -> None:
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._forgotten = float("-inf")

    def add(self, start: float, end: float) -> float:
        """Returns how much of an interval no earlier one covered; so the sum of all answers is the size of their union.

        Of more than 1,024 separate parts the earliest is forgotten, and nothing before its end counts any more.
        """
        start = max(start, self._forgotten)
        if end <= start:
            return 0.0
        low, high = bisect.bisect_left(self._ends, start), bisect.bisect_right(self._starts, end)
        starts, ends = self._starts[low:high], self._ends[low:high]
        held = sum(min(b, end) - max(a, start) for a, b in zip(starts, ends, strict=True))
        self._starts[low:high] = [min([start, *starts])]
        self._ends[low:high] = [max([end, *ends])]
        if len(self._starts) > _PARTS:
            self._forgotten = self._ends.pop(0)
            self._starts.pop(0)
        return end - start - held


class Timeline:
    """Where the work of a GPU lies in time, over all streams and threads of a process.

    Args:
      base: a timed event that is over before any work begins.
    """

    def __init__(self, base: Any) -> None:
        self._base, self._offset = base, 0.0
        self._covered, self._lock = Covered(), threading.Lock()

    def add(self, begun: Any, ended: Any) -> float:
        """Returns the seconds between two events, both over, that no earlier call counted."""
        with self._lock:
            since = self._base.elapsed_time(begun) / 1000
            start = self._offset + since
            if since > _REBASE_S:
                self._base, self._offset = begun, start
            return self._covered.add(start, start + begun.elapsed_time(ended) / 1000)


@dataclasses.dataclass(frozen=True, eq=False)
class Gpu:
    """The streams of a process's device: one each, so that memory that a stream gave back is used again by all threads.

    Attributes:
      device: as torch names it.
      copying: from memory to the device.
      computing: networks, of all models and threads.
      decoding: JPEGs and their resizing.
      pinned: whether memory that is copied from and to is pinned.
    """

    device: str
    copying: Stream
    computing: Stream
    decoding: Stream
    pinned: bool

    def host(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Returns memory of the machine, not initialised, that a copy to or from the device need not wait for."""
        import torch

        return torch.empty(tuple(shape), dtype=dtype, pin_memory=self.pinned)


@dataclasses.dataclass(frozen=True)
class _Recorded:
    begun: Any
    ended: Any
    timeline: Timeline

    def wait(self) -> None:
        self.ended.synchronize()

    def seconds(self) -> float:
        return self.timeline.add(self.begun, self.ended)


class _Stream:
    """A CUDA stream; ``work`` runs at once and only queues."""

    def __init__(self, timeline: Timeline) -> None:
        import torch

        self._stream, self._timeline = torch.cuda.Stream(), timeline

    def queue(self, work: Callable[[], Any], after: Sequence[Any] = ()) -> Span:
        import torch

        for span in after:
            self._stream.wait_event(span.ended)
        begun, ended = (torch.cuda.Event(enable_timing=True, blocking=True) for _ in range(2))
        with torch.cuda.stream(self._stream):
            begun.record()
            work()
            ended.record()
        return _Recorded(begun, ended, self._timeline)


class _Done:
    def wait(self) -> None:
        pass

    def seconds(self) -> float:
        return 0.0


class _CurrentThread:
    """No queue: work of a CPU is done when ``queue`` returns."""

    def queue(self, work: Callable[[], Any], after: Sequence[Span] = ()) -> Span:
        work()
        return _Done()


_LOCK = threading.Lock()


@functools.cache
def _new_gpu(device: str) -> Gpu:
    if device == "cpu":
        return Gpu(device, _CurrentThread(), _CurrentThread(), _CurrentThread(), pinned=False)
    import torch

    base = torch.cuda.Event(enable_timing=True)
    base.record()
    base.synchronize()
    timeline = Timeline(base)
    return Gpu(device, _Stream(timeline), _Stream(timeline), _Stream(timeline), pinned=True)


def streams_of(device: str) -> Gpu:
    """Returns the streams of a device, ``cuda`` or ``cpu``: the same for every thread of the process."""
    with _LOCK:
        return _new_gpu(device)
