"""Score shards: one RunInference over shard references; columns are written, images go nowhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib.lost_shards import Lost
from transforms.rows import Shards
from transforms.workers.score_shard import Scored, ScoreSettings, ScoreShard
from transforms.workers.shard_work import LoadOnceFn


class AddLostFn(beam.CombineFn):
    """Adds the counts of shards that nothing could be read of."""

    def create_accumulator(self) -> Lost:
        return Lost()

    def add_input(self, total: Lost, lost: Lost) -> Lost:
        return total.plus(lost)

    def merge_accumulators(self, totals: Iterable[Lost]) -> Lost:
        merged = Lost()
        for lost in totals:
            merged = merged.plus(lost)
        return merged

    def extract_output(self, total: Lost) -> Lost:
        return total


@dataclasses.dataclass(eq=False)
class ScoreShards(beam.PTransform):
    """Scores shards with every model on one decode; ``Shard`` in, one ``Scored`` per shard out.

    Without any model it makes the index alone. A shard whose column sets all carry the right stamp is passed on
    unread; so a killed run continues where it was. A shard that cannot be read has one rejected row, and is tried again
    by the next run. Nothing comes out before all shards are done, and it is known that not too many were lost.

    Cost: each tar is read once; nothing but references is shuffled. Memory per thread: 64 MiB of encoded images, the
    pixels decoded ahead, and the columns of one shard (8 bytes per dimension and sample, twice).

    Attributes:
      settings: models, rules and where to write.
    """

    settings: ScoreSettings

    def expand(self, shards: Shards) -> beam.PCollection[Scored]:
        scored = (
            shards | "Infer" >> self._infer() | "Checkpoint" >> beam.Reshuffle()  # no retry below scores a shard again
        )
        lost = scored | "Lost" >> beam.Map(lambda row: row.lost) | "AddLost" >> beam.CombineGlobally(AddLostFn())
        allowed = lost | "Allowed" >> beam.Map(Lost.check, self.settings.max_unreadable)
        return scored | "Whole" >> beam.Map(lambda row, _: row, AsSingleton(allowed)).with_output_types(Scored)

    def _infer(self) -> beam.PTransform:
        if not self.settings.models:
            return beam.ParDo(LoadOnceFn(ScoreShard(self.settings)))
        from apache_beam.ml.inference.base import RunInference  # imports torch

        from transforms.workers.model_handler import ShardHandler

        return RunInference(ShardHandler(ScoreShard(self.settings), "score"))
