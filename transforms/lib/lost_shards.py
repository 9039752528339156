"""Shards of a pool that nothing could be read of: how many, which, and how many a user allows."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from transforms.lib.errors import AccountsError, Reason

REASONS = (Reason.SHARD_UNREADABLE.value, Reason.NOT_A_TAR.value)
"""Reasons of the one row that stands for a whole shard."""
_NAMED = 10  # shards that a message names


class Lost(NamedTuple):
    """Counts of shards.

    Attributes:
      shards: all that were counted.
      lost: those of them that nothing could be read of.
      first: up to ten of these, (name, what was found), in the order of their names.
    """

    shards: int = 0
    lost: int = 0
    first: tuple[tuple[str, str], ...] = ()

    def plus(self, other: Lost) -> Lost:
        """Returns the counts of both; associative and commutative."""
        first = sorted({*self.first, *other.first})[:_NAMED]
        return Lost(self.shards + other.shards, self.lost + other.lost, tuple(first))

    def sentence(self) -> str:
        """Returns the counts in words; "" where no shard is lost."""
        if not self.lost:
            return ""
        named = ", ".join(f"{name} ({found})" for name, found in self.first)
        more = f" and {self.lost - len(self.first):,} more" if self.lost > len(self.first) else ""
        return f"{self.lost:,} of {self.shards:,} shards could not be read, and all of their samples are missing: " + (
            f"{named}{more}"
        )

    def check(self, allowed: float) -> None:
        """Checks that not more shards are lost than the user allows.

        Args:
          allowed: share of all shards, in [0, 1].

        Raises:
          AccountsError: more are; the message names them.
        """
        if self.lost > allowed * self.shards:
            raise AccountsError(
                f"{self.sentence()}; that is more than the share {allowed:g} that --max_unreadable_fraction allows. "
                "What is done is kept, and the same command tries these shards again"
            )


def lost(shard: str, index: pa.Table) -> Lost:
    """Returns the counts of one shard.

    Args:
      shard: its name.
      index: its rows, at least the columns ``status`` and ``detail``.
    """
    if len(index) != 1 or index["status"][0].as_py() not in REASONS:
        return Lost(1)
    (row,) = index.select(["status", "detail"]).to_pylist()
    return Lost(1, 1, ((shard, ": ".join(filter(None, (row["status"], row["detail"])))),))
