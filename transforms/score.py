"""Score shards: one RunInference over shard references; columns are written, images go nowhere."""

from __future__ import annotations

import dataclasses

import apache_beam as beam

from transforms.rows import Shards
from transforms.workers.score_shard import Scored, ScoreSettings, ScoreShard
from transforms.workers.shard_work import LoadOnceFn


@dataclasses.dataclass(eq=False)
class ScoreShards(beam.PTransform):
    """Scores shards with every model on one decode; ``Shard`` in, one ``Scored`` per shard out.

    Without any model it makes the index alone. A shard whose column sets all carry the right stamp is passed on
    unread; so a killed run continues where it was.

    Cost: each tar is read once; nothing but references is shuffled. Memory per thread: 64 MiB of encoded images, the
    pixels decoded ahead, and the columns of one shard (8 bytes per dimension and sample, twice).

    Attributes:
      settings: models, rules and where to write.
    """

    settings: ScoreSettings

    def expand(self, shards: Shards) -> beam.PCollection[Scored]:
        return (
            shards | "Infer" >> self._infer() | "Checkpoint" >> beam.Reshuffle()  # no retry below scores a shard again
        )

    def _infer(self) -> beam.PTransform:
        if not self.settings.models:
            return beam.ParDo(LoadOnceFn(ScoreShard(self.settings)))
        from apache_beam.ml.inference.base import RunInference  # imports torch

        from transforms.workers.model_handler import ShardHandler

        return RunInference(ShardHandler(ScoreShard(self.settings), "score"))
