"""What goes into one output shard: its samples in order, and their members read from the input shards."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics

from transforms.lib import byte_ranges, uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.reshard import json_fields, member_faces, scored_members, shard_layout
from transforms.lib.reshard.carried import AS_STORED, Carried
from transforms.lib.reshard.shard_format import Members
from transforms.lib.reshard.shard_listing import ShardListing, keys_of
from transforms.lib.samples import identity
from transforms.lib.tar.writer import sample_of
from transforms.outputs import ledger, stored_files
from transforms.outputs.store import DECISIONS, Store
from transforms.outputs.stored_packing import is_plain_file
from transforms.storage import filesystem, pool_files
from transforms.workers.face_boxes import FaceBoxes

SCORED = "scored"
"""Value of ``captions``: the output carries the caption that was scored."""

_INDEXED = ("key", "image_sha256", "sample_digest", "image_extension")  # as in identity.Indexed


class OutputSample(NamedTuple):
    """A sample on its way into an output shard.

    Attributes:
      key: ``uid-copy``.
      members: that it carries.
      blurred: whether faces were blurred.
      pickles: extensions of the members that were left out because loaders would unpickle them.
    """

    key: str
    members: Members
    blurred: bool
    pickles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ShardContents:
    """Lists and reads the samples that the plan gives to an output shard.

    Attributes:
      store: of decisions and index.
      seed: of the order of samples.
      shuffle: ``none``: in the order of the plan; ``shards`` and ``full``: by a hash of (seed, uid), then by copy.
      coalesce_bytes: gaps up to this are read through; 0 chooses by where the input lies.
      boxes: where face boxes are; None blurs nothing.
      captions: ``scored``: the ``.txt`` of a sample is the caption that was scored, and its image has a plain name;
        ``keep``: members are what they were.
      added: columns that go into the json of each sample.
      beside: columns that a shard of a form with columns holds, under their names.
      carried: which members the output carries, and how its images are named.
      check: what is compared with the index: ``content`` or ``headers``, as in ``identity.difference``.
    """

    store: Store
    seed: int = 0
    shuffle: str = "shards"
    coalesce_bytes: int = 0
    boxes: FaceBoxes | None = None
    captions: str = "keep"
    added: tuple[json_fields.AddedField, ...] = ()
    carried: Carried = AS_STORED
    check: str = "content"
    beside: tuple[json_fields.AddedField, ...] = ()

    def listing(self, output: shard_layout.OutputShard) -> ShardListing:
        """Returns the samples of an output shard, in order; no input shard is opened."""
        by_source: dict[tuple[str, str], list[shard_layout.Segment]] = {}
        for segment in output.segments:
            by_source.setdefault((segment.name, segment.uri), []).append(segment)
        parts = [self._part(name, segments) for (name, _), segments in by_source.items()]
        table = pa.concat_tables(parts)
        source = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        if self.shuffle != "none":
            pairs = columns.uid_pairs(table["uid"])
            hashed = uids.keyed_hash(pairs, self.seed)
            order = np.lexsort((table["copy"].to_numpy(), pairs[:, 1], pairs[:, 0], hashed))
            table, source = table.take(order), source[order]
        keys = keys_of(table["uid"].to_pylist(), table["copy"].to_numpy())
        offset, length, row = (table[name].to_numpy() for name in ("offset", "length", "row"))
        known = table.drop_columns(["uid", "copy", "offset", "length", "row"])
        listing = ShardListing(keys, list(by_source), source, offset, length, row, known)
        return listing.part(output.start, output.stop)

    def _part(self, name: str, segments: list[shard_layout.Segment]) -> pa.Table:
        """Returns uid, copy, offset, length and what is known of what an output shard takes from one input shard."""
        store = self.store
        copies = store.read(DECISIONS, name, ["copies"])["copies"].to_numpy()
        if stored_files.changed_since(store.facts(DECISIONS, name), store.seals(name, [columns.INDEX])):
            path = store.uri(DECISIONS, name)
            raise InputError(f"{path} is not about columns/{columns.INDEX}/{name}; run `winnow select` again")
        index = self._known(name)
        rows, numbers = [], []
        for segment in segments:
            meant = np.flatnonzero((copies >= segment.least) & (copies <= segment.most))
            if self.shuffle == "full":
                pairs = uids.pairs(index["uid"].take(meant).to_pylist())
                meant = meant[np.argsort(uids.keyed_hash(pairs, self.seed), kind="stable")]
            picked, copy = segment.picks()
            rows.append(meant[picked])
            numbers.append(copy)
        index = index.take(np.concatenate(rows))
        return index.append_column("copy", pa.array(np.concatenate(numbers), pa.int64()))

    def _known(self, name: str) -> pa.Table:
        """Returns what is read of the columns of an input shard, with the number of each row."""
        store = self.store
        changed_by = ["caption"] if self.captions == SCORED else []
        index = _index_of(store, name, ["uid", "offset", "length", *_INDEXED, *changed_by])
        fields = [*((f".{one.name}", one) for one in self.added), *((f"={one.name}", one) for one in self.beside)]
        for owner in sorted({field.owner for _, field in fields}):
            wanted = [(label, field.column) for label, field in fields if field.owner == owner]
            table = store.read(owner, name, sorted({column for _, column in wanted}))
            for label, column in wanted:
                index = index.append_column(label, table[column])
        return index.append_column("row", pa.array(np.arange(len(index)), pa.int64()))

    def listed(self, entries: pa.Table) -> ShardListing:
        """Returns the samples of an output shard by its ledger, in order; there is at least one. Opens no input shard.

        Raises:
          InputError: an entry is not about a sample that the selection keeps.
        """
        names = entries["shard"].unique().to_pylist()
        parts = []
        for name in names:
            rows = entries["row"].filter(pc.equal(entries["shard"], name))
            copies = self.store.read(DECISIONS, name, ["copies"])["copies"]
            parts.append(self._known(name).append_column("copies", copies).take(rows))
        source = pc.index_in(entries["shard"], value_set=pa.array(names, pa.string())).to_numpy().astype(np.int64)
        order = np.argsort(np.argsort(source, kind="stable"), kind="stable")
        table = pa.concat_tables(parts).take(order)
        keys = entries["key"].to_pylist()
        kept = table["copies"].to_numpy() > 0
        if not kept.all() or [key.rpartition("-")[0] for key in keys] != table["uid"].to_pylist():
            raise InputError("its ledger is about samples that the selection does not keep; run `winnow reshard` again")
        offset, length, row = (table[name].to_numpy() for name in ("offset", "length", "row"))
        uris = [(name, self.store.facts(DECISIONS, name)["uri"]) for name in names]
        known = table.drop_columns(["uid", "copies", "offset", "length", "row"])
        return ShardListing(keys, uris, source, offset, length, row, known)

    def dropped(self, name: str, uri: str) -> ShardListing:
        """Returns the samples of an input shard that were indexed, and of which there is no copy."""
        copies = self.store.read(DECISIONS, name, ["copies"])["copies"].to_numpy()
        table = self._known(name).take(np.flatnonzero(self.store.valid(name) & (copies == 0)))
        offset, length, row = (table[column].to_numpy() for column in ("offset", "length", "row"))
        source = np.zeros(len(table), np.int64)
        return ShardListing(table["uid"].to_pylist(), [(name, uri)], source, offset, length, row, table)

    def changed(self, listing: ShardListing) -> Iterator[str]:
        """Yields a line for each sample that is not the one that was indexed; stops at one that cannot be read."""
        rows = map(identity.Indexed, *(listing.known[name].to_pylist() for name in _INDEXED))
        try:
            for number, (indexed, block) in enumerate(zip(rows, self._blocks(listing), strict=True)):
                try:
                    self._checked(listing, number, indexed, block)
                except InputError as error:
                    yield from error.problems
        except InputError as error:
            yield from error.problems

    def ledger(self, listing: ShardListing) -> pa.Table:
        """Returns the ledger of a shard with the samples of a listing."""
        shards = pa.array([name for name, _ in listing.sources], pa.string()).take(pa.array(listing.source))
        return ledger.table(listing.keys, shards, listing.row)

    def columns_beside(self, listing: ShardListing) -> pa.Table | None:
        """Returns the columns that a shard holds beside its samples, row i of sample i; None where it holds none."""
        chosen = {field.name: listing.known[f"={field.name}"].combine_chunks() for field in self.beside}
        return pa.table(chosen) if chosen else None

    def samples(self, listing: ShardListing) -> Iterator[OutputSample]:
        """Yields the samples in the order of the listing; memory holds one of them and one piece of 4 MiB.

        Raises:
          InputError: an input shard, which the line names, is not the one that was indexed.
          SampleError: an image whose faces are to be blurred cannot be decoded.
        """
        uids_of = [key.rpartition("-")[0] for key in listing.keys]
        shards = [listing.sources[number][0] for number in listing.source.tolist()]
        boxes = self.boxes and self.boxes.find(list(zip(shards, uids_of, strict=True)))
        known = listing.known
        captions = known["caption"].to_pylist() if self.captions == SCORED else None
        added = {field.name: json_fields.values_of(known[f".{field.name}"]) for field in self.added}
        indexed_rows = map(identity.Indexed, *(known[name].to_pylist() for name in _INDEXED))
        rows = zip(listing.keys, indexed_rows, self._blocks(listing), strict=True)
        for number, (key, indexed, block) in enumerate(rows):
            members = self._checked(listing, number, indexed, block)
            if captions is not None or self.carried.image_name != "keep":
                members = scored_members.with_image(members, indexed.image_extension)
            face_boxes = [] if self.boxes is None else boxes[number] if boxes else member_faces.boxes_in(members)
            if face_boxes:
                members = member_faces.blurred(members, face_boxes)
            if captions is not None:
                members = scored_members.with_caption(members, captions[number])
            if added:
                members = json_fields.with_fields(members, {name: values[number] for name, values in added.items()})
            members, pickles = self.carried.of(members)
            yield OutputSample(key, members, bool(face_boxes), pickles)

    def _checked(self, listing: ShardListing, number: int, indexed: identity.Indexed, block: bytes) -> Members:
        """Returns the members of a sample, which are those that were indexed."""
        try:
            key, members = sample_of(block)
        except identity.READ_ERRORS as error:
            raise identity.misread(listing.sources[int(listing.source[number])][1], error) from None
        found = identity.difference(indexed, key, members, self.check)
        if found:
            uid, uri = listing.keys[number].rpartition("-")[0], listing.sources[int(listing.source[number])][1]
            raise identity.changed(uri, f"the sample at byte {int(listing.offset[number])}, uid {uid}, {found}")
        return members

    def _blocks(self, listing: ShardListing) -> Iterator[bytes]:
        """Yields the bytes of each sample in its input shard.

        Local tars are read directly. Others, where every read is a request or only a forward pass is possible, are
        first gathered in a temporary file, input shard by input shard.
        """
        if all(is_plain_file(self.store, name, uri) for name, uri in listing.sources):
            return self._direct(listing)
        return self._gathered(listing)

    def _direct(self, listing: ShardListing) -> Iterator[bytes]:
        with byte_ranges.LocalFiles() as files:
            for number, (_, uri) in enumerate(listing.sources):
                rows = listing.source == number
                gap = self.coalesce_bytes or byte_ranges.COALESCE_LOCAL
                with identity.as_indexed(uri):
                    _count(files.announce(uri, listing.offset[rows], listing.length[rows], gap))
            spans = zip(listing.source.tolist(), listing.offset.tolist(), listing.length.tolist(), strict=True)
            for number, offset, length in spans:
                uri = listing.sources[number][1]
                try:
                    block = files.read(uri, offset, length)
                except identity.READ_ERRORS as error:
                    raise identity.misread(uri, error) from None
                yield block

    def _gathered(self, listing: ShardListing) -> Iterator[bytes]:
        starts = np.empty(len(listing.keys), np.int64)
        with tempfile.TemporaryFile() as gathered:
            for number, (_, uri) in enumerate(listing.sources):
                rows = np.flatnonzero(listing.source == number)
                local = byte_ranges.COALESCE_LOCAL if filesystem.is_local(uri) else byte_ranges.COALESCE_REMOTE
                with identity.as_indexed(uri), pool_files.open_shard(uri, ranges=True) as tar:
                    copied = byte_ranges.copy_ranges(
                        tar,
                        listing.offset[rows],
                        listing.length[rows],
                        cast(BinaryIO, gathered),
                        self.coalesce_bytes or local,
                    )
                starts[rows] = copied.starts
                _count(copied)
            gathered.flush()
            for start, length in zip(starts.tolist(), listing.length.tolist(), strict=True):
                gathered.seek(start)
                yield gathered.read(length)


def _index_of(store: Store, name: str, wanted: list[str]) -> pa.Table:
    """Returns columns of the index of an input shard; one that it lacks, such as 0.1 ``sample_digest``, is empty."""
    with store.held() as held:
        table = held.read(columns.INDEX, name, [n for n in wanted if n in held.schema(columns.INDEX, name).names])
    for lacking in [n for n in wanted if n not in table.column_names]:
        table = table.append_column(columns.INDEX_SCHEMA.field(lacking), [pa.repeat("", len(table))])
    return table


def _count(copied: byte_ranges.Copied) -> None:
    Metrics.counter("reshard", "in_bytes").inc(copied.read_bytes)
    Metrics.counter("reshard", "requests").inc(copied.requests)
