"""What a worker logs: one line when work on a shard begins and one when it ends, at INFO, of the same form everywhere.

Beam's runners show INFO of their workers; the command line shows WARNING and above, so a local run stays silent. The
lines name shards and counts, and nothing of the samples: no caption, no key, no uid, no address.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator


@dataclasses.dataclass
class Outcome:
    """What became of a shard; whoever works on it fills it in.

    Attributes:
      samples: of the shard; None while nobody has counted them.
      rejected: those of them that were rejected; None where this work rejects none.
      skipped: the work was done before.
    """

    samples: int | None = None
    rejected: int | None = None
    skipped: bool = False

    def __str__(self) -> str:
        if self.skipped:
            return "was done before"
        counts = {"samples": self.samples, "rejected": self.rejected}
        return ", ".join(["done", *(f"{count} {name}" for name, count in counts.items() if count is not None)])


@contextlib.contextmanager
def logged(logger: logging.Logger, work: str, shard: str) -> Iterator[Outcome]:
    """Logs the begin and the end of the work of a ``with`` block on one shard.

    Args:
      logger: of the module that works.
      work: a verb, such as ``score``.
      shard: its name.

    Yields:
      what the last line tells, to be filled in; of an error it names the class, and the runner logs the rest.
    """
    logger.info("%s %s: begun", work, shard)
    start, outcome = time.monotonic(), Outcome()
    try:
        yield outcome
    except BaseException as error:
        logger.info("%s %s: failed with %s, %.1f s", work, shard, type(error).__name__, time.monotonic() - start)
        raise
    logger.info("%s %s: %s, %.1f s", work, shard, outcome, time.monotonic() - start)
