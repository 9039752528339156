"""Steps over clusters: density-based pruning, and balance."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from transforms.lib.clusters.vector_files import read_vectors
from transforms.lib.errors import CapacityError
from transforms.lib.recipes.clusters import quotas
from transforms.lib.recipes.clusters.per_cluster import GRID, Census, PerCluster
from transforms.lib.recipes.clusters.quotas import Float64, Int64
from transforms.lib.recipes.step import Block
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
    (``density.quotas``). The least is 1, or ``int(balance * T / k)``, but always below the size, so that a cluster of
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
        found = super().faults() + _keep_problems(self.label, self.keep, self.of)
        if not self.tau >= 1e-3:
            found.append(f"{self.label}.tau must be at least 0.001, got {self.tau}; the paper has 0.1")
        if self.neighbours < 1:
            found.append(f"{self.label}.neighbours must be at least 1, got {self.neighbours}; the paper has 20")
        if not 0 <= self.balance <= 1:
            found.append(f"{self.label}.balance must be in [0, 1], got {self.balance}; the paper has 0")
        return found

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
            f"Keep {100 * self.keep:.4g} % of {_whom(self.of)} by density: more of complex clusters of {self.clusters} "
            f"(tau {self.tau:g}, {self.neighbours} neighbours), {_which(self.prefer)} of each, seed {self.seed}."
        )


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
        found = super().faults()
        if (self.cap == 0) == (self.keep == 0):
            found.append(f"{self.label} needs either cap, samples of a cluster at most, or keep, a share of all")
        if self.cap < 0:
            found.append(f"{self.label}.cap must be at least 0, got {self.cap}")
        return found + (_keep_problems(self.label, self.keep, self.of) if self.keep else [])

    def _quotas(self, census: Census) -> tuple[int, Int64]:
        sizes = census.sizes
        of = int(sizes.sum()) if self.of == "remaining" else census.valid
        if self.cap:
            return of, np.minimum(sizes, self.cap)
        total = min(quantiles.number_kept(self.keep, of), int(sizes.sum()))
        return of, quotas.quotas(np.zeros(len(sizes)), total, np.zeros_like(sizes), sizes)

    def sentence(self) -> str:
        what = f"at most {self.cap} samples" if self.cap else "the same number of samples"
        share = "" if self.cap else f", {100 * self.keep:.4g} % of {_whom(self.of)} together"
        return f"Keep {what} of each cluster of {self.clusters}{share}: {_which(self.prefer)}, seed {self.seed}."


def _keep_problems(label: str, keep: float, of: str) -> list[str]:
    found = []
    if not 0 < keep <= 1:
        found.append(f"{label}.keep must be in (0, 1], got {keep}; 0.25 keeps a quarter")
    if of not in ("pool", "remaining"):
        found.append(f"{label}.of must be pool or remaining, got {of!r}")
    return found


def _whom(of: str) -> str:
    return "all samples" if of == "pool" else "the samples that are left"


def _which(prefer: str) -> str:
    ways = {"hard": "those least like the centroid", "easy": "those most like the centroid", "random": "any of them"}
    return ways[prefer]
