"""What became of every sample, as one table: the index, the decisions and the ledger of the output, joined."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.columnstore import columns
from transforms.lib.errors import Reason
from transforms.outputs import ledger
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef

_PLACE = np.dtype([("shard", "<i4"), ("output", "<i4"), ("row", "<i8"), ("position", "<i8"), ("copy", "<i8")])
_UID = 32  # hex digits, before the copy in a key
_PARTS = 256  # files that the places of all copies are sorted into; one of them is in memory at a time

PLACES = pa.list_(
    pa.struct([pa.field("shard", pa.string()), pa.field("position", pa.int64()), pa.field("key", pa.string())])
)
SCHEMA = pa.schema(
    [
        pa.field("uid", pa.string(), False),
        pa.field("key", pa.string(), False),  # in the input
        pa.field("shard", pa.string(), False),  # of the input
        pa.field("row", pa.int64(), False),  # in the columns of that shard
        pa.field("offset", pa.int64(), False),  # first byte of the sample in the unpacked tar
        pa.field("length", pa.int64(), False),  # bytes
        pa.field("outcome", pa.string(), False),  # kept, dropped or rejected
        pa.field("step", pa.string(), False),  # that dropped it
        pa.field("margin", pa.float32(), False),
        pa.field("reason", pa.string(), False),  # for which it was rejected
        pa.field("detail", pa.string(), False),
        pa.field("copies", pa.uint16(), False),
        pa.field("places", PLACES, False),  # of its copies in the output: shard, position from 0, key
    ]
)
_OF_INDEX = ("uid", "key", "offset", "length", "status", "detail")


@dataclasses.dataclass(frozen=True)
class LedgerTable:
    """What became of the samples of a pool, in its order.

    Attributes:
      store: of the index, and of the decisions of the selection.
      refs: the shards.
      suffix: of output shards; empty where the output holds none of this selection, so that no copy has a place.
    """

    store: Store
    refs: Sequence[ShardRef]
    suffix: str

    @property
    def schema(self) -> pa.Schema:
        """The schema of the table."""
        return SCHEMA

    def tables(self) -> Iterator[pa.Table]:
        """Yields one table per shard of the pool.

        Cost: the places of all copies, 32 bytes each, go through a temporary folder; a 256th of them is in memory.

        Raises:
          InputError: a file is missing or damaged.
        """
        with contextlib.ExitStack() as stack:
            places = _Places(self, stack)
            for number, ref in enumerate(self.refs):
                with self.store.held() as store:
                    yield self._table(store, ref.name, places.of(number))

    def batches(self) -> pa.RecordBatchReader:
        """Returns the same as a stream of record batches, which hold rows of one shard each."""
        batches = (batch for table in self.tables() for batch in table.to_batches())
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def table(self) -> pa.Table:
        """Returns the whole as one table in memory."""
        return self.batches().read_all()

    def _table(self, store: Store, shard: str, places: NDArray[np.void]) -> pa.Table:
        index = store.read(columns.INDEX, shard, list(_OF_INDEX))
        decisions = store.read(DECISIONS, shard)
        rejected = pc.equal(decisions["step"], "rejected")
        kept = pc.equal(decisions["step"], "")
        unfinished = pc.if_else(pc.equal(index["status"], columns.OK), Reason.SCORE_NOT_FINITE.value, index["status"])
        return pa.table(
            {
                **{name: index[name] for name in ("uid", "key")},
                "shard": pa.array([shard]).take(np.zeros(len(index), np.int64)),
                "row": np.arange(len(index)),
                **{name: index[name] for name in ("offset", "length")},
                "outcome": pc.if_else(rejected, "rejected", pc.if_else(kept, "kept", "dropped")),
                "step": pc.if_else(rejected, "", decisions["step"]),
                "margin": decisions["margin"],
                "reason": pc.if_else(rejected, unfinished, ""),
                "detail": index["detail"],
                "copies": decisions["copies"],
                "places": self._places(index["uid"], places),
            }
        ).cast(SCHEMA)

    def _places(self, uids: pa.ChunkedArray, places: NDArray[np.void]) -> pa.Array:
        """Returns the places of each row's copies, sorted by output shard and position."""
        ends = np.searchsorted(places["row"], np.arange(len(uids) + 1))
        texts = ([str(number) for number in places[name].tolist()] for name in ("output", "copy"))
        outputs, copies = (pa.array(text, pa.string()) for text in texts)
        names = pc.binary_join_element_wise(pc.utf8_lpad(outputs, 8, "0"), self.suffix, "")
        keys = pc.binary_join_element_wise(uids.take(pa.array(places["row"])).combine_chunks(), copies, "-")
        entries = [names, pa.array(places["position"]), keys.cast(pa.string())]
        fields = list(PLACES.value_type)
        values = pa.StructArray.from_arrays(entries, fields=fields)
        return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), values)


