"""Steps over clusters: density-based pruning, and balance."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from transforms.lib.arrays import Float64, Int64
from transforms.lib.clusters.vector_files import read_vectors
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import CapacityError
from transforms.lib.recipes.clusters import quotas
from transforms.lib.recipes.clusters.per_cluster import GRID, Census, PerCluster, keep_problems, population, survivors
from transforms.lib.stats import quantiles


@functools.lru_cache(maxsize=2)
def _distances(path: str, neighbours: int) -> Float64:
    return quotas.d_inter(read_vectors(path, path, "centroids"), neighbours)


@dataclasses.dataclass(frozen=True)
class DensityPrune(PerCluster):
    """Keeps more of the clusters that are complex, spread out and far from others, and in each the hard samples.

    ``d_intra`` of a cluster is the mean of 1 - similarity over the samples left in it, ``d_inter`` the mean cosine
    distance of its centroid to the ``neighbours`` nearest others, its complexity their product, and its share the
    softmax of complexity / ``tau``. With T samples to keep, the quotas are the whole numbers nearest to share * T, in
    the sense of least squares, that sum to T exactly and lie between a least number and the size of the cluster
    (``quotas.quotas``). The least is 1, or ``int(balance * T / k)``, but always below the size, so that a cluster of
    one sample can vanish. Empty clusters take no part.

    Source: Abbas et al. 2024, arXiv:2401.04578, section 3: tau 0.1, 20 neighbours, no balance, hard. Deduplicate
    and cut by CLIP score first, as the paper does.

    Attributes:
      clusters, prefer, seed: as in ``PerCluster``.
      keep: share to keep, in (0, 1].
      of: what it is a share of: ``remaining``, the samples that earlier steps left, or ``pool``.
      tau: temperature, above 0; the released code's default of 0.5 is not the paper's.
      neighbours: of a centroid, at least 1.
      balance: share of an even split that every cluster keeps, in [0, 1].
      centroids: file of the centroids; by default those that ``clusters`` was made with.
    """

    kind = "density_prune"
    files = ("centroids",)

    keep: float = 0.25
    of: str = "remaining"
    tau: float = 0.1
    neighbours: int = 20
    balance: float = 0.0
    centroids: str = ""

    def faults(self) -> list[str]:
        problems = super().faults() + keep_problems(self.label, self.keep, self.of)
        if not self.tau >= 1e-3:
            problems.append(f"{self.label}.tau must be at least 0.001, got {self.tau}; the paper has 0.1")
        if self.neighbours < 1:
            problems.append(f"{self.label}.neighbours must be at least 1, got {self.neighbours}; the paper has 20")
        if not 0 <= self.balance <= 1:
            problems.append(f"{self.label}.balance must be in [0, 1], got {self.balance}; the paper has 0")
        return problems

    def named_files(self, root: str) -> dict[str, str]:
        default = f"{root.rstrip('/')}/clusters/{self.clusters}/centroids.safetensors"
        return {f"{self.label}.centroids": self.centroids or default}

    def check_files(self, files: Mapping[str, str]) -> None:
        read_vectors(files[f"{self.label}.centroids"], self.centroids or self.clusters, f"{self.label}.centroids")

    def _inter(self, block: Block) -> Float64:
        return _distances(block.files[f"{self.label}.centroids"], self.neighbours)

    def _quotas(self, census: Census) -> tuple[int, Int64]:
        sizes = census.sizes
        k = len(census.inter)
        if len(sizes) > k:
            raise CapacityError(
                f"{self.label}: {self.clusters} has cluster {len(sizes) - 1}, its centroids are {k}; "
                "run `winnow cluster` again, or name the centroids that it was made with"
            )
        of = int(sizes.sum()) if self.of == "remaining" else census.valid
        total = quantiles.number_kept(self.keep, of)
        least = int(self.balance * total / k) if self.balance > 0 else 1
        low = np.clip(np.minimum(least, sizes - 1), 0, None)
        if total > sizes.sum():
            raise CapacityError(
                f"{self.label}: {total} samples are to be kept and {sizes.sum()} are left; lower keep, or of: remaining"
            )
        if low.sum() > total:
            raise CapacityError(
                f"{self.label}: the clusters keep {low.sum()} samples at least, more than the {total} to keep; raise "
                "keep, lower balance, or make fewer clusters"
            )
        intra = 1 - census.similarity / GRID / np.maximum(sizes, 1)
        share = quotas.shares(intra * census.inter[: len(sizes)], sizes, self.tau)
        return of, quotas.quotas(share * total, total, low, sizes)

    def sentence(self) -> str:
        return (
            f"Keep {100 * self.keep:.4g} % of {population(self.of)}, chosen by density: more from the complex clusters "
            f"of {self.clusters} (tau {self.tau:g}, {self.neighbours} neighbours), and from each cluster "
            f"{survivors(self.prefer)}, seed {self.seed}."
        )
