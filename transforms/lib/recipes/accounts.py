"""The books: what became of every sample, per shard and in total, and the identities that must hold."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from transforms.lib.arrays import Float32, Int64
from transforms.lib.errors import AccountsError
from transforms.lib.tar_account import TarAccount

BINS = 200  # of the score histogram over [-1, 1]
SHOWN = 12  # thumbnails of each kind


@dataclasses.dataclass(frozen=True, order=True)
class Exhibit:
    """A sample the report may show: where it lies and what was decided. Orders by ``rank``, then by uid and place.

    Attributes:
      rank: smaller is shown first; a uid hash, or the distance from the threshold.
      row: of the sample in the columns of its shard.
    """

    rank: float
    uid: str
    shard: str
    row: int
    uri: str
    score: float
    margin: float
    step: str


@dataclasses.dataclass(frozen=True)
class Books:
    """Counts of one shard or of many; ``merge`` adds them.

    Attributes:
      shards: shards counted.
      samples: all samples found, rejected ones included.
      kept: samples with at least one copy.
      copies: copies that go into the output.
      dropped: step label -> samples.
      rejected: reason -> samples.
      notices: kind -> samples that are odd and were not rejected for it.
      size_bytes: bytes of the tars.
      tar: what became of the bytes of the tars that an account is known of.
      histogram: int64 ``[BINS]``, scores of all valid samples over [-1, 1].
      histogram_kept: the same of the kept ones.
      exhibits: ``kept``, ``dropped`` and ``borderline`` -> up to ``SHOWN`` samples, smallest rank first.
    """

    shards: int = 0
    samples: int = 0
    kept: int = 0
    copies: int = 0
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notices: Mapping[str, int] = dataclasses.field(default_factory=dict)
    size_bytes: int = 0
    tar: TarAccount = dataclasses.field(default_factory=TarAccount)
    histogram: Int64 = dataclasses.field(default_factory=lambda: np.zeros(BINS, np.int64))
    histogram_kept: Int64 = dataclasses.field(default_factory=lambda: np.zeros(BINS, np.int64))
    exhibits: Mapping[str, tuple[Exhibit, ...]] = dataclasses.field(default_factory=dict)

    @property
    def num_rejected(self) -> int:
        """Samples rejected, for whatever reason."""
        return sum(self.rejected.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns the counts as JSON values; names sorted. Notices are left out where there are none."""
        notices = {"notices": dict(sorted(self.notices.items()))} if self.notices else {}
        return {
            "shards": self.shards,
            "samples": self.samples,
            "kept": self.kept,
            "copies": self.copies,
            "dropped": dict(sorted(self.dropped.items())),
            "rejected": dict(sorted(self.rejected.items())),
            **notices,
            "bytes": self.size_bytes,
            "tar": dataclasses.asdict(self.tar),
        }


def histogram(scores: Float32) -> Int64:
    """Returns int64 ``[BINS]``: finite scores counted over [-1, 1]; values outside fall into the end bins."""
    finite = scores[np.isfinite(scores)].astype(np.float64)
    bins = np.clip((finite + 1) * (BINS / 2), 0, BINS - 1).astype(np.int64)
    return np.bincount(bins, minlength=BINS).astype(np.int64)


def merge(left: Books, right: Books) -> Books:
    """Returns the books of both; associative and commutative."""
    shown = {
        kind: tuple(sorted({*left.exhibits.get(kind, ()), *right.exhibits.get(kind, ())})[:SHOWN])
        for kind in sorted({*left.exhibits, *right.exhibits})
    }
    return Books(
        shards=left.shards + right.shards,
        samples=left.samples + right.samples,
        kept=left.kept + right.kept,
        copies=left.copies + right.copies,
        dropped=dict(Counter(left.dropped) + Counter(right.dropped)),
        rejected=dict(Counter(left.rejected) + Counter(right.rejected)),
        notices=dict(Counter(left.notices) + Counter(right.notices)),
        size_bytes=left.size_bytes + right.size_bytes,
        tar=left.tar.plus(right.tar),
        histogram=left.histogram + right.histogram,
        histogram_kept=left.histogram_kept + right.histogram_kept,
        exhibits=shown,
    )


def check_closed(books: Books, where: str) -> None:
    """Checks that every sample was kept, dropped by a step or rejected for a reason, and every byte accounted for.

    Raises:
      AccountsError: the counts do not add up.
    """
    books.tar.check(where, books.size_bytes if books.tar.shards == books.shards else None)
    dropped = sum(books.dropped.values())
    if books.kept + dropped + books.num_rejected != books.samples:
        raise AccountsError(
            f"the books of {where} do not close: {books.kept} kept + {dropped} dropped + "
            f"{books.num_rejected} rejected != {books.samples} samples"
        )
    if books.copies < books.kept:
        raise AccountsError(f"the books of {where} do not close: {books.copies} copies of {books.kept} kept samples")


def check_rejects(books: Books, max_reject_fraction: float) -> None:
    """Checks that not more samples were rejected than the user allows.

    Raises:
      AccountsError: too many; the message counts them by reason.
    """
    if books.num_rejected > max_reject_fraction * books.samples:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(books.rejected.items()))
        raise AccountsError(
            f"{books.num_rejected} of {books.samples} samples were rejected ({reasons}), more than the share "
            f"{max_reject_fraction:g} that --max_reject_fraction allows; columns/index names each one"
        )


def check_written(books: Books, written: int) -> None:
    """Checks that the output holds exactly the copies that were decided.

    Raises:
      AccountsError: it does not.
    """
    if written != books.copies:
        raise AccountsError(f"{books.copies} copies were decided and {written} were written")