@dataclasses.dataclass(frozen=True)
class InText:
    """A ledger for a file of text, which holds no lists: places are ``shard:position:key``, separated by blanks.

    Attributes:
      whole: the ledger.
    """

    whole: LedgerTable

    @property
    def schema(self) -> pa.Schema:
        """The schema of the table."""
        return SCHEMA.set(SCHEMA.get_field_index("places"), pa.field("places", pa.string(), False))

    def tables(self) -> Iterator[pa.Table]:
        """Yields one table per shard of the pool. Errors and cost as ``LedgerTable``."""
        for table in self.whole.tables():
            lists = table["places"].combine_chunks()
            values = lists.values
            parts = [values.field("shard"), values.field("position").cast(pa.string()), values.field("key")]
            words = pa.ListArray.from_arrays(lists.offsets, pc.binary_join_element_wise(*parts, ":"))
            yield table.set_column(len(SCHEMA) - 1, self.schema.field("places"), pc.binary_join(words, " "))


class _Places:
    """The places of all copies, sorted by input shard through a temporary folder."""

    def __init__(self, whole: LedgerTable, stack: contextlib.ExitStack) -> None:
        self._shards = len(whole.refs)
        self._folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="winnow-ledger-"))
        self._part = -1
        self._loaded = np.zeros(0, _PLACE)
        if whole.suffix:
            names = pa.array([ref.name for ref in whole.refs], pa.string())
            for number in ledger.numbers(whole.store.root):
                self._add(ledger.read(whole.store.root, number), number, names)

    def _part_of(self, shard: Int64 | int) -> Int64 | int:
        return shard * _PARTS // self._shards

    def _path(self, part: int) -> str:
        return os.path.join(self._folder, str(part))

    def _add(self, entries: pa.Table, number: int, names: pa.Array) -> None:
        places = np.zeros(len(entries), _PLACE)
        places["shard"] = pc.index_in(entries["shard"], value_set=names).fill_null(-1).to_numpy()
        places["output"], places["position"] = number, np.arange(len(entries))
        places["row"] = entries["row"].to_numpy()
        places["copy"] = pc.utf8_slice_codeunits(entries["key"], _UID + 1).cast(pa.int64()).to_numpy()
        places = np.sort(places[places["shard"] >= 0], order="shard", kind="stable")
        parts = self._part_of(places["shard"].astype(np.int64))
        for part in np.unique(parts).tolist():
            with open(self._path(part), "ab") as file:
                file.write(places[parts == part].tobytes())

    def of(self, shard: int) -> NDArray[np.void]:
        """Returns the places of the copies of one input shard, by its number, sorted by row, output and position."""
        part = int(self._part_of(shard))
        if part != self._part:
            path = self._path(part)
            read = np.fromfile(path, _PLACE) if os.path.exists(path) else np.zeros(0, _PLACE)
            self._part, self._loaded = part, np.sort(read, order=["shard", "row", "output", "position"])
        first, last = np.searchsorted(self._loaded["shard"], [shard, shard + 1])
        found: NDArray[np.void] = self._loaded[first:last]
        return found
