"""The first look at a decided shard: how often numbers, formats, copies and duplicates occur."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow.compute as pc

from transforms.lib import uids
from transforms.lib.arrays import Bool
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.steps.top_fraction import TopFraction
from transforms.lib.report import sparse_counts, survey
from transforms.lib.report.bounds import Bound
from transforms.lib.report.quality import AREA, ASPECT, CAPTION
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.lib.stats import quantiles
from transforms.outputs.store import Store
from transforms.reporting import shard_values
from transforms.reporting.shard_values import ShardValues, SurveySettings
from transforms.workers.decide_shard import SolvedStates

SEED = 14  # of the samples that are drawn, and of groups of duplicates
_UID = "^[0-9a-f]{32}$"
_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>[^/?#:@]+)"


@dataclasses.dataclass(frozen=True)
class SurveyShard:
    """Looks at one shard; see ``survey.Survey``.

    Attributes:
      settings: what the report looks at.
    """

    settings: SurveySettings

    def __call__(self, source: DecidedShard, states: SolvedStates) -> survey.Survey:
        settings = self.settings
        with settings.select.store.held() as store:
            values = shard_values.read(store, source, settings, states)
            found = {bound.label: self._bound(store, source, bound, values) for bound in settings.bounds}
            masks = values.valid, values.kept
            numbers = {
                name: sparse_counts.count(sparse_counts.keys_of(column, survey.BITS), masks)
                for name, column in values.numbers.items()
            }
            quality, formats = _quality(store, source, values)
            duplicates = {name: _duplicates(store, source, name, values) for name in settings.duplicates}
            drawn = _drawn(store, source, settings, values)
        return survey.Survey(
            columns={**numbers, **quality},
            bounds={label: counts for label, (counts, _) in found.items()},
            of={label: of for label, (_, of) in found.items()},
            copies=sparse_counts.count(values.copies.astype(np.uint32), [values.kept]),
            formats=formats,
            duplicates={name: counts for name, (counts, _) in duplicates.items()},
            groups={name: groups for name, (_, groups) in duplicates.items()},
            drawn=drawn,
        )

    def _bound(
        self, store: Store, source: DecidedShard, bound: Bound, values: ShardValues
    ) -> tuple[sparse_counts.SparseCounts, int]:
        """Returns counts by the numbers of a step that can be moved, and how many samples its fraction is of."""
        step = self.settings.select.recipe.steps[bound.number]
        numbers = values.numbers[self.settings.names[bound.column]]
        alive = (values.code == -1) | (values.code >= bound.number)
        block = Block(
            source.name,
            {bound.column: numbers},
            values.valid,
            alive.astype(np.uint16),
            indexed=store.valid(source.name),
        )
        passing = _passing(values, bound, alive) if bound.fixed else alive
        if isinstance(step, TopFraction):
            keys = sparse_counts.keys_of(numbers, survey.BOUND_BITS, down=quantiles.is_wide(numbers.dtype))
            return sparse_counts.count(keys, (step.ranked(block), passing)), step.counted(block)
        keys = sparse_counts.keys_of(numbers, survey.BOUND_BITS, down=numbers.dtype == np.float64)
        return sparse_counts.count(keys, (alive, passing)), int(alive.sum())


def _passing(values: ShardValues, bound: Bound, alive: Bool) -> Bool:
    """Returns bool ``[n]``: the samples that every step but that of ``bound`` keeps."""
    passing = alive
    for turn in values.turns[bound.number + 1 :]:
        block = dataclasses.replace(turn.before, copies=passing.astype(np.uint16))
        passing = passing & (turn.step.apply(block, turn.state).copies > 0)
    return passing


def _quality(
    store: Store, source: DecidedShard, values: ShardValues
) -> tuple[dict[str, sparse_counts.SparseCounts], dict[str, tuple[int, int]]]:
    """Returns counts of what images and captions are like, and of formats."""
    table = store.read(columns.INDEX, source.name, ["width", "height", "caption", "image_extension"])
    width, height = (table[name].to_numpy().astype(np.float64) for name in ("width", "height"))
    letters = pc.utf8_length(table["caption"]).to_numpy().astype(np.float64)
    sized = values.valid & (width > 0) & (height > 0)
    measured = (
        (AREA, width * height, sized),
        (ASPECT, width / np.maximum(height, 1), sized),
        (CAPTION, letters, values.valid),
    )
    counts = {
        name: sparse_counts.count(sparse_counts.keys_of(numbers, survey.BITS), (among, among & values.kept))
        for name, numbers, among in measured
        if among.any()
    }
    encoded = pc.utf8_lower(table["image_extension"]).combine_chunks().dictionary_encode()
    code = encoded.indices.to_numpy()
    totals, kept = (np.bincount(code[mask], minlength=len(encoded.dictionary)) for mask in (values.valid, values.kept))
    names = encoded.dictionary.to_pylist()
    return counts, {name: (int(t), int(k)) for name, t, k in zip(names, totals, kept, strict=True) if t}


def _duplicates(
    store: Store, source: DecidedShard, name: str, values: ShardValues
) -> tuple[survey.Copies, tuple[survey.Group, ...]]:
    """Returns what a column set says of duplicates, and the groups of the smallest rank."""
    table = store.read(name, source.name, ["duplicate_of", "group"])
    copy, grouped = (pc.not_equal(table[column], "").to_numpy() for column in ("duplicate_of", "group"))
    groups = pc.unique(table["group"].filter(copy))
    groups = groups.filter(pc.match_substring_regex(groups, _UID)).to_pylist()  # a target's name has no picture here
    ranks = uids.uniform(uids.pairs(groups), SEED) if groups else ()
    drawn = sorted(survey.Group(float(rank), uid) for rank, uid in zip(ranks, groups, strict=True))
    counts = survey.Copies(int(copy.sum()), int((copy & values.kept).sum()), int((grouped & ~copy).sum()))
    return counts, tuple(drawn[: survey.GROUPS])


def _drawn(
    store: Store, source: DecidedShard, settings: SurveySettings, values: ShardValues
) -> tuple[survey.Drawn, ...]:
    """Returns the samples of the smallest rank, with the host of their address and the language of their caption."""
    rank = uids.uniform(values.uid, SEED)
    rows = np.flatnonzero(values.valid)
    rows = np.sort(rows[np.argsort(rank[rows], kind="stable")][: survey.DRAWN])
    hosts, languages = [""] * len(rows), [""] * len(rows)
    if "url" in store.schema(columns.INDEX, source.name).names:
        urls = store.read(columns.INDEX, source.name, ["url"])["url"].combine_chunks().take(rows)
        found = pc.struct_field(pc.extract_regex(urls, _HOST), [0])
        hosts = [(host or "").lower()[:60] for host in found.to_pylist()]
    if settings.language:
        owner, column = settings.language
        languages = [str(word)[:40] for word in store.read(owner, source.name, [column])[column].take(rows).to_pylist()]
    facts = zip(rank[rows].tolist(), values.kept[rows].tolist(), hosts, languages, strict=True)
    return tuple(survey.Drawn(*fact) for fact in facts)
