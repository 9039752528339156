"""The books: what became of every sample, per shard and in total, and the identities that must hold."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from transforms.lib.errors import AccountsError, Reason
from transforms.lib.lost_shards import Lost
from transforms.lib.tar_account import TarAccount


class Repeated(NamedTuple):
    """Kept samples that share their uid with another kept sample: uids, samples, and copies of these."""

    uids: int = 0
    samples: int = 0
    copies: int = 0

    def sentence(self) -> str:
        """Returns the counts in words; "" where no uid is repeated."""
        if not self.uids:
            return ""
        return (
            f"{self.samples:,} of the kept samples share {self.uids:,} uids, and have {self.copies:,} copies; "
            "--on_repeated_uid first keeps the first sample of each uid"
        )


class Coverage(NamedTuple):
    """Different uids that a subset file lists, and how many of them were found in the pool."""

    uids: int
    found: int


class Limits(NamedTuple):
    """What is no failure: largest share of rejected samples, smallest of uids found, repeated uids, lost shards."""

    max_reject_fraction: float
    min_coverage: float = 0.0
    on_repeated_uid: str = "keep"
    max_unreadable_fraction: float = 0.0


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
      listed: label of a step that selects by a subset file -> samples that it lists.
      size_bytes: bytes of the tars.
      tar: what became of the bytes of the tars that an account is known of.
      lost: shards that nothing could be read of.
    """

    shards: int = 0
    samples: int = 0
    kept: int = 0
    copies: int = 0
    dropped: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rejected: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notices: Mapping[str, int] = dataclasses.field(default_factory=dict)
    listed: Mapping[str, int] = dataclasses.field(default_factory=dict)
    size_bytes: int = 0
    tar: TarAccount = dataclasses.field(default_factory=TarAccount)
    lost: Lost = dataclasses.field(default_factory=Lost)

    @property
    def num_rejected(self) -> int:
        """Samples rejected, for whatever reason."""
        return sum(self.rejected.values())

    def as_dict(self) -> dict[str, Any]:
        """Returns the counts as JSON values, names sorted; no notices or account of tars where there are none."""
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
            **({"tar": dataclasses.asdict(self.tar)} if self.tar.shards else {}),
            **({"lost_shards": {"count": self.lost.lost, "first": dict(self.lost.first)}} if self.lost.lost else {}),
        }


def merge(left: Books, right: Books) -> Books:
    """Returns the books of both; associative and commutative."""
    return Books(
        shards=left.shards + right.shards,
        samples=left.samples + right.samples,
        kept=left.kept + right.kept,
        copies=left.copies + right.copies,
        dropped=dict(Counter(left.dropped) + Counter(right.dropped)),
        rejected=dict(Counter(left.rejected) + Counter(right.rejected)),
        notices=dict(Counter(left.notices) + Counter(right.notices)),
        listed=_added(left.listed, right.listed),
        size_bytes=left.size_bytes + right.size_bytes,
        tar=left.tar.plus(right.tar),
        lost=left.lost.plus(right.lost),
    )


def _added(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    """Returns the sums of counts by name; names whose count is 0 stay."""
    return {name: left.get(name, 0) + right.get(name, 0) for name in {**left, **right}}


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
    """Checks that not more samples were rejected than the user allows; those that were taken down are not counted.

    Raises:
      AccountsError: too many; the message counts them by reason.
    """
    failed = {reason: count for reason, count in sorted(books.rejected.items()) if reason != Reason.TAKEN_DOWN}
    if sum(failed.values()) > max_reject_fraction * books.samples:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.items())
        raise AccountsError(
            f"{sum(failed.values())} of {books.samples} samples were rejected ({reasons}), more than the share "
            f"{max_reject_fraction:g} that --max_reject_fraction allows; see each one: `winnow export --output OUT "
            "--columns shard,key,status,detail --to samples.csv`"
        )


def check_coverage(coverage: Mapping[str, Coverage], min_coverage: float) -> None:
    """Checks that the samples that subset files list are in the pool.

    Args:
      coverage: label of the step -> what its file lists, and what was found.
      min_coverage: the smallest share of uids that must be found; none found is never enough.

    Raises:
      AccountsError: too few were found.
    """
    for label, (listed, found) in sorted(coverage.items()):
        if listed and not found:
            raise AccountsError(
                f"not one of the {listed:,} uids that {label}.file lists is in this pool; name the pool that it was "
                "made for, and the json field of its uids by --uid_field (docs/pools.md says what names a sample)"
            )
        if found < min_coverage * listed:
            raise AccountsError(
                f"{found:,} of the {listed:,} uids that {label}.file lists were found, less than the share "
                f"{min_coverage:g} that --min_coverage demands; missing.npy has the others"
            )


def check_repeated(repeated: Repeated, on_repeated_uid: str) -> None:
    """Checks that no uid names two kept samples, where the user wants none that does.

    Raises:
      AccountsError: some do.
    """
    if on_repeated_uid == "error" and repeated.uids:
        raise AccountsError(f"{repeated.sentence()}, and keep all of them")


def check_written(books: Books, written: int) -> None:
    """Checks that the output holds exactly the copies that were decided.

    Raises:
      AccountsError: it does not.
    """
    if written != books.copies:
        raise AccountsError(f"{books.copies} copies were decided and {written} were written")
