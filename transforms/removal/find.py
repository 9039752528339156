"""Find the samples of a pool that lists name, whatever became of them: kept, dropped or rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import Bool, Int64
from transforms.lib.columnstore import columns
from transforms.lib.recipes.steps.block_list import DropBlocked
from transforms.lib.subsets import block_lists, subset_files
from transforms.lib.subsets.block_lists import BlockList
from transforms.outputs.store import Store
from transforms.rows import ShardRef

AT_ONCE = 8  # shards


class NamedList(NamedTuple):
    """A list of what is to go, and the step that compares samples with it."""

    listed: BlockList
    step: DropBlocked


class Found(NamedTuple):
    """The samples that lists name.

    Attributes:
      rows: shard -> int64, rows of its samples, sorted; shards without any are not in it.
      absent_uids: 32 hex digits each: listed uids that no sample has, sorted.
      absent_images: how many listed digests of images no sample has.
    """

    rows: dict[str, Int64]
    absent_uids: list[str]
    absent_images: int

    @property
    def samples(self) -> int:
        """How many samples were found."""
        return sum(map(len, self.rows.values()))


def find(store: Store, refs: Sequence[ShardRef], lists: Sequence[NamedList]) -> Found:
    """Finds samples; reads the columns that the lists go by, shard after shard.

    Args:
      store: of the columns.
      refs: the shards of the pool.
      lists: what is to go.
    """
    seen_uids = [np.zeros(len(one.listed.uids), np.bool_) for one in lists]
    seen_images = [np.zeros(len(one.listed.images), np.bool_) for one in lists]
    rows: dict[str, Int64] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for start in range(0, len(refs), AT_ONCE):
            some = refs[start : start + AT_ONCE]
            for ref, (named, hits) in zip(some, threads.map(lambda ref: _named(store, ref, lists), some), strict=True):
                if named.any():
                    rows[ref.name] = np.flatnonzero(named)
                for number, (of_uids, of_images) in enumerate(hits):
                    seen_uids[number][of_uids] = True
                    seen_images[number][of_images] = True
    lacking = {
        uid
        for one, seen in zip(lists, seen_uids, strict=True)
        for uid in uids.to_hex(subset_files.pairs_in(np.asarray(one.listed.uids)[~seen]))
    }
    return Found(rows, sorted(lacking), sum(int((~seen).sum()) for seen in seen_images))


def _named(store: Store, ref: ShardRef, lists: Sequence[NamedList]) -> tuple[Bool, list[tuple[Int64, Int64]]]:
    """Returns which samples of a shard the lists name, and of each list the entries of uids and images that hit."""
    with store.held() as held:
        named = np.zeros(len(held.valid(ref.name)), np.bool_)
        hits = []
        for listed, step in lists:
            wanted = {name: _place(name) for name in step.inputs()}
            values = held.arrays(ref.name, wanted)
            named |= step.named(listed, values)
            hits.append(_entries(listed, step, values))
    return named, hits


def _place(name: str) -> tuple[str, str]:
    owner, _, column = name.rpartition(".")
    return owner or columns.INDEX, column


def _entries(listed: BlockList, step: DropBlocked, values: Mapping[str, NDArray[Any]]) -> tuple[Int64, Int64]:
    """Returns the entries of a list, of uids and of images, that samples have."""
    none = np.zeros(0, np.int64)
    at = subset_files.places(listed.uids, values["uid"]) if "uid" in step.by else none
    digests = values.get("index.image_sha256")
    images = none
    if "sha256" in step.by and digests is not None:
        images = subset_files.places(listed.images, block_lists.image_pairs(pa.array(digests, pa.string())))
    return at[at >= 0], images[images >= 0]
