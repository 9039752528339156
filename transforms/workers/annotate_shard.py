"""Annotate one shard: column sets made from columns that are there."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from apache_beam.metrics import Metrics

from transforms.lib import stamps
from transforms.lib.annotators.annotator import Annotate, Annotator
from transforms.lib.columnstore import columns
from transforms.outputs.store import BlockReader, Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.shard_work import logged

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
        stored = {owner: store.facts(owner, shard).get("stamp", "") for owner in sets}
        wanted = {
            a.name: stamps.stamp(inputs={owner: stored[owner] for owner in reads[a.name]}, **a.made_by())
            for a in self.annotators
        }
        return {name: stamp for name, stamp in wanted.items() if stored[name] != stamp}


class Annotated(NamedTuple):
    """What is left of a shard once its column sets are in the store: column set -> file."""

    files: tuple[tuple[str, FileRow], ...]


class Annotators:
    """The models and files of the annotators of one process, each opened when the first shard needs it.

    Threads share them.
    """

    def __init__(self, annotators: Sequence[Annotator]) -> None:
        self._annotators = {annotator.name: annotator for annotator in annotators}
        self._lock = threading.Lock()
        self._functions: dict[str, Annotate] = {}

    def function(self, name: str) -> Annotate:
        """Returns the function of an annotator."""
        with self._lock:
            if name not in self._functions:
                self._functions[name] = self._annotators[name].load(filesystem.fetch)
            return self._functions[name]


@dataclasses.dataclass(frozen=True)
class AnnotateShard:
    """Adds column sets to a shard; one whose sets all carry the right stamp is passed on unread.

    Attributes:
      settings: annotators, columns and where to write.
    """

    settings: AnnotateSettings

    def load(self) -> Annotators:
        """Prepares the annotators of a process."""
        return Annotators(self.settings.annotators)

    def __call__(self, ref: ShardRef, annotators: Annotators) -> Annotated:
        store = Store(self.settings.root)
        with logged(_LOG, "annotate", ref.name) as outcome:
            missing = self.settings.missing(ref.name)
            outcome.skipped = not missing
            files = []
            for annotator in self.settings.annotators:
                name = annotator.name
                if name not in missing:
                    files.append((name, store.row_of(name, ref.name)))
                    continue
                block = self.settings.reader(annotator).block(ref, annotator.inputs())
                table = annotators.function(name)(block)
                if len(table) != len(block.valid):
                    raise ValueError(f"{name} has {len(table)} rows for the {len(block.valid)} of shard {ref.name}")
                files.append((name, store.write(name, ref.name, table, missing[name], job="annotate", uri=ref.uri)))
                Metrics.counter("annotate", f"rows_{name}").inc(len(table))
                outcome.samples = len(table)
        Metrics.counter("annotate", "shards_annotated" if missing else "shards_skipped").inc()
        return Annotated(tuple(files))
