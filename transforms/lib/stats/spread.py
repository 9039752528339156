"""How scores are spread, in a fixed number of counts, whatever the number of samples: quantiles, and their drift."""

from __future__ import annotations

import dataclasses

import numpy as np

from transforms.lib.arrays import Float32, Int64
from transforms.lib.stats import quantiles

_BITS = 20  # of the 32 of a float32 in its order: bins of a 2,048th of their value
_LEVELS = (0.05, 0.5, 0.95)


@dataclasses.dataclass
class Spread:
    """Counts of scores by the upper bits of their keys.

    Attributes:
      counts: ``[2**20]``, in the order of the scores.
      total: sum of the scores.
    """

    counts: Int64 = dataclasses.field(default_factory=lambda: np.zeros(1 << _BITS, np.int64))
    total: float = 0.0

    def add(self, scores: Float32) -> None:
        """Counts scores ``[n]``; those that are not finite are left out."""
        finite = scores[np.isfinite(scores)]
        self.counts += np.bincount(quantiles.ordered_bits(finite) >> np.uint32(32 - _BITS), minlength=1 << _BITS)
        self.total += float(np.sum(finite, dtype=np.float64))

    @property
    def samples(self) -> int:
        """How many scores were counted."""
        return int(self.counts.sum())

    def facts(self) -> dict[str, float]:
        """Returns mean, and 5, 50 and 95 % quantiles to a 2,048th of their value; empty where there is no score."""
        if not self.samples:
            return {}
        ends = np.cumsum(self.counts)
        ranks = [max(1, round(level * self.samples)) for level in _LEVELS]
        bins = np.searchsorted(ends, ranks)
        found = [quantiles.score_of(int(one) << (32 - _BITS)) for one in bins]
        named = {f"p{100 * level:02.0f}": round(value, 6) for level, value in zip(_LEVELS, found, strict=True)}
        return {"mean": round(self.total / self.samples, 6), **named}


def drift(left: Spread, right: Spread) -> float | None:
    """Returns the Kolmogorov-Smirnov distance of two columns, to within a bin; None where one has no score."""
    if not left.samples or not right.samples:
        return None
    return float(np.abs(np.cumsum(left.counts) / left.samples - np.cumsum(right.counts) / right.samples).max())
