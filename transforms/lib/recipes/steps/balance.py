"""Balance over clusters: as many samples of each, or at most so many."""

from __future__ import annotations

import dataclasses

import numpy as np

from transforms.lib.arrays import Int64
from transforms.lib.recipes.clusters import quotas
from transforms.lib.recipes.clusters.per_cluster import Census, PerCluster, keep_problems, population, survivors
from transforms.lib.stats import quantiles


@dataclasses.dataclass(frozen=True)
class Balance(PerCluster):
    """Keeps at most ``cap`` samples of each cluster, or a share of all with the clusters as even as they can be.

    With ``keep``, every cluster keeps the same number, but for small ones, which are kept whole: that number is found
    so that exactly ``floor(keep * N + 1/2)`` samples are kept, or all that are left where those are fewer. It is the
    sampling that is uniform over clusters, without copies; prefer ``random`` for that.

    Attributes:
      clusters, prefer, seed: as in ``PerCluster``.
      cap: samples of a cluster at most; 0 for none.
      keep: share to keep, in (0, 1]; 0 for none. Exactly one of ``cap`` and ``keep`` is given.
      of: as in ``DensityPrune``.
    """

    kind = "balance"

    prefer: str = "random"
    cap: int = 0
    keep: float = 0.0
    of: str = "remaining"

    def faults(self) -> list[str]:
        problems = super().faults()
        if (self.cap == 0) == (self.keep == 0):
            problems.append(f"{self.label} needs either cap, samples of a cluster at most, or keep, a share of all")
        if self.cap < 0:
            problems.append(f"{self.label}.cap must be at least 0, got {self.cap}")
        return problems + (keep_problems(self.label, self.keep, self.of) if self.keep else [])

    def _quotas(self, census: Census) -> tuple[int, Int64]:
        sizes = census.sizes
        of = int(sizes.sum()) if self.of == "remaining" else census.valid
        if self.cap:
            return of, np.minimum(sizes, self.cap)
        total = min(quantiles.number_kept(self.keep, of), int(sizes.sum()))
        return of, quotas.quotas(np.zeros(len(sizes)), total, np.zeros_like(sizes), sizes)

    def sentence(self) -> str:
        number = f"at most {self.cap} samples" if self.cap else "the same number of samples"
        share = "" if self.cap else f", in total {100 * self.keep:.4g} % of {population(self.of)}"
        return f"Keep {number} per cluster of {self.clusters}{share}: {survivors(self.prefer)}, seed {self.seed}."
