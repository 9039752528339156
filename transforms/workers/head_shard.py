"""Score the embeddings of one shard with a FLYT head."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics

from transforms.lib import stamps
from transforms.lib.arrays import Float32
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.flyt import scoring_head
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.shard_work import logged

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


@dataclasses.dataclass(eq=False)
class Head:
    """The weights; a class of its own, since Beam shares models by weak reference."""

    params: Params


@dataclasses.dataclass(frozen=True)
class ScoreShardByHead:
    """Writes the scores of a shard's embeddings, unless they are there.

    Attributes:
      settings: which head, what it reads, and where to write.
    """

    settings: HeadSettings

    def load(self) -> Head:
        """Loads the head.

        Raises:
          InputError: the weights are not those that the job was started with.
        """
        import torch

        from transforms.lib.devices.devices import cpu_count

        torch.set_num_threads(self.settings.threads or cpu_count())
        folder = Path(filesystem.fetch(self.settings.head))
        digest = stamps.sha256_of(str(folder / scoring_head.WEIGHTS))
        if digest != self.settings.weights_sha256:
            raise InputError(
                f"--head: the weights have sha256 {digest} here, {self.settings.weights_sha256} at the start"
            )
        return Head(scoring_head.load(folder, self.settings.head))

    def __call__(self, ref: ShardRef, head: Head) -> HeadScored:
        store, settings = Store(self.settings.root), self.settings
        with logged(_LOG, "score", ref.name) as outcome:
            if is_done(settings, ref.name):
                outcome.skipped = True
                Metrics.counter("score", "shards_skipped").inc()
                return HeadScored(ref, store.row_of(settings.name, ref.name))
            scores = self._scores(store, ref, head)
            outcome.samples, outcome.rejected = len(scores), int(np.isnan(scores).sum())
            table = pa.table({"score": scores}, schema=SCHEMA)
            Metrics.counter("score", "shards_scored").inc()
            stamp = settings.stamp(store, ref.name)
            return HeadScored(ref, store.write(settings.name, ref.name, table, stamp, job="score-flyt"))

    def _scores(self, store: Store, ref: ShardRef, head: Head) -> Float32:
        """Returns float32 ``[n]``; NaN for a rejected sample."""
        wanted = {name: (self.settings.source, name) for name in ("image", "text")}
        arrays = store.arrays(ref.name, {"status": (columns.INDEX, "status"), **wanted})
        valid = (arrays["status"] == columns.OK) & columns.embedded(arrays["image"])
        scores = np.full(len(valid), np.nan, np.float32)
        scores[valid] = scoring_head.scores(head.params, arrays["image"][valid], arrays["text"][valid])
        Metrics.counter("score", "out").inc(int(valid.sum()))
        return scores
