"""Write what a crawl leaves behind for later ones: summaries of its scores, of its steps, and the images it kept."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms.lib.recipes.steps.drop_kept import LISTS
from transforms.lib.stats import crawl_summary, sorted_keys
from transforms.outputs import crawls, file_rows
from transforms.outputs.sort_uids import SortUids
from transforms.rows import FileRow, ShardRefs
from transforms.workers.summarise_shard import IMAGE_RUNS, SummariseCrawl, WriteKeptImages
from transforms.workers.summarise_shard import RememberSettings as RememberSettings

IMAGES = LISTS["images"]


def write(part: tuple[int, Iterable[bytes]], settings: RememberSettings) -> FileRow:
    """Joins the summaries of many shards and writes them into one file."""
    number, blobs = part
    summaries = [crawl_summary.SummaryFile(io.BytesIO(blob)) for blob in blobs]

    def gathered(prefix: str) -> list[dict[str, NDArray[Any]]]:
        names = [name for name in summaries[0].names() if name.startswith(prefix)]
        return [{name.removeprefix(prefix): one.whole(name) for name in names} for one in summaries]

    arrays = crawl_summary.prefixed(crawls.SCORE, sorted_keys.join(gathered(crawls.SCORE)))
    for step, name in zip(settings.select.recipe.steps, settings.names, strict=True):
        if name:
            arrays |= crawl_summary.prefixed(f"{name}/", step.join(gathered(f"{name}/")))
    data = crawl_summary.to_bytes(arrays)
    path = f"{crawls.SUMMARIES}/{number:05d}.safetensors"
    return file_rows.write(settings.select.root, path, data)


@dataclasses.dataclass(eq=False)
class Remember(beam.PTransform):
    """Leaves summaries behind: ``ShardRef`` rows in, ``FileRow`` rows out.

    Cost: reads the recipe's columns once more; shuffles 4 bytes per sample, and 12 more for a top fraction. A worker
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
        summaries = (
            refs
            | "Summarise" >> beam.Map(SummariseCrawl(settings), AsSingleton(self.states), after)
            | "Gather" >> beam.GroupByKey()
            | "Write" >> beam.Map(write, settings)
        )
        images = (
            refs
            | "Images" >> beam.Map(WriteKeptImages(settings.select.store), after)
            | "Sort" >> SortUids(settings.select.root, IMAGES, settings.shards, folder=IMAGE_RUNS)
        )
        return (summaries, images) | "Files" >> beam.Flatten()
