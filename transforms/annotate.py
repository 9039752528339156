"""Annotate shards: column sets made from columns that are there; no tar is opened."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from transforms.rows import ShardRefs
from transforms.workers.annotate_shard import Annotated, AnnotateShard
from transforms.workers.annotate_shard import AnnotateSettings as AnnotateSettings
from transforms.workers.model_handler import ShardHandler


@dataclasses.dataclass(eq=False)
class AnnotateShards(beam.PTransform):
    """Adds column sets to shards: ``ShardRef`` rows in, one ``Annotated`` per shard out.

    Cost: reads the columns that the annotators name, once; shuffles references only. Memory per thread: those
    columns of one shard; per process: the models and files of its annotators.

    Attributes:
      settings: annotators, columns and where to write.
    """

    settings: AnnotateSettings

    def expand(self, refs: ShardRefs) -> beam.PCollection[Annotated]:
        return (
            refs
            | "Annotate" >> RunInference(ShardHandler(AnnotateShard(self.settings), "annotate"))
            | "Checkpoint" >> beam.Reshuffle()
        )
