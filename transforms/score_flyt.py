"""Score saved embeddings with a FLYT head: one column set more, and no image is touched."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.flyt import scoring_head
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.shard_log import Outcome, logged

if TYPE_CHECKING:
    from transforms.lib.flyt.adamw import Params

HEAD_VERSION = 2  # raise when the same head and embeddings would give another score
SCHEMA = pa.schema([pa.field("score", pa.float32(), False)])  # NaN for a rejected sample
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """Everything a worker needs to know.

    Attributes:
      root: the output folder.
      head: folder of the head, local or remote.
      weights_sha256: of its weights; workers refuse any other.
      source: column set with the embeddings that the head reads.
      name: column set to write.
      threads: of torch; 0 = all cores.
    """

    root: str
    head: str
    weights_sha256: str
    source: str
    name: str
    threads: int = 0

    def stamp(self, store: Store, shard: str) -> str:
        """Returns the stamp of a shard's scores: of the head and of the embeddings it reads."""
        source = store.facts(self.source, shard).get("stamp")
        return stamps.stamp(embeddings=source, head=self.weights_sha256, version=HEAD_VERSION)


def is_done(settings: HeadSettings, shard: str) -> bool:
    """Tells whether a shard has the scores already."""
    store = Store(settings.root)
    return store.facts(settings.name, shard).get("stamp") == settings.stamp(store, shard)


class HeadScored(NamedTuple):
    """A shard whose scores are in the store."""

    ref: ShardRef
    file: FileRow


class HeadHandler(ModelHandler[ShardRef, HeadScored, "_Head"]):
    """Scores whole shards; elements are references, as in ``OpenClipShardHandler``."""

    def __init__(self, settings: HeadSettings) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._settings = settings

    def load_model(self) -> _Head:
        import torch

        from transforms.lib.devices.devices import cpu_count

        torch.set_num_threads(self._settings.threads or cpu_count())
        folder = Path(filesystem.fetch(self._settings.head))
        digest = stamps.sha256_of(str(folder / scoring_head.WEIGHTS))
        if digest != self._settings.weights_sha256:
            raise InputError(
                f"--head: the weights have sha256 {digest} here, {self._settings.weights_sha256} at the start"
            )
        return _Head(scoring_head.load(folder, self._settings.head))

    def run_inference(
        self, batch: Sequence[ShardRef], model: _Head, inference_args: Mapping[str, Any] | None = None
    ) -> list[HeadScored]:
        return [self._logged(ref, model) for ref in batch]

    def get_metrics_namespace(self) -> str:
        return "score"

    def _logged(self, ref: ShardRef, head: _Head) -> HeadScored:
        with logged(_LOG, "score", ref.name) as outcome:
            return self._score(ref, head, outcome)

    def _score(self, ref: ShardRef, head: _Head, outcome: Outcome) -> HeadScored:
        store, settings = Store(self._settings.root), self._settings
        if is_done(settings, ref.name):
            outcome.skipped = True
            Metrics.counter("score", "shards_skipped").inc()
            return HeadScored(ref, store.row_of(settings.name, ref.name))
        wanted = {"status": (columns.INDEX, "status"), "image": (settings.source, "image")}
        found = store.arrays(ref.name, {**wanted, "text": (settings.source, "text")})
        valid = (found["status"] == columns.OK) & columns.embedded(found["image"])
        outcome.samples, outcome.rejected = len(valid), int((~valid).sum())
        scores = np.full(len(valid), np.nan, np.float32)
        scores[valid] = scoring_head.scores(head.params, found["image"][valid], found["text"][valid])
        table = pa.table({"score": scores}, schema=SCHEMA)
        Metrics.counter("score", "shards_scored").inc()
        Metrics.counter("score", "out").inc(int(valid.sum()))
        stamp = settings.stamp(store, ref.name)
        return HeadScored(ref, store.write(settings.name, ref.name, table, stamp, job="score-flyt"))


@dataclasses.dataclass(eq=False)
class _Head:
    """The weights; a class of its own, since Beam shares models by weak reference."""

    params: Params


@dataclasses.dataclass(eq=False)
class ScoreByHead(beam.PTransform):
    """Scores the embeddings of shards; ``ShardRef`` in, one ``HeadScored`` a shard out.

    Cost: the embeddings are read once, 4 bytes a dimension and sample; nothing but references is shuffled. Memory a
    thread: the embeddings of one shard.

    Attributes:
      settings: which head, what it reads, and where to write.
    """

    settings: HeadSettings

    def expand(self, refs: ShardRefs) -> beam.PCollection[HeadScored]:
        return refs | "Infer" >> RunInference(HeadHandler(self.settings)) | "Checkpoint" >> beam.Reshuffle()
