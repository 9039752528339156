"""DataComp's metadata as a pool: find its files, check them, and make column sets of them without any shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystem import BeamIOError

from transforms.lib import addresses, stamps
from transforms.lib.errors import InputError
from transforms.lib.importers import datacomp
from transforms.lib.parquet_files import ParquetReader
from transforms.rows import FileRow
from transforms.storage import filesystem, patterns
from transforms.workers.import_metadata import Imported, ImportFile
from transforms.workers.import_metadata import MetadataSettings as MetadataSettings
from transforms.workers.import_metadata import MetaFile as MetaFile

_OPEN = 16  # files that are checked at once
_SHOWN = 10  # problems that an error lists


def find_files(texts: Sequence[str]) -> list[MetaFile]:
    """Finds metadata files, sorted by name, which is the stem: sub-folders are flattened as DataComp does.

    Args:
      texts: folders, searched to any depth, or globs of Parquet files.

    Raises:
      InputError: a pattern matches no Parquet file, or two files have one stem; all of it at once.
    """
    tables: dict[str, filesystem.FileInfo] = {}
    problems = []
    for pattern in texts:
        try:
            named = pattern.endswith(".parquet") or addresses.is_glob(pattern)
            listed = patterns.match([pattern])[0] if named else list(filesystem.children(pattern.rstrip("/")))
        except (OSError, BeamIOError) as error:
            raise InputError(f"--input {pattern} cannot be listed: {error}; check your access to it") from None
        matched = {info.uri: info for info in listed if info.uri.endswith(".parquet")}
        if not matched:
            problems.append(f"--input {pattern!r} has no .parquet file; name the folder of DataComp's metadata")
        tables |= matched
    by_stem: dict[str, list[filesystem.FileInfo]] = {}
    for info in tables.values():
        by_stem.setdefault(_stem(info.uri), []).append(info)
    for stem, files in sorted(by_stem.items()):
        if len(files) > 1:
            uris = " and ".join(sorted(info.uri for info in files))
            problems.append(f"--input: {uris} would both be shard {stem}; rename one, or leave it out")
    if problems:
        raise InputError(_shortened(problems))
    arrays = _npz_beside(tables)
    return sorted(_meta_file(info, arrays.get(info.uri.removesuffix(".parquet"))) for info in tables.values())


def _stem(uri: str) -> str:
    return uri.rsplit("/", 1)[-1].removesuffix(".parquet")


def _npz_beside(uris: Iterable[str]) -> dict[str, filesystem.FileInfo]:
    """Returns address without its ending -> npz file, of all folders that have metadata."""
    folders = sorted({uri.rpartition("/")[0] for uri in uris})
    places = [f"{addresses.escaped(folder)}/" if folder else "" for folder in folders]
    listed = filesystem.match([f"{place}*.npz" for place in places])
    return {info.uri.removesuffix(".npz"): info for files in listed for info in files}


def _meta_file(info: filesystem.FileInfo, npz: filesystem.FileInfo | None) -> MetaFile:
    beside = (npz.uri, stamps.stamp(**npz._asdict())) if npz else ("", "")
    return MetaFile(_stem(info.uri), info.uri, info.size, stamps.stamp(**info._asdict()), *beside)


def _shortened(problems: list[str]) -> list[str]:
    more = len(problems) - _SHOWN
    return problems if more <= 0 else [*problems[:_SHOWN], f"... and {more} more such problems"]


def check_files(files: Sequence[MetaFile], sets: tuple[str, ...]) -> None:
    """Checks the footer of every Parquet file, and the headers in every npz that is to be read, before any work.

    Args:
      files: of the pool.
      sets: column sets of embeddings that are to be made.

    Raises:
      InputError: schemas, arrays or numbers of rows are not as they must be, one line per file and problem.
    """
    with ThreadPoolExecutor(_OPEN) as pool:
        problems = [line for lines in pool.map(lambda file: _problems_of(file, sets), files) for line in lines]
    if problems:
        raise InputError(_shortened(problems))


def _problems_of(file: MetaFile, sets: tuple[str, ...]) -> list[str]:
    try:
        with filesystem.open_read(file.uri) as opened:
            stored = ParquetReader(opened)
            schema, rows = stored.schema, stored.rows
    except (pa.ArrowInvalid, OSError, BeamIOError) as error:
        return [f"{file.uri} cannot be read: {' '.join(str(error).split())}; download it again"]
    problems = [f"{file.uri} {line}" for line in datacomp.schema_problems(schema)]
    if sets:
        try:
            with filesystem.open_read(file.npz) as opened:
                problems += [f"{file.npz} {line}" for line in datacomp.npz_problems(opened, sets, rows)]
        except (OSError, BeamIOError) as error:
            problems.append(f"{file.npz} cannot be read: {error}; check your access to it")
    return problems


MetadataCounts = tuple[int, int, int]


def counts_of(row: Imported) -> MetadataCounts:
    """Returns a file's shards (one), samples and rejected samples."""
    return 1, row.samples, row.rejected


def add_counts(counts: Iterable[MetadataCounts]) -> MetadataCounts:
    """Adds counts."""
    shards = samples = rejected = 0
    for one in counts:
        shards, samples, rejected = shards + one[0], samples + one[1], rejected + one[2]
    return shards, samples, rejected


def named(counts: MetadataCounts) -> dict[str, int]:
    """Returns counts by the names that the manifest has."""
    return dict(zip(("shards", "samples", "uid_invalid"), counts, strict=True))


@dataclasses.dataclass(eq=False)
class ImportMetadata(beam.PTransform):
    """Makes column sets of metadata: ``MetaFile`` rows in, (``FileRow`` rows, singleton of counts) out.

    Cost: the uids of a file are read once; the rest stays where it is, unless it is to be copied, which holds one
    file's columns. Embeddings are decompressed, rounded and written 4,096 rows at a time. References are shuffled.

    Attributes:
      settings: which sets, how, and where to.
    """

    settings: MetadataSettings

    def expand(
        self, files: beam.PCollection[MetaFile]
    ) -> tuple[beam.PCollection[FileRow], beam.PCollection[dict[str, int]]]:
        imported = files | "Import" >> beam.Map(ImportFile(self.settings)) | "Checkpoint" >> beam.Reshuffle()
        counts = (
            imported
            | "MetadataCounts" >> beam.Map(counts_of)
            | "Add" >> beam.CombineGlobally(add_counts)
            | "Named" >> beam.Map(named)
        )
        return imported | "Files" >> beam.FlatMap(lambda row: row.files), counts
