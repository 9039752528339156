"""What steps that keep so many samples of each cluster have in common: the census, the exact cut, the verdict.

The census is the first round: a count of the samples of each cluster, and the sums that quotas are computed from.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Float32, Float64, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError
from transforms.lib.recipes.clusters import group_topk
from transforms.lib.recipes.clusters.group_topk import Cuts, GroupedRows
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import NUMBER, UID, Step, Verdict
from transforms.lib.stats import quantiles, ties

PREFERS = ("hard", "easy", "random")
GRID = 2.0**30  # similarities are added up as multiples of 1 / GRID, so that no order matters


class Census(NamedTuple):
    """What is counted of a pool.

    Attributes:
      valid: samples with a value, whatever earlier steps dropped.
      sizes: int64 ``[k]``, samples left in each cluster.
      similarity: int64 ``[k]``, sums of their similarities to the centroid, in steps of 2**-30.
      inter: float64 ``[k]``, distance of each centroid to its neighbours; empty where the step needs none.
    """

    valid: int
    sizes: Int64
    similarity: Int64
    inter: Float64


@record("per_cluster/1", formerly="percluster.State")
class ClusterCutState(NamedTuple):
    """What is known: nothing, or how many samples there are and are kept, and where clusters are cut."""

    of: int = 0
    keep: int = 0
    cuts: Cuts | None = None


def _add(left: Int64, right: Int64) -> Int64:
    total = np.zeros(max(len(left), len(right)), np.int64)
    total[: len(left)] += left
    total[: len(right)] += right
    return total


@dataclasses.dataclass(frozen=True)
class PerCluster(Step):
    """A step that keeps an exact number of samples of each cluster, which ``_quotas`` finds from a census.

    Cost: a round that merges 16 bytes per cluster, four that merge 2 KiB per cluster; three more only where equal
    samples straddle a cut. No cluster is ever in one place.

    Attributes:
      clusters: column set with ``cluster`` and ``similarity``, as ``winnow cluster`` writes it.
      prefer: which samples of a cluster are kept: ``hard`` (least similar to the centroid), ``easy`` (most similar) or
        ``random``. Equal ones go by uid.
      seed: of ``random`` and of the order of equals.
    """

    rounds = 1 + group_topk.ROUNDS

    clusters: str = ""
    prefer: str = "hard"
    seed: int = 0

    def faults(self) -> list[str]:
        problems = []
        if not self.clusters:
            problems.append(
                f"{self.label}.clusters is missing; name a column set of `winnow cluster`, such as cluster_k500"
            )
        if self.prefer not in PREFERS:
            problems.append(f"{self.label}.prefer must be {' or '.join(PREFERS)}, got {self.prefer!r}")
        return problems

    def input_types(self) -> tuple[str, ...]:
        return (NUMBER, NUMBER, UID)

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.clusters}.cluster", f"{self.clusters}.similarity", "uid")

    def score(self) -> str:
        return self.inputs()[1]

    def hint(self, column: str) -> str:
        return f"`winnow cluster --name {self.clusters}` adds it" if column != "uid" else ""

    def needs(self, state: ClusterCutState) -> tuple[str, ...]:
        if state.cuts is None:
            return self.inputs()[:2]
        if state.cuts.done:
            return ()
        return self.inputs() if self.prefer == "random" or state.cuts.needs_places else self.inputs()[:2]

    def start(self) -> ClusterCutState:
        return ClusterCutState()

    def _inter(self, block: Block) -> Float64:
        """Returns what of the centroids the census needs; nothing, unless a step says otherwise."""
        return np.zeros(0)

    def _quotas(self, census: Census) -> tuple[int, Int64]:
        """Returns (samples that the number kept refers to, int64 ``[k]`` samples to keep of each cluster)."""
        raise NotImplementedError

    def _candidates(self, block: Block, places: bool) -> tuple[NDArray[np.intp], GroupedRows]:
        alive = np.flatnonzero(block.alive)
        columns = self.inputs()
        group = block.columns[columns[0]][alive].astype(np.int64)
        hashes = uids.keyed_hash(block.columns["uid"][alive], self.seed) if places else np.zeros(0, np.uint64)
        if self.prefer == "random":
            key = (hashes >> np.uint64(32)).astype(np.uint32)
        else:
            bits = quantiles.ordered_bits(block.columns[columns[1]][alive])
            key = bits if self.prefer == "hard" else ~bits
        order = ties.order(block.shard, alive, hashes) if places else np.zeros(0, ties.DTYPE)
        return alive, GroupedRows(group, key, order)

    def summarise(self, block: Block, state: ClusterCutState) -> Any:
        if state.cuts is not None:
            places = "uid" in self.needs(state)
            return state.cuts.summarise(self._candidates(block, places)[1])
        cluster, similarity = (block.columns[name][block.alive] for name in self.inputs()[:2])
        steps = np.bincount(cluster, np.rint(similarity.astype(np.float64) * GRID))
        return Census(int(block.valid.sum()), np.bincount(cluster), steps.astype(np.int64), self._inter(block))

    def merge(self, left: Any, right: Any) -> Any:
        if isinstance(left, Census):
            sizes, similarity = _add(left.sizes, right.sizes), _add(left.similarity, right.similarity)
            return Census(left.valid + right.valid, sizes, similarity, left.inter)
        return np.concatenate([left, right]) if left.dtype.names else left + right

    def solve(self, state: ClusterCutState, summary: Any) -> ClusterCutState:
        if state.cuts is not None:
            return state._replace(cuts=state.cuts.solve(summary))
        if summary is None or not summary.sizes.sum():
            raise EmptyPoolError(f"{self.label}: no sample with a cluster is left")
        of, quota = self._quotas(summary)
        return ClusterCutState(of, int(quota.sum()), group_topk.start(quota, summary.sizes))

    def apply(self, block: Block, state: ClusterCutState) -> Verdict:
        assert state.cuts is not None
        keep = np.zeros(len(block.valid), bool)
        margin = np.full(len(block.valid), -np.inf, np.float32)
        alive, candidates = self._candidates(block, places=True)
        kept = state.cuts.keep(candidates)
        keep[alive] = kept
        margin[alive] = np.where(kept, 1, -1) * np.abs(self._distance(candidates, state.cuts))
        return Verdict.of(block, keep, margin)

    def _distance(self, candidates: GroupedRows, cuts: Cuts) -> Float32:
        """Returns how far the key of each candidate lies from the cut of its cluster; infinite where there is none."""
        cut = cuts.key[candidates.group]
        if self.prefer == "random":
            off = (candidates.key.astype(np.float64) - cut) * 2.0**-32
        else:
            keys = (candidates.key, cut) if self.prefer == "hard" else (~candidates.key, ~cut)
            off = quantiles.scores_of(keys[0]).astype(np.float64) - quantiles.scores_of(keys[1])
        one_sided = (cuts.quota == 0) | (cuts.quota >= cuts.size)
        return np.where(one_sided[candidates.group], np.inf, off).astype(np.float32)

    def facts(self, state: ClusterCutState) -> dict[str, float | int | str]:
        if state.cuts is None:
            return {}
        quota, size = state.cuts.quota, state.cuts.size
        return {
            "of": state.of,
            "keep": state.keep,
            "clusters": int((size > 0).sum()),
            "smallest quota": int(quota[size > 0].min()),
            "largest quota": int(quota.max()),
            "clusters kept whole": int(((size > 0) & (quota == size)).sum()),
        }


def keep_problems(label: str, keep: float, of: str) -> list[str]:
    """Returns what is wrong with a step's ``keep`` and ``of``, one line each with its hint."""
    problems = []
    if not 0 < keep <= 1:
        problems.append(f"{label}.keep must be in (0, 1], got {keep}; 0.25 keeps a quarter")
    if of not in ("pool", "remaining"):
        problems.append(f"{label}.of must be pool or remaining, got {of!r}")
    return problems


def population(of: str) -> str:
    """Returns in words what a share is taken of: ``of`` is ``pool`` or ``remaining``."""
    return "all samples" if of == "pool" else "the samples that are left"


def survivors(prefer: str) -> str:
    """Returns in words which samples of a cluster are kept: ``prefer`` is one of ``PREFERS``."""
    ways = {
        "hard": "the samples least similar to the centroid",
        "easy": "the samples most similar to the centroid",
        "random": "samples chosen at random",
    }
    return ways[prefer]
