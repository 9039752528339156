"""Draw the clusters that the report shows: counts of all, then samples of a few."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.recipes.accounts import Exhibit
from transforms.lib.report import gallery
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.outputs.store import Store

_SEED = 13  # of the samples that are drawn


def count(source: DecidedShard, root: str, name: str) -> gallery.Tally:
    """Counts the clusters of a shard."""
    wanted = {"cluster": (name, "cluster"), "similarity": (name, "similarity"), "copies": ("decisions", "copies")}
    found = Store(root).arrays(source.name, wanted)
    return gallery.tally(found["cluster"], found["similarity"], found["copies"] > 0)


def draw(source: DecidedShard, counts: gallery.Tally, root: str, name: str) -> gallery.Exhibits:
    """Draws a shard's samples of the clusters to show, by the hashes of their uids."""
    store = Store(root)
    wanted = {"cluster": (name, "cluster"), "similarity": (name, "similarity"), "uid": (columns.INDEX, "uid")}
    found = store.arrays(source.name, wanted)
    rank = uids.uniform(found["uid"], _SEED)
    drawn = {}
    for number in gallery.choose(counts):
        rows = np.flatnonzero(found["cluster"] == number)
        drawn[number] = rows[np.argsort(rank[rows], kind="stable")][: gallery.PICTURES]
    rows = np.concatenate([np.zeros(0, np.intp), *drawn.values()])
    facts = store.rows("decisions", source.name, ["step", "margin"], rows.tolist())
    decided = dict(zip(rows.tolist(), facts, strict=True))

    def exhibit(row: int) -> Exhibit:
        return Exhibit(
            rank=float(rank[row]),
            uid=uids.to_hex(found["uid"][row : row + 1])[0],
            shard=source.name,
            row=row,
            uri=source.uri,
            score=float(found["similarity"][row]),
            margin=float(decided[row]["margin"]),
            step=decided[row]["step"],
        )

    return {number: tuple(map(exhibit, rows.tolist())) for number, rows in drawn.items() if len(rows)}


@dataclasses.dataclass(eq=False)
class DrawGallery(beam.PTransform):
    """Chooses clusters and draws samples of them: ``plan.DecidedShard`` rows of decided shards in, one ``Gallery`` out.

    Cost: reads clusters, similarities and decisions once, and clusters and uids once more; merges 24 bytes a cluster
    and shard, and some 100 samples.

    Attributes:
      root: the output folder.
      name: the column set of clusters.
    """

    root: str
    name: str

    def expand(self, sources: beam.PCollection[DecidedShard]) -> beam.PCollection[gallery.Gallery]:
        name = self.name
        counts = (
            sources
            | "Count" >> beam.Map(count, self.root, name)
            | "AddCounts" >> beam.CombineGlobally(gallery.add_tallies)
        )
        exhibits = (
            sources
            | "Draw" >> beam.Map(draw, AsSingleton(counts), self.root, name)
            | "Merge" >> beam.CombineGlobally(gallery.merge)
        )
        return counts | "Hang" >> beam.Map(
            lambda total, drawn: gallery.Gallery(name, total, gallery.choose(total), drawn), AsSingleton(exhibits)
        )
