"""Score saved embeddings with a FLYT head: one column set more, and no image is touched."""

from __future__ import annotations

import dataclasses

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference

from transforms.rows import ShardRefs
from transforms.workers.head_shard import HeadScored, ScoreShardByHead
from transforms.workers.head_shard import HeadSettings as HeadSettings
from transforms.workers.head_shard import is_done as is_done
from transforms.workers.model_handler import ShardHandler


@dataclasses.dataclass(eq=False)
class ScoreByHead(beam.PTransform):
    """Scores the embeddings of shards; ``ShardRef`` in, one ``HeadScored`` per shard out.

    Cost: the embeddings are read once, 4 bytes per dimension and sample; nothing but references is shuffled. Memory
    per thread: the embeddings of one shard.

    Attributes:
      settings: which head, what it reads, and where to write.
    """

    settings: HeadSettings

    def expand(self, refs: ShardRefs) -> beam.PCollection[HeadScored]:
        handler = ShardHandler(ScoreShardByHead(self.settings), "score")
        return refs | "Infer" >> RunInference(handler) | "Checkpoint" >> beam.Reshuffle()
