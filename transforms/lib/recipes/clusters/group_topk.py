"""The exact first samples of every group at once, by a 32-bit key, as mergeable counts; ties go by hash of the uid.

A round counts, for each group, the next 8 bits of the keys that share the bits found so far; four rounds find the key
of the last sample that a group keeps. Where several share it, two more count 16 bits of their hashes, and one gathers
those of one of 65,536 hash bins per group. So no group is ever in one place, however large it is.

Cost: 2 KiB per group and round.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.stats import ties

ROUNDS = 7
_BINS = 256
_KEY_ROUNDS = 4
_GATHER = 6

RECORD = np.dtype([("group", "<i8"), *ties.FIELDS])


@dataclasses.dataclass(frozen=True)
class GroupedRows:
    """Samples of one shard that compete, each in its group.

    Attributes:
      group: int64 ``[n]``, from 0.
      key: uint32 ``[n]``; the smallest are kept.
      places: ``ties.DTYPE`` ``[n]``; empty in rounds that need no uid.
    """

    group: Int64
    key: NDArray[np.uint32]
    places: NDArray[Any]


@record("per_cluster_cuts/1", formerly="ranks.Cuts")
@dataclasses.dataclass(frozen=True)
class Cuts:
    """What is known, after ``round`` rounds, of where each of ``k`` groups is cut.

    Attributes:
      quota: int64 ``[k]``, samples to keep.
      size: int64 ``[k]``, samples of the group.
      key: uint32 ``[k]``, the upper bits found so far of the key of the last kept sample.
      left: int64 ``[k]``, how many are kept of those with these bits.
      tied: int64 ``[k]``, samples with that very key, once it is found.
      hashed: uint64 ``[k]``, the upper bits found of that sample's hash.
      last: ``RECORD`` ``[m]``, the last kept sample of each group cut between equals.
      round: rounds done.
    """

    quota: Int64
    size: Int64
    key: NDArray[np.uint32]
    left: Int64
    tied: Int64
    hashed: UInt64
    last: NDArray[Any]
    round: int = 0

    @property
    def _cut(self) -> Bool:
        return (self.quota > 0) & (self.quota < self.size)

    @property
    def _straddled(self) -> Bool:
        return self._cut & (self.left < self.tied)

    @property
    def done(self) -> bool:
        """Whether nothing is left to find; a round is idle then."""
        if self.round < _KEY_ROUNDS:
            return not self._cut.any()
        return self.round >= ROUNDS or not self._straddled.any()

    @property
    def needs_places(self) -> bool:
        """Whether the next round looks at uids."""
        return self.round >= _KEY_ROUNDS

    def summarise(self, candidates: GroupedRows) -> Any:
        """Returns what a shard adds to the next round: counts int64 ``[k, 256]``, or records."""
        group = candidates.group
        if self.round < _KEY_ROUNDS:
            shift = np.uint32(24 - 8 * self.round)
            upper = candidates.key >> shift
            here = self._cut[group] & ((upper >> np.uint32(8)) == self.key[group])
            return self._count(group[here], (upper & np.uint32(_BINS - 1))[here])
        here = self._straddled[group] & (candidates.key == self.key[group])
        group, places = group[here], candidates.places[here]
        upper = places["hash"] >> np.uint64(56 - 8 * min(self.round - _KEY_ROUNDS, 1))
        if self.round < _GATHER:
            fits = (upper >> np.uint64(8)) == self.hashed[group]
            return self._count(group[fits], (upper & np.uint64(_BINS - 1))[fits])
        fits = upper == self.hashed[group]
        records = np.empty(int(fits.sum()), RECORD)
        records["group"] = group[fits]
        for name, _ in ties.FIELDS:
            records[name] = places[name][fits]
        return records

    def _count(self, group: Int64, digit: NDArray[Any]) -> Int64:
        flat = np.bincount(group * _BINS + digit.astype(np.int64), minlength=len(self.quota) * _BINS)
        return flat.reshape(-1, _BINS)

    def merge(self, left: Any, right: Any) -> Any:
        """Returns the summary of both."""
        return np.concatenate([left, right]) if left.dtype == RECORD else left + right

    def solve(self, summary: Any) -> Cuts:
        """Returns what is known after one more round; an idle one has no summary."""
        if summary is None or self.done:
            return dataclasses.replace(self, round=self.round + 1)
        if self.round == _GATHER:
            return dataclasses.replace(self, round=self.round + 1, last=self._pick(summary))
        digit, left, inside = _find(summary, self.left)
        if self.round < _KEY_ROUNDS:
            active = self._cut
            key = np.where(active, self.key << np.uint32(8) | digit.astype(np.uint32), self.key)
            tied = np.where(active, inside, 0)
            return dataclasses.replace(
                self, round=self.round + 1, key=key, left=np.where(active, left, self.left), tied=tied
            )
        active = self._straddled
        hashed = np.where(active, self.hashed << np.uint64(8) | digit.astype(np.uint64), self.hashed)
        # `tied` stays above `left`, so that a group cut between equals is one to the end
        return dataclasses.replace(self, round=self.round + 1, hashed=hashed, left=np.where(active, left, self.left))

    def _pick(self, records: NDArray[Any]) -> NDArray[Any]:
        ordered = records[np.lexsort([records[name] for name in ("row", "shard", "hash", "group")])]
        groups = np.flatnonzero(self._straddled)
        picked: NDArray[Any] = ordered[np.searchsorted(ordered["group"], groups) + self.left[groups] - 1]
        return picked

    def keep(self, candidates: GroupedRows) -> Bool:
        """Returns bool ``[n]``: which candidates are kept, once all rounds are done."""
        group, key = candidates.group, self.key[candidates.group]
        kept = (self.quota >= self.size)[group] | (self._cut[group] & (candidates.key <= key))
        close = np.flatnonzero(self._straddled[group] & (candidates.key == key))
        if len(close):
            last = self.last[np.searchsorted(self.last["group"], group[close])]
            kept[close] = _at_or_before(candidates.places[close], last)
        return kept


def start(quota: Int64, size: Int64) -> Cuts:
    """Returns the state before the first round, for int64 ``[k]`` quotas, at most the sizes int64 ``[k]``."""
    k = len(quota)
    none = np.zeros(k, np.int64)
    return Cuts(quota, size, none.astype(np.uint32), quota, none, none.astype(np.uint64), np.zeros(0, RECORD))


def _find(counts: Int64, rank: Int64) -> tuple[Int64, Int64, Int64]:
    """Returns, per group, the bin of its ``rank``-th smallest key, the rank inside, and the keys there."""
    ends = counts.cumsum(axis=1)
    digit = np.minimum((ends < rank[:, None]).sum(axis=1), _BINS - 1)
    every = np.arange(len(counts))
    inside = counts[every, digit]
    return digit, rank - (ends[every, digit] - inside), inside


def _at_or_before(places: NDArray[Any], last: NDArray[Any]) -> Bool:
    before = np.ones(len(places), bool)
    for name, _ in reversed(ties.FIELDS):
        before = (places[name] < last[name]) | ((places[name] == last[name]) & before)
    return before
