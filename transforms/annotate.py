"""Annotate shards: column sets made from columns that are there; no tar is opened."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from transforms.lib import stamps
from transforms.lib.annotators.annotator import Annotate, Annotator
from transforms.lib.columnstore import columns
from transforms.outputs.store import BlockReader, Store
from transforms.rows import FileRow, ShardRef, ShardRefs
from transforms.storage import filesystem
from transforms.workers.shard_log import Outcome, logged

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class AnnotateSettings:
    """Everything annotation needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      annotators: what to add; each writes the column set of its name.
      where: each column that they read -> (column set, column).
    """

    root: str
    annotators: tuple[Annotator, ...]
    where: Mapping[str, tuple[str, str]]

    def reader(self, annotator: Annotator) -> BlockReader:
        """Returns the reader of an annotator's blocks."""
        return BlockReader(Store(self.root), {name: self.where[name] for name in annotator.inputs()})

    def missing(self, shard: str) -> dict[str, str]:
        """Returns column set -> stamp of the sets that a shard lacks or that were made from something else.

        A stamp is made of what makes the set, and of the stamps of the sets that it is made from.
        """
        store = Store(self.root)
        reads = {a.name: sorted({columns.INDEX, *(self.where[n][0] for n in a.inputs())}) for a in self.annotators}
        sets = {*reads, *(owner for owners in reads.values() for owner in owners)}
        found = {owner: store.facts(owner, shard).get("stamp", "") for owner in sets}
        wanted = {
            a.name: stamps.stamp(inputs={owner: found[owner] for owner in reads[a.name]}, **a.made_by())
            for a in self.annotators
        }
        return {name: stamp for name, stamp in wanted.items() if found[name] != stamp}


class Annotated(NamedTuple):
    """What is left of a shard once its column sets are in the store: column set -> file."""

    files: tuple[tuple[str, FileRow], ...]


class _Loaded:
    """The models and files of one process, opened when the first shard needs them."""

    def __init__(self, annotators: Sequence[Annotator]) -> None:
        self._annotators = {annotator.name: annotator for annotator in annotators}
        self._lock = threading.Lock()
        self._work: dict[str, Annotate] = {}

    def work(self, name: str) -> Annotate:
        """Returns the function of an annotator."""
        with self._lock:
            if name not in self._work:
                self._work[name] = self._annotators[name].load(filesystem.fetch)
            return self._work[name]


class AnnotateHandler(ModelHandler[ShardRef, Annotated, _Loaded]):
    """Annotates whole shards; one whose column sets all carry the right stamp is passed on unread."""

    def __init__(self, settings: AnnotateSettings) -> None:
        super().__init__(min_batch_size=1, max_batch_size=1)
        self._settings = settings

    def load_model(self) -> _Loaded:
        return _Loaded(self._settings.annotators)

    def run_inference(
        self, batch: Sequence[ShardRef], model: _Loaded, inference_args: Mapping[str, Any] | None = None
    ) -> list[Annotated]:
        return [self._logged(ref, model) for ref in batch]

    def get_num_bytes(self, batch: Sequence[ShardRef]) -> int:
        return sum(ref.size for ref in batch)

    def get_metrics_namespace(self) -> str:
        return "annotate"

    def _logged(self, ref: ShardRef, loaded: _Loaded) -> Annotated:
        with logged(_LOG, "annotate", ref.name) as outcome:
            return self._annotate(ref, loaded, outcome)

    def _annotate(self, ref: ShardRef, loaded: _Loaded, outcome: Outcome) -> Annotated:
        store = Store(self._settings.root)
        missing = self._settings.missing(ref.name)
        files = []
        for annotator in self._settings.annotators:
            name = annotator.name
            if name not in missing:
                files.append((name, store.row_of(name, ref.name)))
                continue
            block = self._settings.reader(annotator).block(ref, annotator.inputs())
            table = loaded.work(name)(block)
            if len(table) != len(block.valid):
                raise ValueError(f"{name} has {len(table)} rows for the {len(block.valid)} of shard {ref.name}")
            written = store.write(name, ref.name, table, missing[name], job="annotate", uri=ref.uri)
            files.append((name, written))
            Metrics.counter("annotate", f"rows_{name}").inc(len(table))
            outcome.samples = len(table)
        outcome.skipped = not missing
        Metrics.counter("annotate", "shards_annotated" if missing else "shards_skipped").inc()
        return Annotated(tuple(files))


@dataclasses.dataclass(eq=False)
class AnnotateShards(beam.PTransform):
    """Adds column sets to shards: ``ShardRef`` rows in, one ``Annotated`` a shard out.

    Cost: reads the columns that the annotators name, once; shuffles references only. Memory a thread: those columns
    of one shard; a process: the models and files of its annotators.

    Attributes:
      settings: annotators, columns and where to write.
    """

    settings: AnnotateSettings

    def expand(self, refs: ShardRefs) -> beam.PCollection[Annotated]:
        return refs | "Annotate" >> RunInference(AnnotateHandler(self.settings)) | "Checkpoint" >> beam.Reshuffle()
