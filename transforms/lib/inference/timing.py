"""Where the time of scoring goes, and what that says about which part to make faster."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

PARTS = {"wait_for_read_ms": "reading", "wait_for_decode_ms": "decoding", "model_ms": "the model"}
"""Counter -> what the thread that scores a shard was waiting for."""


@dataclasses.dataclass
class Clock:
    """Seconds of one shard.

    Attributes:
      read: that scoring waited for the next sample to be read and parsed.
      decode: that it waited for an image to be decoded.
      model: that it spent in the networks, waiting for its turn included.
      decoding: that the decode threads worked, all of them together.
      busy: that a GPU worked; 0 on a CPU.
    """

    read: float = 0.0
    decode: float = 0.0
    model: float = 0.0
    decoding: float = 0.0
    busy: float = 0.0

    def counters(self) -> dict[str, int]:
        """Returns counter -> milliseconds."""
        seconds = {"wait_for_read_ms": self.read, "wait_for_decode_ms": self.decode, "model_ms": self.model}
        seconds |= {"decode_ms": self.decoding, "gpu_busy_ms": self.busy}
        return {name: round(value * 1000) for name, value in seconds.items()}


class Stopwatch:
    """Adds the seconds spent in a ``with`` block to a field of a clock."""

    def __init__(self, clock: Clock, field: str) -> None:
        self._clock, self._field, self._start = clock, field, 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = time.perf_counter() - self._start
        setattr(self._clock, self._field, getattr(self._clock, self._field) + spent)


def sentence(counters: Mapping[str, int]) -> str:
    """Returns what bound a run and by how much, from the counters of the job; "" when nothing was scored.

    The thread that scores a shard is at any time in the networks, or waits for decoding or for reading: what it is at
    most of the time is what more hardware, or a smaller network, would help.

    Args:
      counters: ``score.NAME`` -> count.
    """
    spent = {what: counters.get(f"score.{name}", 0) for name, what in PARTS.items()}
    whole = sum(spent.values())
    if not whole:
        return ""
    order = sorted(spent, key=lambda what: -spent[what])
    shares = ", ".join(f"{100 * spent[what] / whole:.0f} % {what}" for what in order)
    seconds = counters.get("score.decode_ms", 0) / 1000
    return f"scoring was bound by {order[0]}: of its time {shares}; decode threads worked {seconds:.1f} s"
