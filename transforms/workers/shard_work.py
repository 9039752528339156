"""What all work on one shard shares: its form, what it loads once, and its lines in the log of the worker.

Work on a shard is a frozen dataclass of settings, which is sent to the workers, with ``__call__(ref, ...)``.

Its log: one line when the work begins and one when it ends, at INFO, of the same form everywhere. Beam's runners show
INFO of their workers; the command line shows WARNING and above, so a local run stays silent. The lines name shards and
counts, and nothing of the samples: no caption, no key, no uid, no address.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import apache_beam as beam

from transforms.lib import work_lines
from transforms.lib.work_lines import WorkLine

WorkRow = TypeVar("WorkRow", contravariant=True)
Loaded = TypeVar("Loaded")
WorkResult = TypeVar("WorkResult", covariant=True)
Sample = TypeVar("Sample")


class LoadingWork(Protocol[WorkRow, Loaded, WorkResult]):
    """Work on one shard with models or files that stay in memory: settings that are sent to the workers."""

    def load(self) -> Loaded:
        """Loads what every shard needs; threads share it."""

    def __call__(self, ref: WorkRow, loaded: Loaded, /) -> WorkResult:
        """Works on one shard."""


class LoadOnceFn(beam.DoFn):
    """Calls a work for each shard, with what it loads once; ``ShardHandler`` does so where one process shares a model.

    Args:
      work: what is done with a shard.
    """

    def __init__(self, work: LoadingWork[Any, Any, Any]) -> None:
        super().__init__()
        self._work = work

    def setup(self) -> None:
        self._loaded = self._work.load()

    def process(self, ref: Any) -> Iterator[Any]:
        yield self._work(ref, self._loaded)


@dataclasses.dataclass
class Outcome:
    """What became of a shard; whoever works on it fills it in.

    Attributes:
      samples: of the shard; None while nobody has counted them.
      rejected: those of them that were rejected; None where this work rejects none.
      skipped: the work was done before.
      note: logs how many samples are done so far; ``counted`` calls it.
    """

    samples: int | None = None
    rejected: int | None = None
    skipped: bool = False
    note: Callable[[int], None] = lambda samples: None

    def counted(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Passes samples on, and notes their number once per second at most."""
        noted = time.monotonic()
        for number, sample in enumerate(samples):
            if time.monotonic() - noted >= 1:
                noted = time.monotonic()
                self.note(number)
            yield sample


@contextlib.contextmanager
def logged(logger: logging.Logger, work: str, shard: str) -> Iterator[Outcome]:
    """Logs the begin and the end of the work of a ``with`` block on one shard, at INFO, and what is between at DEBUG.

    Args:
      logger: of the module that works.
      work: a verb, such as ``score``.
      shard: its name.

    Yields:
      what the last line tells, to be filled in; of an error it names the class, and the runner logs the rest.
    """
    logger.info("%s", WorkLine(work, shard, work_lines.BEGUN))
    start = time.monotonic()
    outcome = Outcome(note=lambda number: logger.debug("%s", WorkLine(work, shard, work_lines.AT, number)))
    try:
        yield outcome
    except BaseException as error:
        seconds = time.monotonic() - start
        logger.info("%s", WorkLine(work, shard, work_lines.FAILED, seconds=seconds, error=type(error).__name__))
        raise
    state = work_lines.SKIPPED if outcome.skipped else work_lines.DONE
    logger.info("%s", WorkLine(work, shard, state, outcome.samples, outcome.rejected, time.monotonic() - start))
