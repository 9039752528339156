"""Write what a crawl leaves behind for later ones: summaries of its scores, of its steps, and the images it kept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.arrays import Float32
from transforms.lib.columnstore import columns
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.drop_kept import LISTS, images_of
from transforms.lib.stats import crawl_summary, quantiles, sorted_keys
from transforms.outputs import crawls, file_rows
from transforms.outputs.sort_uids import SortedRun, SortUids, write_run
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.workers.decide_shard import SelectSettings

SHARDS = 256  # shards whose summaries share a file
IMAGES = LISTS["images"]


@dataclasses.dataclass(frozen=True)
class RememberSettings:
    """Everything it takes to leave summaries behind; workers get it as a field.

    Attributes:
      select: how the crawl was decided.
      names: name of each step's memory, as ``pooling.remembered`` has it; empty for a step without one.
      shards: of the crawl, which are dealt out over files of some 256.
    """

    select: SelectSettings
    names: tuple[str, ...]
    shards: int

    def part_of(self, shard: str) -> int:
        """Returns the file that a shard's summaries go into; a function of its name."""
        return int(stamps.sha256(shard.encode())[:8], 16) % -(-self.shards // SHARDS)


def score_of(settings: SelectSettings, ref: ShardRef) -> Float32:
    """Returns float32 ``[n]``: the finite scores of a shard's samples that were not rejected."""
    store = Store(settings.root)
    if settings.score is None:
        return np.zeros(0, np.float32)
    values = store.arrays(ref.name, {"score": settings.score})["score"].astype(np.float32)
    found: Float32 = values[store.valid(ref.name) & np.isfinite(values)]
    return found


def summarise(ref: ShardRef, states: tuple[Any, ...], _: Any, settings: RememberSettings) -> tuple[int, bytes]:
    """Returns the file that a shard's summaries go into, and the summaries as ``memory.to_bytes`` packs them."""
    select = settings.select
    made = crawl_summary.prefixed(crawls.SCORE, sorted_keys.arrays_of(quantiles.ordered_bits(score_of(select, ref))))
    if any(settings.names):
        block = select.reader.block(ref, select.recipe.inputs())
        steps = select.recipe.steps
        for number, name in enumerate(settings.names):
            if name:
                before = recipe.advance(steps[:number], block, states[:number])
                made |= crawl_summary.prefixed(f"{name}/", steps[number].remember(before))
    return settings.part_of(ref.name), crawl_summary.to_bytes(made)


def write(part: tuple[int, Iterable[bytes]], settings: RememberSettings) -> FileRow:
    """Joins the summaries of many shards and writes them into one file."""
    number, blobs = part
    found = [crawl_summary.SummaryFile(io.BytesIO(blob)) for blob in blobs]

    def gathered(prefix: str) -> list[dict[str, NDArray[Any]]]:
        names = [name for name in found[0].names() if name.startswith(prefix)]
        return [{name.removeprefix(prefix): one.whole(name) for name in names} for one in found]

    made = crawl_summary.prefixed(crawls.SCORE, sorted_keys.join(gathered(crawls.SCORE)))
    for step, name in zip(settings.select.recipe.steps, settings.names, strict=True):
        if name:
            made |= crawl_summary.prefixed(f"{name}/", step.join(gathered(f"{name}/")))
    data = crawl_summary.to_bytes(made)
    path = f"{crawls.SUMMARIES}/{number:05d}.safetensors"
    return file_rows.write(settings.select.root, path, data)


def kept_images(ref: ShardRef, _: Any, root: str) -> SortedRun:
    """Writes the images that a shard keeps as a run, each once; none where no image was looked at."""
    store = Store(root)
    kept = store.read("decisions", ref.name, ["copies"])["copies"].to_numpy() > 0
    pairs = images_of(store.arrays(ref.name, {"image": (columns.INDEX, "image_sha256")})["image"][kept])
    return write_run(root, ref.name, np.unique(pairs[pairs.any(axis=1)], axis=0), folder=".image-runs")


@dataclasses.dataclass(eq=False)
class Remember(beam.PTransform):
    """Leaves summaries behind: ``ShardRef`` rows in, ``FileRow`` rows out.

    Cost: reads the recipe's columns once more; shuffles 4 bytes a sample, and 12 more for a top fraction. A worker
    holds those of some 256 shards. The images kept, 16 bytes each, are sorted through files, see ``SortUids``.

    Attributes:
      settings: what is left behind, and where.
      states: singleton, the solved states of all steps.
      after: singleton that is there once the decisions are written and the books closed.
    """

    settings: RememberSettings
    states: beam.PCollection[tuple[Any, ...]]
    after: beam.PCollection[Any]

    def expand(self, refs: ShardRefs) -> beam.PCollection[FileRow]:
        settings, after = self.settings, AsSingleton(self.after)
        root = settings.select.root
        summaries = (
            refs
            | "Summarise" >> beam.Map(summarise, AsSingleton(self.states), after, settings)
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.Map(write, settings)
        )
        images = (
            refs | "Images" >> beam.Map(kept_images, after, root) | "Sort" >> SortUids(root, IMAGES, settings.shards)
        )
        return (summaries, images) | "Files" >> beam.Flatten()
