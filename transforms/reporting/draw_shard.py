"""The second look at a decided shard: counts along the axes of the first, and samples to show."""

from __future__ import annotations

import dataclasses

import numpy as np

from transforms.lib import uids
from transforms.lib.arrays import Bool, Float64, Int64
from transforms.lib.columnstore import columns
from transforms.lib.errors import Reason
from transforms.lib.report import axes, survey
from transforms.lib.report.exhibit import LIMITS, Exhibit, Kind
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.outputs.store import DECISIONS, Store
from transforms.reporting import shard_values
from transforms.reporting.shard_values import ShardValues, SurveySettings
from transforms.workers.decide_shard import SolvedStates

_SEED = 12  # of the pictures that are drawn


@dataclasses.dataclass(frozen=True)
class DrawShard:
    """Counts one shard along the axes of the survey, and draws samples of it; see ``axes.Detail``.

    Attributes:
      settings: what the report looks at.
    """

    settings: SurveySettings

    def __call__(self, source: DecidedShard, states: SolvedStates, seen: survey.Survey) -> axes.Detail:
        settings = self.settings
        with settings.select.store.held() as store:
            values = shard_values.read(store, source, settings, states)
            histograms = {
                name: _counts(axes.place(numbers.astype(np.float64), limits), values, len(limits) - 1)
                for name, numbers in values.numbers.items()
                if (limits := axes.edges(seen, name, axes.BINS)) is not None
            }
            draw = _Draw(source, settings, values, store.read(DECISIONS, source.name, ["margin"])["margin"].to_numpy())
            exhibits, rungs = draw.decided(), {}
            for name in settings.ladders:
                if (limits := axes.edges(seen, name, axes.RUNGS)) is not None:
                    rung = axes.place(values.numbers[name].astype(np.float64), limits)
                    rungs[name] = _counts(rung, values, len(limits) - 1)
                    exhibits |= draw.rungs(name, rung)
            exhibits |= draw.rejected(store)
            for name, groups in seen.groups.items():
                exhibits |= draw.duplicates(store, name, [group.uid for group in groups])
        return axes.Detail(histograms, _grids(seen, settings, values), rungs, exhibits)


def _counts(bins: Int64, values: ShardValues, number: int) -> Int64:
    """Returns int64 ``[number, 2]``: samples of each bin that were not rejected, and the kept ones."""
    return np.stack([np.bincount(bins[mask], minlength=number) for mask in (values.valid, values.kept)], axis=1)


def _grids(seen: survey.Survey, settings: SurveySettings, values: ShardValues) -> dict[tuple[str, str], Int64]:
    found = {}
    for pair in axes.pairs(list(settings.shown)):
        limits = [edges for name in pair if (edges := axes.edges(seen, name, axes.CELLS)) is not None]
        if len(limits) < 2:
            continue
        along, across = (
            axes.place(values.numbers[name][values.valid].astype(np.float64), edges)
            for name, edges in zip(pair, limits, strict=True)
        )
        shape = len(limits[0]) - 1, len(limits[1]) - 1
        cells = np.bincount(along * shape[1] + across, minlength=shape[0] * shape[1])
        found[pair] = cells.reshape(shape)
    return found


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Draws samples of one shard."""

    source: DecidedShard
    settings: SurveySettings
    values: ShardValues
    margin: Float64

    def _exhibits(self, kind: Kind, among: Bool, rank: Float64, score: Float64) -> dict[Kind, tuple[Exhibit, ...]]:
        """Returns the samples of the smallest finite ranks among some rows, as many as are shown of the kind."""
        rows = first(rank, among, LIMITS[kind[0]])
        names = uids.to_hex(self.values.uid[rows])
        labels = shard_values.labels_of(self.settings.select.recipe)
        found = tuple(
            Exhibit(
                rank=float(rank[row]),
                uid=names[number],
                shard=self.source.name,
                row=int(row),
                uri=self.source.uri,
                score=float(score[row]),
                margin=float(self.margin[row]),
                step=labels[self.values.code[row]],
            )
            for number, row in enumerate(rows.tolist())
        )
        return {kind: found} if found else {}

    @property
    def _rank(self) -> Float64:
        return uids.uniform(self.values.uid, _SEED)

    @property
    def _score(self) -> Float64:
        missing = np.full(len(self.values.uid), np.nan)
        return self.values.numbers.get(self.settings.score, missing).astype(np.float64)

    def decided(self) -> dict[Kind, tuple[Exhibit, ...]]:
        """Returns samples among the kept, the closest calls, and of each step samples that it dropped."""
        values, rank, score = self.values, self._rank, self._score
        closeness = np.abs(self.margin.astype(np.float64))
        found = self._exhibits(("kept",), values.kept, rank, score)
        found |= self._exhibits(("borderline",), values.valid, closeness, score)
        for number, step in enumerate(self.settings.select.recipe.steps):
            name = self.settings.names.get(step.score() or "", "")
            judged = values.numbers[name].astype(np.float64) if name in values.numbers else score
            dropped = values.code == number
            found |= self._exhibits(("drawn", step.label), dropped, rank, judged)
            found |= self._exhibits(("nearest", step.label), dropped, closeness, judged)
        return found

    def rungs(self, name: str, rung: Int64) -> dict[Kind, tuple[Exhibit, ...]]:
        """Returns samples of each rung of a ladder, kept or not."""
        score = self.values.numbers[name].astype(np.float64)
        found: dict[Kind, tuple[Exhibit, ...]] = {}
        for number in np.unique(rung[self.values.valid]).tolist():
            among = self.values.valid & (rung == number)
            found |= self._exhibits(("rung", name, f"{number:02}"), among, self._rank, score)
        return found

    def rejected(self, store: Store) -> dict[Kind, tuple[Exhibit, ...]]:
        """Returns samples of each reason for which any was rejected."""
        rejected = ~self.values.valid
        if not rejected.any():
            return {}
        status = store.read(columns.INDEX, self.source.name, ["status"])["status"].to_numpy()
        reasons = np.where(status == columns.OK, Reason.SCORE_NOT_FINITE.value, status)
        found: dict[Kind, tuple[Exhibit, ...]] = {}
        for reason in sorted(set(reasons[rejected])):
            among = rejected & (reasons == reason)
            found |= self._exhibits(("rejected", reason), among, self._rank, np.full(len(status), np.nan))
        return found

    def duplicates(self, store: Store, name: str, groups: list[str]) -> dict[Kind, tuple[Exhibit, ...]]:
        """Returns samples of groups of duplicates, the survivor first."""
        arrays = store.arrays(self.source.name, {n: (name, n) for n in ("group", "duplicate_of", "similarity")})
        rank = np.where(arrays["duplicate_of"] == "", -1.0, self._rank)
        found: dict[Kind, tuple[Exhibit, ...]] = {}
        for group in groups:
            among = arrays["group"] == group
            found |= self._exhibits(("duplicates", name, group), among, rank, arrays["similarity"].astype(np.float64))
        return found


def first(rank: Float64, among: Bool, most: int) -> Int64:
    """Returns the rows of the smallest finite ranks among some rows, bool ``[n]``, at most ``most``, smallest first."""
    rows = np.flatnonzero(among & np.isfinite(rank))
    if len(rows) > most:
        bound = np.partition(rank[rows], most)[most]
        rows = rows[rank[rows] <= bound]
    return rows[np.argsort(rank[rows], kind="stable")][:most]
