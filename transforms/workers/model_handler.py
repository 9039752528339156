"""The RunInference model handler: a process loads the models once and scores shard after shard.

A module of its own, because importing Beam's RunInference imports torch, which a job without a model need not wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from transforms.rows import Shard
from transforms.workers.score_shard import Scored, ScoreSettings, ShardScorer


class OpenClipShardHandler(ModelHandler[Shard, Scored, ShardScorer]):
    """Scores whole shards: reads the tar once, writes its column sets, passes on a reference.

    Elements are shard references, so nothing is pickled to be measured and no image leaves the call.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._settings = settings

    def load_model(self) -> ShardScorer:
        return ShardScorer(self._settings)

    def run_inference(
        self, batch: Sequence[Shard], model: ShardScorer, inference_args: Mapping[str, Any] | None = None
    ) -> list[Scored]:
        return [model.score(shard) for shard in batch]

    def get_num_bytes(self, batch: Sequence[Shard]) -> int:
        return sum(shard.size for shard in batch)

    def get_metrics_namespace(self) -> str:
        return "score"
