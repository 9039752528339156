"""The plan of ``takedown``: what the lists name, in which shards it lies, and whether the output can be changed."""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import os
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from beam_pipelines.config.takedown import TakedownConfig
from beam_pipelines.planning import column_sets, workspace
from beam_pipelines.planning.plan_facts import Problems, version
from transforms.lib import stamps, uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.importers import datacomp
from transforms.lib.recipes.steps.block_list import DropBlocked
from transforms.lib.reshard import shard_formats
from transforms.lib.subsets import block_lists, standing_list
from transforms.outputs import all_selections, file_rows, ledger, manifest, takedowns
from transforms.outputs.store import Store
from transforms.removal import lists
from transforms.removal.find import Found, NamedList, find
from transforms.removal.output_shards import CutShards
from transforms.removal.takedown import Takedown
from transforms.rows import ShardRef
from transforms.storage import filesystem

SHOWN = 1000  # uids that are in no sample and are named


@dataclasses.dataclass(frozen=True)
class TakedownPlan:
    """What is to go.

    Attributes:
      work: the samples, and where they are.
      digests: the standing block list, a file.
      found: what the lists name.
      manifest: sha256 of the manifest that this was found by.
    """

    work: Takedown
    digests: bytes
    found: Found
    manifest: str

    def counts(self) -> dict[str, Any]:
        """Returns what is told of it, as JSON values."""
        absent = self.found.absent_uids
        return {
            **self.work.record["counts"],
            "input_shards": len(self.work.rows),
            "output_shards": len(self.work.outputs),
            "absent_uids": len(absent),
            "absent": absent[:SHOWN],
        }


def read_lists(config: TakedownConfig, names: Sequence[str], problems: Problems) -> list[NamedList]:
    """Reads the lists of a takedown; each that cannot be used is a problem.

    Args:
      config: of the job.
      names: of the column sets of the pool.
      problems: what is wrong is added to them.
    """
    found = []
    for flag, uris, only in (("uids", config.uids, "uid"), ("block_list", config.block_list, "")):
        for uri in sorted(set(uris)):
            listed = problems.collect(_read, flag, uri, only)
            if listed is None:
                continue
            if datacomp.SET in names and "phash" in listed.counts:
                problems.append(
                    f"--{flag} {uri} has perceptual hashes, and DataComp's metadata has none; leave them out"
                )
            url = f"{datacomp.SET}.url" if datacomp.SET in names else f"{columns.INDEX}.url"
            step = DropBlocked(label=flag, file=uri, by=tuple(listed.counts), radius=config.block_radius, url=url)
            found.append(NamedList(listed, step))
    return found


def _read(flag: str, uri: str, only: str) -> block_lists.BlockList:
    try:
        local = filesystem.fetch(uri)
        if not os.path.isfile(local):
            raise InputError("does not exist; check the address")
        return block_lists.read(local, only)
    except (InputError, OSError) as error:
        raise InputError(f"--{flag} {uri} {error}") from None


def check_shards(root: str) -> str:
    """Checks that the output shards are those of a ``reshard`` that ended, and have ledgers; returns their form.

    Returns:
      one of ``shard_formats.NAMES``; empty where nothing was resharded.

    Raises:
      InputError: shards were begun and not finished, or an earlier version wrote no ledger.
    """
    again = "run `winnow reshard` to the end first, with the same flags as before"
    section = manifest.read(root).sections.get("reshard")
    present = {info.uri.rpartition("/")[2] for info in filesystem.children(filesystem.join(root, "shards"))}
    suffixes = tuple(shard_formats.format_of(name).suffix for name in shard_formats.NAMES)
    shards = {name for name in present if name.endswith(suffixes)}
    listed = {row.path: row for row in section.files} if section else {}
    if section is None:
        if shards:
            raise InputError(f"--output {root}: shards/ was begun and is not finished; {again}")
        return ""
    if shards != {path.rpartition("/")[2] for path in listed if path.startswith("shards/") and path.endswith(suffixes)}:
        raise InputError(f"--output {root}: shards/ holds other files than `winnow reshard` wrote; {again}")
    if shards and not any(path.startswith(f"{ledger.FOLDER}/") for path in listed):
        raise InputError(f"--output {root}: an earlier version of Winnow wrote shards/, without a ledger; {again}")
    for path, row in listed.items():
        if path.startswith("shard_stats/") and file_rows.of_stored(root, path) != row:
            raise InputError(f"--output {root}: {path} is not as `winnow reshard` left it; {again}")
    return str(section.configuration.get("format", "webdataset"))


