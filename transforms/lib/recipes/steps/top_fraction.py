"""The exact top fraction of a column, as mergeable rounds of which all but two are idle unless values are close."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import EmptyPoolError, InputError
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import NUMBER, UID, Step, Verdict
from transforms.lib.stats import close_values, quantiles, sorted_keys, ties
from transforms.lib.stats.crawl_summary import Arrays, CrawlSummary

_DONE = 4
_WIDE = 5  # the first of four rounds that come between the second and the third, where float64 values straddle


@record("top_fraction/1", formerly="topfraction.TopState", added={"wide": 0})
class TopState(NamedTuple):
    """What is known of the threshold after ``round`` rounds.

    Attributes:
      round: the next one; 4 once the threshold is exact, 5 to 8 while 64-bit values are told apart.
      total: samples that the fraction is of.
      keep: samples to keep, at most the candidates.
      bits: ``ordered_bits`` of the threshold (its upper 16 bits only after round 1).
      left: of the candidates tied at ``bits``, how many are kept.
      tied: candidates tied at ``bits``.
      hash_bin: upper 16 bits of the tie hash that holds the last kept sample.
      last: tie order (hash, shard, row) of the last kept sample; all tied are kept when empty.
      wide: ``wide_bits`` of the threshold (its upper digits only up to round 8), where values that are equal in float32
        straddle it; else 0.
    """

    round: int = 0
    total: int = 0
    keep: int = 0
    bits: int = 0
    left: int = 0
    tied: int = 0
    hash_bin: int = 0
    last: tuple[int, ...] = ()
    wide: int = 0


@dataclasses.dataclass(frozen=True)
class TopFraction(Step):
    """Keeps the samples with the highest values of a column: exactly ``floor(fraction * N + 1/2)`` of them.

    Ties at the threshold are kept in the order of a hash of (seed, uid); should uids repeat, then of the shard's
    name and the row, so the number is exact whatever the pool holds. ``N`` counts samples with a finite value:
    of the whole pool (``of: pool``) or of those that earlier steps left (``of: remaining``). Should fewer samples
    remain than are to be kept, all of them are.

    ``rule: datacomp`` is the rule of DataComp's ``clip_score --fraction`` instead, for parity with published subsets:
    the threshold is the value at position ``int(N * fraction)``, from 0, of the values sorted downwards, of all
    samples whatever earlier steps dropped (``of: pool``), and every sample at or above it is kept: one more than
    the fraction gives, and all ties. ``N`` then counts every sample that was not rejected when it was
    indexed, one without a score too, as numpy sorts NaN last; a sample whose value is missing in another column that
    the recipe reads has its place among the scores all the same. It deviates in two things. A fraction so large that
    its position is beyond the last score, which there is an error or keeps nothing, keeps everything. And an infinite
    score takes its place above all others, so that the threshold is the same, but its sample is rejected, as any
    recipe rejects what is not finite: no cosine is infinite.

    Values are ordered as they are given: those in float64 that float32 cannot tell apart are ordered by all their bits.

    Cost: rounds 1 and 2 merge 512 KiB each; the last two read nothing unless ties straddle the threshold, then
    merge 512 KiB and the tied samples of one of 65,536 hash bins (24 B each). Where a column is wider than float32
    there are four more between them, idle unless float32 makes ties there, which merge 512 KiB each.

    Source: DFN keeps the top 15 % (Fang et al. 2023, section 4), DataComp the top 30 % (Gadre et al. 2023).

    Attributes:
      column: a float column.
      fraction: share to keep, in (0, 1].
      of: ``pool`` or ``remaining``.
      seed: of the tie order.
      rule: ``exact`` or ``datacomp``.
    """

    kind = "top_fraction"
    rounds = _DONE + 4
    narrow_rounds = _DONE
    carries = True

    column: str = "score"
    fraction: float = 0.15
    of: str = "pool"
    seed: int = 0
    rule: str = "exact"

    def faults(self) -> list[str]:
        problems = []
        if not 0 < self.fraction <= 1:
            problems.append(f"{self.label}.fraction must be in (0, 1], got {self.fraction}; 0.15 keeps the best 15 %")
        if self.of not in ("pool", "remaining"):
            problems.append(f"{self.label}.of must be pool or remaining, got {self.of!r}")
        if self.rule not in ("exact", "datacomp"):
            problems.append(f"{self.label}.rule must be exact or datacomp, got {self.rule!r}")
        return problems

    def input_types(self) -> tuple[str, ...]:
        return (NUMBER, UID)

    def inputs(self) -> tuple[str, ...]:
        return (self.column, "uid")

    def needs(self, state: TopState) -> tuple[str, ...]:
        if state.round < 2:
            return (self.column,)
        if state.round >= _WIDE:
            return (self.column,)
        return self.inputs() if state.round < _DONE else ()

    def start(self) -> TopState:
        return TopState()

    def ranked(self, block: Block) -> Bool:
        """Returns bool ``[n]``: those among which the threshold is sought; all have a value, infinite ones too."""
        if not self._like_datacomp:
            return block.alive
        has_rank: Bool = block.whole & ~np.isnan(block.columns[self.column])
        return has_rank

    @property
    def _like_datacomp(self) -> bool:
        return self.rule == "datacomp" and self.of == "pool"

    def counted(self, block: Block) -> int:
        """Returns how many samples the fraction is of."""
        if self.of == "remaining":
            return int(block.alive.sum())
        return int((block.whole if self._like_datacomp else block.valid).sum())

    def summarise(self, block: Block, state: TopState) -> Any:
        candidates = self.ranked(block)
        values = block.columns[self.column][candidates]
        bits = quantiles.ordered_bits(quantiles.rounded(values))
        if state.round == 0:
            return self.counted(block), quantiles.count_high(bits)
        if state.round == 1:
            return close_values.count_low(values, bits, state.bits >> 16)
        if state.round >= _WIDE:
            wide = quantiles.wide_bits(values[bits == state.bits])
            return quantiles.count_digit(wide, state.wide, state.round - _WIDE)
        order = self._tie_order(block, candidates, close_values.compared(values, bits, state.bits, state.wide) == 0)
        if state.round == 2:
            return quantiles.count_high(order["hash"], bits=64)
        return order[(order["hash"] >> np.uint64(48)) == state.hash_bin]

    def merge(self, left: Any, right: Any) -> Any:
        if isinstance(left, tuple):
            return left[0] + right[0], left[1] + right[1]
        if left.ndim != right.ndim:  # the one of a float32 column, the other of a wider one
            left, right = (np.stack([one, 0 * one]) if one.ndim == 1 else one for one in (left, right))
        if isinstance(left, np.ndarray) and left.dtype == ties.DTYPE:
            return np.concatenate([left, right])
        return left + right

    def solve(self, state: TopState, summary: Any) -> TopState:
        if state.round == _DONE:
            return state
        if summary is None:
            raise EmptyPoolError(f"{self.label}: the pool has no shard, so its top fraction does not exist")
        if state.round == 0:
            return self._solve_high(*summary)
        if state.round == 1:
            counts, inexact = summary if summary.ndim == 2 else (summary, None)
            low, left = quantiles.bin_from_top(counts, state.left)
            found = state._replace(bits=state.bits | low, left=left, tied=int(counts[low]))
            return found._replace(round=_WIDE) if inexact is not None and inexact[low] else self._found(found)
        if state.round >= _WIDE:
            digit, left = quantiles.bin_from_top(summary, state.left)
            found = state._replace(wide=state.wide << 16 | digit, left=left, tied=int(summary[digit]))
            last = state.round == _WIDE + 3
            return self._found(found) if last else found._replace(round=state.round + 1)
        if state.round == 2:
            hash_bin, left = quantiles.bin_from_bottom(summary, state.left)
            return state._replace(round=3, hash_bin=hash_bin, last=(left,))
        return state._replace(round=_DONE, last=ties.nth(summary, state.last[0]))

    def _found(self, state: TopState) -> TopState:
        """Returns the state once the threshold is known, with what is left to find out about ties."""
        if self.rule == "datacomp":
            return state._replace(round=_DONE, keep=state.keep - state.left + state.tied, left=state.tied)
        return state._replace(round=_DONE if state.left == state.tied else 2)

    def _solve_high(self, total: int, counts: Int64) -> TopState:
        candidates = int(counts.sum())
        if total == 0 or (self._like_datacomp and candidates == 0):
            raise EmptyPoolError(f"{self.label}: no sample has a value in {self.column}")
        wanted = quantiles.number_kept(self.fraction, total)
        if self.rule == "datacomp":
            wanted = int(total * self.fraction) + 1
        keep = min(wanted, candidates)
        if keep == 0:
            return TopState(_DONE, total, 0, bits=0xFFFFFFFF)
        high, left = quantiles.bin_from_top(counts, keep)
        return TopState(1, total, keep, bits=high << 16, left=left)

    def _tie_order(self, block: Block, candidates: Bool, tied: Bool) -> NDArray[Any]:
        rows = np.flatnonzero(candidates)[tied]
        return ties.order(block.shard, rows, uids.keyed_hash(block.columns["uid"][rows], self.seed))

    def remembered_as(self) -> dict[str, Any]:
        return {name: value for name, value in self.as_dict().items() if name not in ("label", "fraction")}

    def remember(self, block: Block) -> Arrays:
        among = self.ranked(block)
        values = block.columns[self.column][among]
        wide = quantiles.wide_bits(values) if quantiles.is_wide(values.dtype) else None
        hashes = uids.keyed_hash(block.columns["uid"][among], self.seed)
        arrays = sorted_keys.arrays_of(quantiles.ordered_bits(quantiles.rounded(values)), hashes, wide)
        return {**arrays, "of": np.array([self.counted(block)], np.int64)}

    def join(self, parts: Sequence[Arrays]) -> Arrays:
        return {**sorted_keys.join(parts), "of": np.sum([part["of"] for part in parts], axis=0)}

    def recall(self, memory: CrawlSummary, state: TopState) -> Any:
        if state.round == 0:
            return int(memory.whole("of")[0]), sorted_keys.count_high(memory)
        if state.round == 1:
            return close_values.recall_low(memory, state.bits >> 16)
        if state.round >= _WIDE:
            return quantiles.count_digit(sorted_keys.wide_at(memory, state.bits), state.wide, state.round - _WIDE)
        hashes = sorted_keys.hashes_at(memory, state.bits, state.wide)
        if state.round == 2:
            return quantiles.count_high(hashes, bits=64)
        hashes = hashes[(hashes >> np.uint64(48)) == state.hash_bin]
        return ties.before_all(hashes)

    def apply(self, block: Block, state: TopState) -> Verdict:
        if state.round != _DONE:
            raise InputError(
                f"{self.label}: {self.column} is wider than float32 in some shards and not in the first; write the "
                "column set again, with one type for all shards"
            )
        scores, candidates = block.columns[self.column], block.alive
        bits = quantiles.ordered_bits(quantiles.rounded(scores[candidates]))
        sides = close_values.compared(scores[candidates], bits, state.bits, state.wide)
        keep = np.zeros(len(scores), bool)
        keep[candidates] = sides > 0
        tied = sides == 0
        if state.keep and tied.any():
            keep[np.flatnonzero(candidates)[tied]] = self._keep_tied(self._tie_order(block, candidates, tied), state)
        with np.errstate(invalid="ignore", over="ignore"):  # of a rejected sample, infinity less infinity
            kind = np.float64 if quantiles.is_wide(scores.dtype) else np.float32
            margin = (scores - kind(self.threshold(state))).astype(np.float32)
        return Verdict(np.where(keep, block.copies, 0).astype(np.uint16), margin)

    @staticmethod
    def _keep_tied(order: NDArray[Any], state: TopState) -> Bool:
        if not state.last:
            return np.ones(len(order), bool)
        return ties.at_or_before(order, state.last)

    def threshold(self, state: TopState) -> float:
        """Returns the lowest kept value; infinity when nothing is kept."""
        if not state.keep:
            return float("inf")
        return quantiles.wide_score_of(state.wide) if state.wide else quantiles.score_of(state.bits)

    def sentence(self) -> str:
        whom = "all samples" if self.of == "pool" else "the samples that are left"
        share = f"{100 * self.fraction:.4g} %"
        if self.rule == "datacomp":
            return f"Keep the top {share} of {whom} by {self.column}, plus one sample and all ties (DataComp's rule)."
        return f"Keep the top {share} of {whom} by {self.column}; ties are broken by uid, seed {self.seed}."

    def facts(self, state: TopState) -> dict[str, float | int | str]:
        return {"threshold": self.threshold(state), "of": state.total, "keep": state.keep, "tied": state.tied}
