"""Take uids and digests of images out of the lists of an output; needs the index as it was before."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.lib import uids
from transforms.lib.arrays import Int64
from transforms.lib.columnstore import columns
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.subsets import block_lists, standing_list, subset_files
from transforms.lib.subsets.subset_files import UidRecords
from transforms.outputs.store import DECISIONS, Store
from transforms.storage import filesystem

IMAGES = "kept_images.npy"
REFERRING = ("duplicate_of", "group")
"""Columns of other samples that hold the uid of a sample."""
_CHUNK = 1 << 22  # rows of a list in memory


def uids_of(store: Store, rows: Mapping[str, Int64]) -> UidRecords:
    """Returns the uids of samples, sorted, each once; ``rows`` are those of each shard."""
    found = [np.zeros((0, 2), np.uint64)]
    for shard, some in rows.items():
        found.append(store.arrays(shard, {"uid": (columns.INDEX, "uid")})["uid"][some])
    pairs = np.concatenate(found)
    return np.unique(uids.subset(pairs[pairs.any(axis=1)]))


def copies_of(store: Store, rows: Mapping[str, Int64]) -> UidRecords:
    """Returns the uids of samples, sorted, each as often as the store's selection copies it."""
    found = [np.zeros((0, 2), np.uint64)]
    for shard, some in rows.items():
        copies = store.read(DECISIONS, shard, ["copies"])["copies"].to_numpy()[some]
        found.append(np.repeat(store.arrays(shard, {"uid": (columns.INDEX, "uid")})["uid"][some], copies, axis=0))
    return uids.subset(np.concatenate(found))


def images_of(store: Store, rows: Mapping[str, Int64]) -> UidRecords:
    """Returns the images, by 128 bits, that no shard keeps any more without some of its samples; sorted."""
    found = [np.zeros((0, 2), np.uint64)]
    for shard, some in rows.items():
        kept = store.read(DECISIONS, shard, ["copies"])["copies"].to_numpy() > 0
        texts = store.read(columns.INDEX, shard, ["image_sha256"])["image_sha256"].combine_chunks()
        pairs = block_lists.image_pairs(texts)
        left = kept.copy()
        left[some] = False
        before, after = (set(map(tuple, pairs[which].tolist())) for which in (kept, left))
        gone = sorted(before - after - {(0, 0)})
        found.append(np.array(gone, np.uint64).reshape(-1, 2))
    return uids.subset(np.concatenate(found))


def cut(uri: str, gone: UidRecords, *, every: bool = False) -> int:
    """Takes rows out of a subset file, each as often as ``gone`` has it; writes it anew where there are any.

    Args:
      uri: of the file.
      gone: sorted.
      every: takes every row of these uids instead.

    Returns:
      how many rows it lost; 0 where there is no such file.
    """
    if not filesystem.exists(uri):
        return 0
    rows = subset_files.open_subset(filesystem.fetch(uri))
    distinct, counts = np.unique(gone, return_counts=True)
    pairs = subset_files.pairs_in(distinct)
    have = subset_files.multiplicity(rows, pairs)
    counts = have if every else np.minimum(have, counts)
    first = np.repeat(subset_files.starts(rows, pairs), counts)
    within = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = first + within
    if len(places):
        with filesystem.create_atomic(uri) as file:
            file.write(uids.subset_header(len(rows) - len(places)))
            for start in range(0, len(rows), _CHUNK):
                stop = min(start + _CHUNK, len(rows))
                left = np.ones(stop - start, np.bool_)
                left[places[(places >= start) & (places < stop)] - start] = False
                file.write(np.asarray(rows[start:stop])[left].tobytes())
    return len(places)


def unshared(subset_uri: str, gone: UidRecords) -> UidRecords:
    """Returns the uids of ``gone``, each once, that a subset file does not list; others are those of other samples."""
    rows = subset_files.open_subset(filesystem.fetch(subset_uri))
    left = subset_files.multiplicity(rows, subset_files.pairs_in(gone)) == 0
    alone: UidRecords = gone[left]
    return alone


def refer(store: Store, column_set: str, shard: str, gone: pa.Array, salt: str, *, write: bool) -> bool:
    """Replaces uids that other samples refer to by pseudonyms, so that groups stay groups and the uids are gone.

    Args:
      store: of the column set.
      column_set: with some of the columns ``REFERRING``.
      shard: name of the shard.
      gone: uids, 32 hex digits each.
      salt: of the pseudonyms.
      write: False only looks.

    Returns:
      whether any row refers to one.
    """
    table = store.read(column_set, shard)
    found = False
    for name in REFERRING:
        if name not in table.column_names:
            continue
        texts = table[name].combine_chunks()
        hits = pc.is_in(texts, value_set=gone)
        if pc.any(hits, min_count=0).as_py():
            found = True
            known = {
                text: standing_list.digest_of(salt, "uid", text) for text in texts.filter(hits).unique().to_pylist()
            }
            renamed = pa.array([known.get(text, text) for text in texts.to_pylist()], pa.string())
            table = table.set_column(table.column_names.index(name), table.schema.field(name), renamed)
    if found and write:
        rewrite(store, column_set, shard, table)
    return found


def rewrite(store: Store, column_set: str, shard: str, table: pa.Table, **changed: str) -> None:
    """Writes a file of the column store anew, with the facts that it had, but those changed; a view becomes a file."""
    facts = store.facts(column_set, shard)
    facts = {name: value for name, value in facts.items() if name not in ("set", "shard", "view")} | changed
    store.write(column_set, shard, table.replace_schema_metadata(None), facts.pop("stamp"), **facts)


def cut_matches(root: str, gone: pa.Array) -> None:
    """Takes samples out of the lists of samples near evaluation sets, ``dedup/*.parquet``."""
    for info in list(filesystem.children(filesystem.join(root, "dedup"))):
        if not info.uri.endswith(".parquet"):
            continue
        with filesystem.open_read(info.uri) as file:
            table = ParquetReader(file).read()
        listed = pc.is_in(table["uid"], value_set=gone)
        if pc.any(listed, min_count=0).as_py():
            facts = columns.facts_of(table.schema)
            left = table.filter(pc.invert(listed)).replace_schema_metadata(None)
            filesystem.write_atomic(info.uri, columns.to_parquet(left, facts.pop("stamp"), **facts))


def reports(root: str) -> list[str]:
    """Returns the paths of all reports below an output folder."""
    own = ["report.html"] if filesystem.exists(filesystem.join(root, "report.html")) else []
    found = (
        info.uri.rsplit(root.rstrip("/") + "/", 1)[-1]
        for info in filesystem.children(filesystem.join(root, "selections"))
    )
    return own + [path for path in found if path.endswith("/report.html")]


def plain_report(books: Mapping[str, Any]) -> bytes:
    """Returns a page with the counts of a selection and no sample, in the place of a report that showed some."""
    counts: list[tuple[str, int]] = [(name, books[name]) for name in ("samples", "kept", "copies")]
    counts += [(f"dropped by {label}", count) for label, count in sorted(books["dropped"].items())]
    counts += [(f"rejected: {reason}", count) for reason, count in sorted(books["rejected"].items())]
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{count:,}</td></tr>" for name, count in counts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Winnow</title>'
        "<h1>Counts after a takedown</h1><p>Samples were taken down, so the pictures that were here are gone. "
        f"<code>winnow select</code> draws the report anew.</p><table>{rows}</table></html>\n"
    ).encode()


def texts_of(records: UidRecords) -> pa.Array:
    """Returns uids as text: 32 hex digits each."""
    return pa.array(uids.to_hex(subset_files.pairs_in(records)), pa.string())
