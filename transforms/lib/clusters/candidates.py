"""The best centroids of each row before exact products decide between them: what both engines return."""

from __future__ import annotations

from typing import NamedTuple

from transforms.lib.arrays import Float32, Int64


class Ranked(NamedTuple):
    """The best centroids of each row as far as float32 can tell.

    Attributes:
      which: int64 ``[m, n]``, the best ``m``, best first.
      scores: float32 ``[m + 1, n]``, their scores and that of the next; -inf where there is none.
    """

    which: Int64
    scores: Float32

    def part(self, rows: slice) -> Ranked:
        """Returns what is known of some rows."""
        return Ranked(self.which[:, rows], self.scores[:, rows])
