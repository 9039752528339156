"""Sort the uids of all shards into one file, through files: nothing of them crosses a shuffle or is held whole."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import UInt64
from transforms.lib.subsets import merge_sort
from transforms.outputs import file_rows
from transforms.rows import FileRow
from transforms.storage import filesystem

RUNS = ".runs"
"""Name of the folder of the runs of kept uids."""


class SortedRun(NamedTuple):
    """A file of sorted uids below the output folder, and how many rows it has."""

    path: str
    rows: int


def write_run(root: str, name: str, pairs: UInt64, folder: str = RUNS) -> SortedRun:
    """Writes the uids of one shard, uint64 ``[n, 2]`` in any order, as a run named after it in a folder of its kind."""
    return _write(root, f"{folder}/0/{name}", len(pairs), iter([uids.subset(pairs)]), header=b"")[0]


def _write(
    root: str, path: str, count: int, blocks: Iterable[NDArray[np.void]], header: bytes
) -> tuple[SortedRun, FileRow]:
    with filesystem.create_atomic(filesystem.join(root, path)) as file:
        file.write(header)
        for block in blocks:
            file.write(merge_sort.encode(block))
    return SortedRun(path, count), file_rows.of_new(path, file)


@contextlib.contextmanager
def _merged(root: str, parts: Sequence[SortedRun], held: int) -> Iterator[Iterator[NDArray[np.void]]]:
    rows = max(1, held // max(1, len(parts)))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(filesystem.open_ranges(filesystem.join(root, part.path))) for part in parts]
        yield merge_sort.merge(
            [merge_sort.blocks(file, part.rows, rows) for file, part in zip(files, parts, strict=True)]
        )


def merge_runs(group: tuple[str, Iterable[SortedRun]], root: str, held: int) -> SortedRun:
    """Merges the runs of one group into a run named after it."""
    path, parts = group[0], sorted(group[1])
    with _merged(root, parts, held) as blocks:
        return _write(root, path, sum(part.rows for part in parts), blocks, header=b"")[0]


def merge_subset(parts: Iterable[SortedRun], root: str, name: str, held: int) -> FileRow:
    """Merges the last runs into a subset file."""
    parts = sorted(parts)
    count = sum(part.rows for part in parts)
    with _merged(root, parts, held) as blocks:
        return _write(root, name, count, blocks, uids.subset_header(count))[1]


def group_of(run: SortedRun, level: int, groups: int, folder: str) -> str:
    """Returns the path of the run that a run is merged into, in the folder of all of them."""
    return f"{folder}/{level}/{zlib.crc32(run.path.encode()) % groups:06d}"


def _discard(group: tuple[str, Iterable[SortedRun]], done: FileRow, root: str) -> None:
    filesystem.discard([filesystem.join(root, run.path) for run in group[1]])


@dataclasses.dataclass(eq=False)
class SortUids(beam.PTransform):
    """Merges the runs of all shards into a subset file: ``SortedRun`` rows in, its one ``FileRow`` out.

    A pool of a million shards takes four passes, all but the last of them spread over the workers. The runs are
    deleted once the file is there.

    Cost: every uid, 16 bytes, is written and read once per pass; a merge holds 16 MiB, four times that while it sorts.

    Attributes:
      root: the output folder.
      name: of the file below it.
      shards: of the pool, for the number of passes; any number gives the same file.
      fan_in: runs merged at once, about.
      held: rows that one merge holds, of 16 bytes.
      folder: of the runs, below the output folder.
    """

    root: str
    name: str
    shards: int
    fan_in: int = 64
    held: int = 1 << 20
    folder: str = RUNS

    def expand(self, parts: beam.PCollection[SortedRun]) -> beam.PCollection[FileRow]:
        passes: list[beam.PCollection[tuple[str, Iterable[SortedRun]]]] = []
        left = self.shards
        while left > self.fan_in:
            left, level = -(-left // self.fan_in), len(passes) + 1
            keyed = parts | f"Key{level}" >> beam.WithKeys(group_of, level, left, self.folder)
            grouped = keyed | f"Group{level}" >> beam.GroupByKey()
            passes.append(grouped)
            parts = grouped | f"Merge{level}" >> beam.Map(merge_runs, self.root, self.held)
        last = parts | "LastKey" >> beam.WithKeys(self.name) | "LastGroup" >> beam.GroupByKey()
        every = parts | "Last" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        done = every | "MergeLast" >> beam.Map(merge_subset, self.root, self.name, self.held)
        for level, grouped in enumerate([*passes, last]):
            _ = grouped | f"Discard{level}" >> beam.Map(_discard, AsSingleton(done), self.root)
        return done
