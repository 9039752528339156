"""Numbers of a run, sent step by step to a program that draws them: one small interface, whatever the program.

``--track tensorboard:FOLDER`` names it. The library is imported when the first tracker is opened; it belongs to the
extra ``tracking``, and no job needs it otherwise.
"""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

FORMS = "tensorboard:FOLDER"
"""What ``--track`` takes."""


class Tracker(Protocol):
    """Takes numbers of one run; close it, or use it as a context."""

    def log(self, step: int, name: str, value: float) -> None:
        """Records a number.

        Args:
          step: at least 0; equal names come with rising steps.
          name: words with slashes, such as ``train/loss``.
          value: NaN and infinities are recorded as such.
        """

    def close(self) -> None:
        """Writes what is not written yet."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Closing:
    """A tracker that closes at the end of a block."""

    def close(self) -> None:
        """Writes what is not written yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class NoTracker(_Closing):
    """Takes numbers and drops them: the tracker of a run without ``--track``."""

    def log(self, step: int, name: str, value: float) -> None:
        """Does nothing."""


class TensorBoard(_Closing):
    """Writes TensorBoard's event files below a folder, one subfolder per run.

    Args:
      folder: the log folder; local, as TensorBoard's own writer has it.
      run: name of the subfolder.
    """

    def __init__(self, folder: str, run: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = Event, Summary
        self._writer: Any = EventFileWriter(os.path.join(folder, run))

    def log(self, step: int, name: str, value: float) -> None:
        """Records a number with the time of the call."""
        summary = self._summary(value=[self._summary.Value(tag=name, simple_value=value)])
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Writes what is not written yet."""
        self._writer.close()


_KINDS: Mapping[str, tuple[str, Callable[[str, str], Tracker]]] = {"tensorboard": ("tensorboard", TensorBoard)}
"""Word of ``--track`` -> package that it needs, and what opens it."""


def problems(spec: str) -> list[str]:
    """Returns what is wrong with a value of ``--track``, one line each; empty text tracks nothing."""
    if not spec:
        return []
    kind, _, place = spec.partition(":")
    if kind not in _KINDS or not place:
        return [f"--track {spec} is unknown; write {FORMS}"]
    if importlib.util.find_spec(_KINDS[kind][0]) is None:
        return [f"--track {spec}: {kind} is not installed; install winnow-beam[tracking]"]
    if "://" in place:
        return [f"--track {spec}: TensorBoard's writer needs a folder of this machine; copy it from there"]
    return []


def open_tracker(spec: str, run: str) -> Tracker:
    """Opens a tracker.

    Args:
      spec: value of ``--track`` without ``problems``; empty for one that drops everything.
      run: what the run is called, such as ``train-filter``.
    """
    if not spec:
        return NoTracker()
    kind, _, place = spec.partition(":")
    return _KINDS[kind][1](place, run)


def numbers_of(books: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of a run's books: name with slashes -> value.

    Args:
      books: the content of ``books.json``.
    """
    found: dict[str, float] = {}
    for name, value in books.items():
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            found[f"books/{name}"] = value
        elif isinstance(value, Mapping) and name != "tar":
            found |= {f"books/{name}{inner.removeprefix('books')}": one for inner, one in numbers_of(value).items()}
    return found
