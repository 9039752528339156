"""Beam's model handler for work on whole shards: a process loads the models once and takes shard after shard.

A module of its own, because importing Beam's RunInference imports torch, which a job without a model need not wait for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apache_beam.ml.inference.base import ModelHandler

from transforms.workers.shard_work import LoadingWork


class ShardHandler(ModelHandler[Any, Any, Any]):
    """Gives whole shards to a work that loads models: elements are references, whose work opens and writes the files.

    So nothing is pickled to be measured, and no image leaves the call.

    Args:
      work: what is done with a shard.
      namespace: of Beam's own counters of the inference.
    """

    def __init__(self, work: LoadingWork[Any, Any, Any], namespace: str) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._work = work
        self._namespace = namespace

    def load_model(self) -> Any:
        return self._work.load()

    def run_inference(
        self, batch: Sequence[Any], model: Any, inference_args: Mapping[str, Any] | None = None
    ) -> list[Any]:
        return [self._work(ref, model) for ref in batch]

    def get_num_bytes(self, batch: Sequence[Any]) -> int:
        return sum(ref.size for ref in batch)

    def get_metrics_namespace(self) -> str:
        return self._namespace
