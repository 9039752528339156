"""Write one output shard: listed, read, written in its form, and only then declared finished."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from apache_beam.metrics import Metrics

from transforms.lib import stamps
from transforms.lib.reshard import held, shard_format, shard_formats, shard_layout
from transforms.lib.reshard.carried import FOR_LOADERS, Carried
from transforms.lib.reshard.json_fields import AddedField
from transforms.lib.reshard.shard_listing import ShardListing
from transforms.outputs import file_rows, ledger, side_files
from transforms.outputs.store import Store
from transforms.rows import FileRow
from transforms.storage import filesystem, versions
from transforms.workers.face_boxes import FaceBoxes
from transforms.workers.shard_contents import SCORED, ShardContents
from transforms.workers.shard_work import logged

RESHARD_VERSION = 6  # raise when the same plan would give other bytes
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ReshardSettings:
    """Everything the resharder needs to know; workers get it as a field.

    Attributes:
      root: the output folder; shards go into ``shards/`` below it.
      samples_per_shard: copies in each output shard but the last.
      max_shard_bytes: a shard whose samples have more bytes, as they lie in the input, is cut; 0 = no limit.
      seed: of the order of shards and of the samples inside one.
      shuffle: ``none``, ``shards`` or ``full``, as in ``shard_layout.output_shards``.
      spread_remainder: all output shards are equal, to within one copy.
      format: one of ``shard_formats.NAMES``.
      coalesce_bytes: gaps up to this are read through; 0 chooses by where the input lies.
      boxes: where the boxes are of faces to blur; None blurs nothing.
      captions: ``scored`` or ``keep``, as in ``ShardContents``.
      added: columns that go into the json of each sample.
      beside: columns that a shard of a form with columns holds.
      carried: which members the output carries, and how its images are named; a form that finds images by another way
        than their names keeps those.
      check: what of a sample is compared with the index before it is copied: ``content`` or ``headers``.
      selection: ID of the selection whose copies are written.
    """

    root: str
    samples_per_shard: int = 10_000
    max_shard_bytes: int = 0
    seed: int = 0
    shuffle: str = "shards"
    spread_remainder: bool = False
    format: str = "webdataset"
    coalesce_bytes: int = 0
    boxes: FaceBoxes | None = None
    captions: str = SCORED
    added: tuple[AddedField, ...] = ()
    carried: Carried = FOR_LOADERS
    check: str = "content"
    beside: tuple[AddedField, ...] = ()
    selection: str = ""

    @property
    def store(self) -> Store:
        """The columns, and the decisions of the selection."""
        return Store(self.root, self.selection)

    @property
    def contents(self) -> ShardContents:
        """What lists and reads the samples of a shard."""
        carried = self.carried
        if not shard_formats.format_of(self.format).finds_images_by_name:
            carried = dataclasses.replace(carried, image_name="keep")
        return ShardContents(
            self.store,
            self.seed,
            self.shuffle,
            self.coalesce_bytes,
            self.boxes,
            self.captions,
            self.added,
            carried,
            self.check,
            self.beside,
        )

    @property
    def suffix(self) -> str:
        """Of the names of output shards."""
        return shard_formats.format_of(self.format).suffix

    def path(self, number: int) -> str:
        """Returns the path of an output shard below the root."""
        return f"shards/{number:08d}{self.suffix}"

    def stats_path(self, number: int) -> str:
        """Returns the path of an output shard's statistics below the root.

        They lie beside the folder of the shards: readers of whole folders take every file in it for a shard.
        """
        return side_files.stats_path(number)

    def outputs(self, sources: Iterable[shard_layout.DecidedShard]) -> Iterator[shard_layout.OutputShard]:
        """Returns the output shards before any cut by bytes."""
        return shard_layout.output_shards(
            list(sources), self.samples_per_shard, self.seed, self.shuffle, self.spread_remainder
        )

    def stamp(self, output: shard_layout.OutputShard) -> str:
        """Returns the stamp of an output shard: what its bytes are a function of."""
        return stamps.stamp(
            output=output[1:],
            seed=self.seed,
            shuffle=self.shuffle,
            format=self.format,
            boxes=self.boxes and dataclasses.asdict(self.boxes),
            captions=self.captions,
            added=(self.added or self.beside) and (self.added, self.beside, self._added_stamps(output)),
            carried=dataclasses.asdict(self.carried),
            version=RESHARD_VERSION,
        )

    def _added_stamps(self, output: shard_layout.OutputShard) -> list[str]:
        """Returns the stamps of the columns that go into a shard."""
        shards, owners = ({name for name, *_ in output.segments}, {field.owner for field in self.added + self.beside})
        return [self.store.facts(owner, shard)["stamp"] for owner in sorted(owners) for shard in sorted(shards)]


class WrittenShard(NamedTuple):
    """An output shard that is in place, and the file of its statistics.

    Attributes:
      number: of the shard.
      samples: that it holds.
      blurred: those of them whose faces were blurred.
      file: the shard.
      ledger: which samples of the pool it holds.
      stats: its statistics.
      counts: of what it holds, by name, as ``held.Counting`` makes them.
    """

    number: int
    samples: int
    blurred: int
    file: FileRow
    ledger: FileRow
    stats: FileRow
    counts: held.Counts


def _stats_of(data: bytes) -> dict[str, Any]:
    """Returns the statistics of a shard; empty where they are cut or emptied."""
    try:
        stats = json.loads(data)
    except ValueError:
        stats = None
    return stats if isinstance(stats, dict) else {}


@dataclasses.dataclass(frozen=True)
class WriteShard:
    """Writes one output shard; called again, it finds its work done.

    Attributes:
      settings: where, in which order and in which form.
    """

    settings: ReshardSettings

    def __call__(self, output: shard_layout.OutputShard) -> WrittenShard:
        with logged(_LOG, "write", f"{output.number:08d}") as outcome:
            stamp = self.settings.stamp(output)
            done = self._done(output, stamp)
            if done is None:
                outcome.samples = output.num_samples
                return self._replace(output, stamp)
            outcome.skipped = True
            Metrics.counter("reshard", "shards_skipped").inc()
            return done

    def _replace(self, output: shard_layout.OutputShard, stamp: str) -> WrittenShard:
        """Writes the shard, whatever was there before, and then its statistics."""
        settings = self.settings
        path, stats_path = settings.path(output.number), settings.stats_path(output.number)
        self._retract(filesystem.join(settings.root, stats_path), stamp)
        listing = settings.contents.listing(output)
        with filesystem.create_atomic(filesystem.join(settings.root, path)) as file:
            blurred, counts = self._write(listing, file)
        ledger_row = ledger.write(settings.root, output.number, settings.contents.ledger(listing), stamp)
        stats = {"successes": output.num_samples, "bytes": file.size, "sha256": file.sha256, "stamp": stamp}
        stats |= {"blurred": blurred, "counts": dict(counts), "ledger": ledger_row.sha256}
        stats_row = write_stats(settings.root, output.number, stats)  # last: it says the shard is finished
        Metrics.counter("reshard", "out").inc(output.num_samples)
        Metrics.counter("reshard", "out_bytes").inc(file.size)
        row = file_rows.of_new(path, file)
        return WrittenShard(output.number, output.num_samples, blurred, row, ledger_row, stats_row, counts)

    def _retract(self, uri: str, stamp: str) -> None:
        """Empties the statistics of other content, which must not speak of the shard once that is replaced.

        Those of equal content stay: another attempt at this shard may have finished meanwhile.
        """
        data, version = versions.read(uri)
        while data is not None and _stats_of(data).get("stamp") != stamp and not versions.replace(uri, b"{}", version):
            data, version = versions.read(uri)

    def _write(self, listing: ShardListing, file: filesystem.NewFile) -> tuple[int, held.Counts]:
        """Writes the samples; returns how many of them had faces blurred, and the counts of what they hold."""
        contents = self.settings.contents
        blurred = 0
        counting = held.Counting()

        def samples() -> Iterator[tuple[str, shard_format.Members]]:
            nonlocal blurred
            for sample in contents.samples(listing):
                blurred += sample.blurred
                counting.add(sample.members, sample.pickles)
                yield sample.key, sample.members

        shard_formats.format_of(self.settings.format).write(samples(), file, contents.columns_beside(listing))
        return blurred, counting.counts()

    def _done(self, output: shard_layout.OutputShard, stamp: str) -> WrittenShard | None:
        """Returns the shard where it is finished: its statistics are of this plan, and its bytes are theirs.

        Cost: the shard is read once, 0.6 CPU seconds per GB. Its size alone would not tell a damaged one.
        """
        root, number = self.settings.root, output.number
        path, stats_path = self.settings.path(number), self.settings.stats_path(number)
        text = filesystem.read_if_exists(filesystem.join(root, stats_path))
        stats = _stats_in(text)
        if text is None or (stats.get("stamp"), stats.get("successes")) != (stamp, output.num_samples):
            return None
        row = file_rows.of_record(path, stats)
        present = filesystem.stat(filesystem.join(root, path))
        if present is None or present.size != row.size or file_rows.of_stored(root, path) != row:
            return None
        ledger_row = self._ledger(output, stamp, stats.get("ledger", ""))
        stats_row = file_rows.of_bytes(stats_path, text)
        if ledger_row.sha256 != stats.get("ledger"):
            stats_row = write_stats(root, number, {**stats, "ledger": ledger_row.sha256})
        counts = tuple(sorted(stats["counts"].items()))
        return WrittenShard(number, output.num_samples, stats["blurred"], row, ledger_row, stats_row, counts)

    def _ledger(self, output: shard_layout.OutputShard, stamp: str, sha256: str) -> FileRow:
        """Returns the ledger of a shard that is finished; writes it where there is none, or another one."""
        root, path = self.settings.root, ledger.path_of(output.number)
        if sha256 and filesystem.exists(filesystem.join(root, path)):
            row = file_rows.of_stored(root, path)
            if row.sha256 == sha256:
                return row
        return ledger.write(
            root, output.number, self.settings.contents.ledger(self.settings.contents.listing(output)), stamp
        )


def write_stats(root: str, number: int, stats: Mapping[str, Any]) -> FileRow:
    """Writes the statistics of an output shard, by which it is finished, with a digest of themselves."""
    sealed = {**stats, "seal": _seal(stats)}
    return file_rows.write(root, side_files.stats_path(number), stamps.canonical(sealed).encode())


def _seal(stats: Mapping[str, Any]) -> str:
    return stamps.stamp(**{name: value for name, value in stats.items() if name != "seal"})


def _stats_in(text: bytes | None) -> dict[str, Any]:
    """Returns what the statistics of a shard say; nothing where they are damaged."""
    try:
        stats = json.loads(text or b"{}")
    except ValueError:
        return {}
    kinds = {"stamp": str, "successes": int, "blurred": int, "bytes": int, "sha256": str, "counts": dict}
    whole = isinstance(stats, dict) and all(type(stats.get(name)) is kind for name, kind in kinds.items())
    if whole and stats.get("seal", _seal(stats)) != _seal(stats):  # those of earlier versions have none
        return {}
    return stats if whole else {}
