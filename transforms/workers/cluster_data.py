"""What clustering reads: usable embeddings of a shard, and centroid files, loaded once per process."""

from __future__ import annotations

import dataclasses
import io
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import stamps, uids
from transforms.lib.arrays import Bool, Int64, UInt64
from transforms.lib.clusters import kmeans, vector_files
from transforms.lib.clusters.nearest import Nearest
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.outputs import file_rows
from transforms.outputs.store import BlockReader, Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem

VERSION = 1  # raise when the same embeddings would give other clusters


@dataclasses.dataclass(frozen=True)
class ClusterSettings:
    """Everything clustering needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      name: of the column set to write, and of the folder below ``clusters``.
      column: the embedding column, as (column set, column).
      k: clusters.
      metric: ``spherical`` or ``euclidean``: what is fitted.
      rule: ``inner`` or ``euclidean``: how samples are assigned.
      rounds: of Lloyd, at most.
      tolerance: share of the inertia below which a gain ends the rounds.
      sample: samples to fit on, at most.
      seed: of the sample and the start.
      device: ``cpu`` or ``cuda``; clusters are the same on both.
      given: (address, sha256) of centroids that are not to be fitted; empty to fit them.
    """

    root: str
    name: str
    column: tuple[str, str]
    k: int
    metric: str
    rule: str
    rounds: int = 20
    tolerance: float = 1e-4
    sample: int = 0
    seed: int = 0
    device: str = "cpu"
    given: tuple[str, str] = ("", "")

    def path(self, *parts: str) -> str:
        """Returns a path below the root: the folder of this clustering and ``parts``."""
        return "/".join(["clusters", self.name, *parts])

    def uri(self, *parts: str) -> str:
        """Returns the address of ``path``."""
        return filesystem.join(self.root, self.path(*parts))

    def write(self, data: bytes, *parts: str) -> FileRow:
        """Writes a file of this clustering, whole or not at all."""
        return file_rows.write(self.root, self.path(*parts), data)

    def made_by(self) -> dict[str, Any]:
        """Returns what determines the centroids beside the embeddings, as JSON values."""
        values = dataclasses.asdict(self)
        fitted = ("k", "metric", "rounds", "tolerance", "sample", "seed")
        origin = {"centroids": self.given[1]} if self.given[1] else {name: values[name] for name in fitted}
        return {"column": ".".join(self.column), "version": VERSION, **origin}

    def inputs(self, shard: str) -> dict[str, str]:
        """Returns column set -> stamp of what a shard's clusters are made from."""
        store = Store(self.root)
        return {owner: store.facts(owner, shard)["stamp"] for owner in sorted({columns.INDEX, self.column[0]})}

    def rows(self, ref: ShardRef) -> ShardRows:
        """Reads the embeddings of a shard that can be clustered.

        Raises:
          InputError: one of them has a norm that cannot be taken.
        """
        block = BlockReader(Store(self.root), {"embedding": self.column}).block(ref, ["embedding"])
        embeddings = block.columns["embedding"].astype(np.float16)
        numbers = np.flatnonzero(block.valid)
        unit = self.metric == "spherical" and not self.given[0]
        numbers = numbers[kmeans.clusterable(embeddings[numbers], unit)]
        return ShardRows(len(embeddings), numbers, embeddings[numbers])

    def sample_of(self, ref: ShardRef) -> NDArray[np.float16]:
        """Opens the part of the sample that was set aside of a shard, float16 ``[m, dim]``; mapped where local."""
        uri = self.uri("fit", f"{ref.name}.npy")
        local = filesystem.is_local(uri)
        file = uri if local else io.BytesIO(filesystem.read_bytes(uri))
        vectors: NDArray[np.float16] = np.load(file, "r" if local else None, allow_pickle=False)
        return vectors

    def hashes(self, ref: ShardRef) -> tuple[Bool, UInt64]:
        """Reads which samples of a shard are valid, bool ``[n]``, and the hashes of their uids, uint64 ``[n]``."""
        block = BlockReader(Store(self.root), {"uid": (columns.INDEX, "uid")}).block(ref, ["uid"])
        return block.valid, uids.keyed_hash(block.columns["uid"], self.seed)


class ShardRows(NamedTuple):
    """Usable embeddings of one shard.

    Attributes:
      total: samples of the shard.
      numbers: int64 ``[m]``, which of them are usable.
      embeddings: float16 ``[m, dim]``.
    """

    total: int
    numbers: Int64
    embeddings: NDArray[np.float16]


class _Loaded:
    """The centroids that a process used last; threads share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[str, ...] = ()
        self._nearest: Nearest | None = None

    def __call__(self, row: FileRow, root: str, rule: str, device: str) -> Nearest:
        key = (root, *map(str, row), rule, device)
        with self._lock:
            if self._nearest is None or key != self._key:
                self._nearest = None  # let go of the old ones before the new ones come
                self._nearest = Nearest(_read(row, root), rule, device)
                self._key = key
            return self._nearest


def _read(row: FileRow, root: str) -> NDArray[Any]:
    uri = filesystem.join(root, row.path)
    path = filesystem.fetch(uri)
    vectors = vector_files.read_vectors(path, uri, "centroids")
    if stamps.sha256(filesystem.read_bytes(path)) != row.sha256:
        raise InputError(f"centroids {uri} changed while the job ran; run it again")
    return vectors


load_nearest = _Loaded()
"""Returns the assigner of a centroid file below a root, by a rule, on a device; the last one stays in memory."""
