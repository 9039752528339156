"""The plan of ``--block_list``: a step for each list, before those of the recipe."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from beam_pipelines.config.block import BlockConfig
from beam_pipelines.planning.plan_facts import Problems
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.importers import datacomp
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.block_list import DropBlocked
from transforms.lib.subsets import block_lists
from transforms.outputs.store import Store
from transforms.storage import filesystem

LABEL = "block_list"
"""Label of the step of the first list; those of further ones end in a number."""


def with_steps(recipe: Recipe, config: BlockConfig, sets: Mapping[str, Sequence[str]], problems: Problems) -> Recipe:
    """Returns the recipe with a step for each block list, before its other steps.

    Args:
      recipe: of the job.
      config: of the job.
      sets: column set -> columns, of the pool.
      problems: gets a line for each list that cannot be used.
    """
    steps = []
    taken = {step.label for step in recipe.flat()}
    for number, uri in enumerate(sorted(set(config.block_list)), 1):
        label = LABEL if number == 1 else f"{LABEL}_{number}"
        if label in taken:
            problems.append(f"--block_list: the recipe has a step {label} already; give that another label")
        kinds = problems.collect(_kinds, uri, sets)
        url = f"{datacomp.SET}.url" if "url" in sets.get(datacomp.SET, ()) else f"{columns.INDEX}.url"
        if kinds:
            steps.append(DropBlocked(label=label, file=uri, by=kinds, radius=config.block_radius, url=url))
    return dataclasses.replace(recipe, steps=(*steps, *recipe.steps))


def _kinds(uri: str, sets: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns what the entries of a list are.

    Raises:
      InputError: it cannot be used.
    """
    try:
        local = filesystem.fetch(uri)
        if not os.path.isfile(local):
            raise InputError("does not exist; check the address")
        kinds = tuple(block_lists.read(local).counts)
    except (InputError, OSError) as error:
        raise InputError(f"--block_list {uri} {error}") from None
    if datacomp.SET in sets and "phash" in kinds:
        raise InputError(f"--block_list {uri} has perceptual hashes, and DataComp's metadata has none; leave them out")
    return kinds


def unseen(recipe: Recipe, output: str, shard: str) -> list[str]:
    """Returns a note for each block list whose entries go by something that no sample of a shard has.

    Args:
      recipe: of the job.
      output: the output folder.
      shard: one that is indexed.
    """
    noted = []
    for step in recipe.flat():
        if isinstance(step, DropBlocked):
            places = {"url": step.url, "sha256": "index.image_sha256", "perceptual hash": "index.width"}
            by = {"url" if kind == "host" else "perceptual hash" if kind == "phash" else kind for kind in step.by}
            for what in sorted(by & set(places)):
                owner, _, column = places[what].partition(".")
                if not any(Store(output).read(owner, shard, [column])[column].unique().to_pylist()):
                    noted.append(f"{step.label}: no sample of shard {shard} has a {what}, by which {step.file} goes")
    return noted


def images_unseen(recipe: Recipe) -> list[str]:
    """Returns a problem for each block list that names images, for a pool whose images are not looked at."""
    return [
        f"--block_list {step.file} names images, and reshard --input looks at none; run `winnow score` on the pool"
        for step in recipe.flat()
        if isinstance(step, DropBlocked) and {"sha256", "phash"} & set(step.by)
    ]