def plan_takedown(config: TakedownConfig, refs: Sequence[ShardRef], problems: Problems) -> TakedownPlan | None:
    """Finds what is to go; returns None when something is wrong, or nothing is to go."""
    root = config.output
    schemas = problems.collect(column_sets.stored_schemas, root, refs)
    form = problems.collect(check_shards, root)
    problems.collect(filesystem.check_writable, root)
    problems.collect(workspace.check_run, root)
    named = read_lists(config, [*schemas], problems) if schemas else []
    if problems or schemas is None or form is None:
        return None
    found = find(Store(root), refs, named)
    salt = next((record["salt"] for record in takedowns.records(root)), secrets.token_hex(16))
    record = _record(config, named, found, salt)
    rows = {shard: np.asarray(some) for shard, some in found.rows.items()}
    work = Takedown(root, record, rows, form, (), _referring(root, schemas, refs, rows, salt))
    if form:
        cut = CutShards(root, form, record["id"], rows)
        work = dataclasses.replace(work, outputs=[number for number in ledger.numbers(root) if cut.holds(number)])
    return TakedownPlan(work, _digests(root, named, rows, salt), found, manifest_digest(root))


def manifest_digest(root: str) -> str:
    """Returns the sha256 of the manifest of an output; empty where there is none."""
    data = filesystem.read_if_exists(filesystem.join(root, manifest.NAME))
    return "" if data is None else stamps.sha256(data)


def _record(config: TakedownConfig, named: Sequence[NamedList], found: Found, salt: str) -> dict[str, Any]:
    """Returns the record of a takedown: why, when and how much, and nothing of what goes."""
    shas = [stamps.sha256_of(filesystem.fetch(one.step.file)) for one in named]
    entries: dict[str, int] = {}
    for one in named:
        for kind, count in one.listed.counts.items():
            entries[kind] = entries.get(kind, 0) + count
    number = len(takedowns.records(config.output))
    counts = {"listed": sum(entries.values()), "samples": found.samples, "absent_images": found.absent_images}
    return {
        "id": stamps.stamp(lists=sorted(shas), number=number),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "reason": config.reason,
        "lists": [{"sha256": sha, "entries": dict(one.listed.counts)} for sha, one in zip(shas, named, strict=True)],
        "entries": entries,
        "counts": counts,
        "absent_uids": len(found.absent_uids),
        "salt": salt,
        "version": version(),
    }


def _digests(root: str, named: Sequence[NamedList], rows: dict[str, Any], salt: str) -> bytes:
    """Returns the standing block list: listed uids and images, and all samples that were found by other means."""
    parts = [np.zeros(0, uids.SUBSET_DTYPE)]
    for one in named:
        parts.append(standing_list.digests_of(salt, "uid", lists.texts_of(np.asarray(one.listed.uids)).to_pylist()))
    store = Store(root)
    for shard, some in rows.items():
        index = store.read(columns.INDEX, shard, ["uid", "image_sha256"]).take(pa.array(some))
        texts = map(standing_list.sample_text, index["uid"].to_pylist(), index["image_sha256"].to_pylist())
        parts.append(standing_list.digests_of(salt, "sample", texts))
    parts += [standing_list.digests_of(salt, "image", one.listed.digests) for one in named]
    sink = io.BytesIO()
    uids.write_subset(sink, np.unique(np.concatenate(parts)))
    return sink.getvalue()


def _referring(
    root: str, schemas: dict[str, pa.Schema], refs: Sequence[ShardRef], rows: dict[str, Any], salt: str
) -> dict[str, list[str]]:
    """Returns column set -> shards in which other samples refer to some of those that go."""
    store = Store(root)
    sets = [name for name, schema in schemas.items() if {*lists.REFERRING} & set(schema.names)]
    if not sets or not rows:
        return {}
    texts = lists.texts_of(lists.uids_of(store, rows))
    found = {
        name: [ref.name for ref in refs if lists.refer(store, name, ref.name, texts, salt, write=False)]
        for name in sets
    }
    return {name: shards for name, shards in found.items() if shards}


def leases_of(root: str) -> list[str]:
    """Returns the names of all runs that must not be at work while samples are taken out of an output."""
    from beam_pipelines.config.jobs import JOBS

    names = {job.name for job in JOBS.values() if job.pipeline} | {"takedown"}
    names |= {name for name in manifest.read(root).sections if name.startswith("select")}
    return sorted(names)


def selections_of(root: str) -> list[str]:
    """Returns the IDs of all whole selections of an output."""
    return [one.id for one in all_selections.whole(root)]


def check_books(root: str) -> None:
    """Checks that every selection has the files that a takedown changes.

    Raises:
      InputError: one is missing or was edited.
    """
    for selection in all_selections.whole(root):
        if selection.digests:
            selection.check()
        json.loads(filesystem.read_bytes(selection.uri("books.json")))
