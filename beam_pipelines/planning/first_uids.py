"""The plan of ``--on_repeated_uid first``: a column set that marks all samples of a uid but the first, and its step."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from beam_pipelines.planning import workspace
from beam_pipelines.planning.dedup import MAX_PARTS
from beam_pipelines.planning.score import ScorePlan
from transforms.lib.columnstore import columns
from transforms.lib.dedup import groups
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.drop_duplicates import DropDuplicates
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.workers.dedup_data import DedupSettings
from transforms.workers.repeated_uids import FIRST_UIDS

SCHEMA = groups.SCHEMA


@dataclasses.dataclass(frozen=True)
class FirstUids:
    """How all samples of a uid but the first are marked.

    Attributes:
      settings: for the workers.
      pool: the table of the shards.
    """

    settings: DedupSettings
    pool: Pool


def with_step(recipe: Recipe) -> Recipe:
    """Returns a recipe that drops all samples of a uid but the first, before its other steps."""
    return dataclasses.replace(recipe, steps=(DropDuplicates(label=FIRST_UIDS, column=FIRST_UIDS), *recipe.steps))


def with_set(sets: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Returns column sets with the one that is made before the recipe is fitted."""
    return {**sets, FIRST_UIDS: SCHEMA.names}


def without_set(where: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Returns places of columns but those of the set, which is a function of the index and may not be there yet."""
    return {name: place for name, place in where.items() if place[0] != FIRST_UIDS}


def plan_first(output: str, scoring: ScorePlan | None) -> FirstUids:
    """Returns what marks the samples.

    Args:
      output: the output folder.
      scoring: what indexes the pool in the same run; None where that is done.
    """
    if scoring:
        pool = scoring.pool
        index = scoring.settings.index_stamp(min(scoring.shards))
    else:
        pool = workspace.read_pool(output)
        index = Store(output).facts(columns.INDEX, pool[0].name).get("stamp", "")
    count = len(pool)
    settings = DedupSettings(output, FIRST_UIDS, "uid", fresh=count, parts=max(1, min(count, MAX_PARTS)))
    inputs = [pool.stamp, index]  # the rules by which the first shard was indexed are those of all
    return FirstUids(settings.stamped(inputs), pool)
