"""Draw the clusters that the report shows: counts of all, then samples of a few."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.report import gallery
from transforms.lib.reshard.shard_layout import DecidedShard
from transforms.outputs.store import Store
from transforms.reporting.thumbnails import CountClusters, DrawExhibits


@dataclasses.dataclass(eq=False)
class DrawGallery(beam.PTransform):
    """Chooses clusters and draws samples of them: ``DecidedShard`` rows of decided shards in, one ``Gallery`` out.

    Cost: reads clusters, similarities and decisions once, and clusters and uids once more; merges 24 bytes per
    cluster and shard, and some 100 samples.

    Attributes:
      store: of clusters and decisions.
      name: the column set of clusters.
    """

    store: Store
    name: str

    def expand(self, sources: beam.PCollection[DecidedShard]) -> beam.PCollection[gallery.Gallery]:
        name = self.name
        counts = (
            sources
            | "Count" >> beam.Map(CountClusters(self.store, name))
            | "AddCounts" >> beam.CombineGlobally(gallery.add_tallies)
        )
        exhibits = (
            sources
            | "Draw" >> beam.Map(DrawExhibits(self.store, name), AsSingleton(counts))
            | "Merge" >> beam.CombineGlobally(gallery.merge)
        )
        return counts | "Hang" >> beam.Map(
            lambda total, drawn: gallery.Gallery(name, total, gallery.choose(total), drawn), AsSingleton(exhibits)
        )
