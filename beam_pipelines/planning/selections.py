"""Which selection a job makes or reads: its ID, found before any work starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beam_pipelines.planning import column_sets, workspace
from beam_pipelines.planning.score import ScorePlan
from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.recipes.recipe import Recipe
from transforms.outputs import selections, takedowns
from transforms.outputs.selections import Selection
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem


def identity(
    output: str,
    recipe: Recipe,
    where: Mapping[str, tuple[str, str]],
    files: Mapping[str, str],
    scoring: ScorePlan | None,
    **others: Any,
) -> str:
    """Returns the ID of a selection: 16 hex digits, equal for equal requests on an equal pool.

    It is a function of the recipe with its seeds, of the pool, of what its columns were made from (the stamps of its
    first shard stand for all), and of the files that the recipe names.

    Args:
      output: the output folder.
      recipe: with every parameter.
      where: every column that it reads -> (column set, column).
      files: ``label.parameter`` -> sha256.
      scoring: what scores or indexes the pool in the same run; None when that is done already.
      others: whatever else decides, as JSON values.
    """
    owners = {columns.INDEX, *(owner for owner, _ in where.values())}
    pool, made_of = _scored_by(scoring) if scoring else _stored(output, owners)
    sets = {owner: made_of.get(owner, "") for owner in owners}
    if taken_down := takedowns.finished(output):  # the pool is another one without these samples
        others["takedowns"] = taken_down
    return stamps.stamp(recipe=recipe.as_dict(), columns=dict(where), files=dict(files), pool=pool, sets=sets, **others)


def _scored_by(scoring: ScorePlan) -> tuple[str, Mapping[str, str]]:
    """Returns the stamps of the pool and of the column sets of its first shard, as they will be."""
    return scoring.facts["stamps"]["pool"], scoring.settings.stamps(min(scoring.shards))


def _stored(output: str, owners: Iterable[str]) -> tuple[str, Mapping[str, str]]:
    """Returns the same of a pool whose columns are there."""
    first = workspace.read_pool(output)[0].name
    store = Store(output)
    stored = {owner: store.facts(owner, first).get("stamp", "") for owner in owners}
    return workspace.pool_stamp(output), stored


def find(output: str, name: str, refs: Sequence[ShardRef]) -> Selection:
    """Returns the selection that a job is to read; it covers the whole pool.

    Args:
      output: the output folder.
      name: value of ``--selection``.
      refs: the shards of the pool.

    Raises:
      InputError: there is none, it is not whole, it was made from another pool, or a takedown is not finished.
    """
    takedowns.check_finished(output)
    found = selections.find(output, name)
    if found.shards == len(refs) > column_sets.LISTED:
        return found  # it was closed when all of its decisions were there
    folder = found.uri("decisions")
    have = {info.uri.rsplit(folder + "/", 1)[-1].removesuffix(".parquet") for info in filesystem.children(folder)}
    names = {ref.name for ref in refs}
    if lacking := sorted(names - have):
        raise InputError(
            f"{len(lacking)} of {len(names)} shards have no decisions in {found.words} ({lacking[0]} ...); run "
            "`winnow select` on this --output"
        )
    if found.shards and found.shards != len(names):
        raise InputError(
            f"{found.words} was made from {found.shards} shards, and the pool of --output {output} has {len(names)} "
            "now; run `winnow select` on this --output"
        )
    return found
