"""Match one shard with the embeddings of an evaluation set."""

from __future__ import annotations

import dataclasses
import logging
from typing import NamedTuple

import numpy as np

from transforms.lib import stamps
from transforms.lib.arrays import Float32
from transforms.lib.columnstore import columns
from transforms.lib.dedup import contamination, semdedup
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.dedup_data import VERSION
from transforms.workers.dedup_shard import put
from transforms.workers.shard_work import logged

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class MatchSettings:
    """What ``MatchTargets`` needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set that is written.
      target: address of the embeddings of the evaluation set.
      sha256: of that file.
      embedding: (column set, column) of the pool's embeddings.
      threshold: a cosine above it is a match.
    """

    root: str
    name: str
    target: str
    sha256: str
    embedding: tuple[str, str]
    threshold: float

    def stamp(self, ref: ShardRef) -> str:
        """Returns the stamp of a shard's column set."""
        store = Store(self.root)
        inputs = [store.facts(name, ref.name)["stamp"] for name in (columns.INDEX, self.embedding[0])]
        basis = {"target": self.sha256, "embedding": self.embedding, "threshold": self.threshold}
        return stamps.stamp(version=VERSION, inputs=inputs, **basis)


class MatchedShard(NamedTuple):
    """What one shard leaves behind: its file, its counts, and its matches as an Arrow stream."""

    file: FileRow
    counts: dict[str, int]
    matches: bytes


@dataclasses.dataclass(frozen=True)
class MatchShard:
    """Finds the samples of a shard that are near an embedding of the evaluation set, and writes its column set.

    Attributes:
      settings: what is compared with what.
    """

    settings: MatchSettings

    def load(self) -> Float32:
        """Loads the embeddings of the evaluation set."""
        path = filesystem.fetch(self.settings.target)
        return contamination.read_targets(path, self.settings.target, self.settings.sha256)

    def __call__(self, ref: ShardRef, targets: Float32) -> MatchedShard:
        with logged(_LOG, "match", ref.name) as outcome:
            matched = self._match(ref, targets)
            outcome.samples = matched.counts["samples"]
        return matched

    def _match(self, ref: ShardRef, targets: Float32) -> MatchedShard:
        settings = self.settings
        wanted = {name: (columns.INDEX, name) for name in ("status", "uid", "key")} | {"vector": settings.embedding}
        arrays = Store(settings.root).arrays(ref.name, wanted)
        compared = (arrays["status"] == columns.OK) & semdedup.unit_rows(arrays["vector"])
        rows = np.flatnonzero(compared)
        nearest = semdedup.nearest(semdedup.normalised_on_grid(arrays["vector"][rows]), targets, settings.threshold)
        table = contamination.table(compared, *nearest)
        matches = contamination.matches(ref.name, rows, arrays["uid"], arrays["key"], *nearest)
        file, counts = put(ref, table, settings.root, settings.name, settings.stamp(ref))
        return MatchedShard(file, counts, contamination.packed(matches))
