"""The output folder before and after a run: which pool it holds, which jobs wrote it, and what they wrote."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from beam_pipelines.config import captions
from beam_pipelines.config.base import Config
from beam_pipelines.config.imports import ImportConfig
from transforms import publish
from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.recipes import accounts
from transforms.lib.report import terminal_text
from transforms.lib.tar_limits import TarLimits
from transforms.outputs import crawls, leases, manifest, pool_table, sealed_json, selections, side_files, takedowns
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.rows import Shard
from transforms.storage import filesystem, patterns, versions

_POOL = (
    "input",
    "caption_field",
    "caption_member",
    "image_member",
    "uid_field",
    "max_pixels",
    "max_sample_bytes",
    *(field.name for field in dataclasses.fields(TarLimits)),
    "sample_digest",
    "opt_out_fields",
)  # pools that differ in one of these are different


class OwnedSets(NamedTuple):
    """The column sets that a job is going to write.

    Attributes:
      job: its name; the files of its column sets record it.
      names: of the column sets.
      flag: the flag that names them, for the message.
      hint: what the user can do about a column set of another job.
    """

    job: str
    names: Sequence[str]
    flag: str = "--name"
    hint: str = "choose another --name"


def check_sets(output: str, sets: OwnedSets) -> None:
    """Checks that a job may write its column sets: each is new, or the same job wrote it.

    Raises:
      InputError: another job or another program wrote one, or Winnow needs the name for itself.
    """
    problems = []
    for name in filter(None, sets.names):
        if name in (columns.INDEX, "decisions"):
            problems.append(f"{sets.flag} {name} is a name that Winnow needs for itself; {sets.hint}")
        elif (maker := Store(output).maker(name)) not in (None, sets.job):
            who = f"`winnow {maker}`" if maker else "another program, or an earlier version of Winnow,"
            problems.append(f"{sets.flag} {name} is a column set that {who} wrote; {sets.hint}")
    if problems:
        raise InputError(problems)


def write_pool(output: str, shards: Sequence[Shard]) -> None:
    """Writes ``pool.parquet``: the shards of the pool that the output folder holds."""
    pool_table.write(output, shards)


def read_pool(output: str) -> Pool:
    """Opens the table of the shards of the pool that an output folder holds; reads none of them.

    Raises:
      InputError: it holds no pool.
      NoBucketError: there is no bucket to hold one.
    """
    found = pool_table.read(output)
    if found is None:
        raise InputError(
            f"--output {output} holds no scored pool; run `winnow score --input ... --output {output}` first"
        )
    return found


def pool_stamp(output: str) -> str:
    """Returns the stamp of the pool that an output folder holds: of its shards, their sizes and times."""
    return read_pool(output).stamp


def check_output(
    config: Config, job: str, sets: OwnedSets | None = None, *, shards_given: bool = False
) -> dict[str, Any]:
    """Checks that a job may write to an output folder, and returns what ``run.json`` is to say of this run.

    One folder holds one pool, read by one set of rules. ``curate`` also continues only a run with its own flags.
    ``select`` and ``reshard`` replace their earlier decisions. Only the job that wrote a column set replaces it.

    Args:
      config: of the job.
      job: the name of the run in ``run.json``.
      sets: the column sets that the job is going to write.
      shards_given: the shards come from somewhere else than ``--input``, which is left out of the comparison.

    Raises:
      InputError: the folder holds something else, another job wrote one of the column sets, or the manifest was edited.
    """
    filesystem.check_writable(config.output)
    takedowns.check_finished(config.output)
    data = filesystem.read_if_exists(filesystem.join(config.output, "run.json"))
    flags = config.recorded()
    reads_pool = (flags.get("input") or shards_given) and not isinstance(config, ImportConfig)
    pool: dict[str, Any] = {name: flags[name] for name in _POOL if name in flags and reads_pool}
    if shards_given:
        pool.pop("input", None)
    pool |= {"captions": captions.read_word(flags["captions"])} if "captions" in flags and reads_pool else {}
    if data is None and any(f"/{leases.FOLDER}/" not in info.uri for info in filesystem.children(config.output)):
        raise InputError(f"--output {config.output} is not empty and Winnow did not write it; name another folder")
    earlier = _record(data, config.output)
    differs = {name: value for name, value in pool.items() if earlier["pool"].get(name, value) != value}
    if job == "curate":
        before = earlier["jobs"].get(job, flags)
        differs |= {name: value for name, value in flags.items() if before.get(name, value) != value}
    if "input" in differs and patterns.same(differs["input"], earlier["pool"].get("input", differs["input"])):
        del differs["input"]
    if differs:
        changed = ", ".join(f"--{name} {value}" for name, value in sorted(differs.items()))
        raise InputError(
            f"--output {config.output} was made with another configuration ({changed} is new); name another folder"
            + ("" if job != "curate" or set(differs) & set(pool) else ", or run `winnow select` and `winnow reshard`")
        )
    if sets:
        check_sets(config.output, sets)
    manifest.read(config.output)  # the run adds to it at its end, and would keep what somebody edited
    written = [*(sets.names if sets else ()), *([columns.INDEX] if reads_pool else ())]
    return {"pool": {**pool, **earlier["pool"]}, "jobs": {job: flags}, "sets": written}


def _record(data: bytes | None, output: str) -> dict[str, Any]:
    """Returns the content of ``run.json``; that of a new output folder where there is none."""
    try:
        record = json.loads('{"pool": {}, "jobs": {}}' if data is None else data)
        if not sealed_json.is_as_written(record):
            raise ValueError("another digest")
        return {"pool": dict(record["pool"]), "jobs": dict(record["jobs"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        line = f"--output {output}: run.json is cut or changed; put it back, or name another folder"
        raise InputError(line) from None


def check_run(output: str) -> None:
    """Checks that ``run.json`` is there and as it was written.

    Raises:
      InputError: it is not.
    """
    data = filesystem.read_if_exists(filesystem.join(output, "run.json"))
    if data is None:
        raise InputError(f"--output {output}: run.json is missing; put it back, or name another folder")
    _record(data, output)


def write_run(output: str, record: dict[str, Any]) -> None:
    """Adds a run to ``run.json``, which later runs check, and removes the partial files of runs that are dead.

    Raises:
      InputError: another job has put another pool there since this one was planned.
    """
    filesystem.remove_partial(output)

    def added(data: bytes | None) -> bytes:
        present = _record(data, output)
        changed = [name for name, value in present["pool"].items() if record["pool"].get(name, value) != value]
        if changed:
            raise InputError(
                f"--output {output}: another run began there at the same time with another --{changed[0]}; name "
                "another folder"
            )
        both = {name: {**present[name], **record[name]} for name in ("pool", "jobs")}
        return json.dumps(sealed_json.sealed(both), indent=1, sort_keys=True).encode() + b"\n"

    versions.update(filesystem.join(output, "run.json"), added)
    manifest.reopen(output, filter(None, record.get("sets", ())))


def pool_flags(output: str) -> dict[str, Any]:
    """Returns the flags that say what the pool of an output folder is and how it is read, by name."""
    return dict(_record(filesystem.read_bytes(filesystem.join(output, "run.json")), output)["pool"])


def pool_of(output: str) -> str:
    """Returns the input that an output folder was made from, as the user wrote it."""
    return " ".join(pool_flags(output).get("input", []))


def outcome(output: str, name: str = "") -> tuple[str, dict[str, Any]]:
    """Returns the counts at the end of a run: a table for people, and values for the JSON line.

    Args:
      output: the output folder.
      name: of the selection, or its ID; empty for the current one.
    """
    selection = selections.find(output, name)
    books = selection.read("books.json")
    written = side_files.read_summary(output)
    own = name not in ("", selections.CURRENT) and selection.name not in ("", selections.CURRENT)
    places = {"report": selection.uri("report.html") if own else filesystem.join(output, "report.html")}
    if written is not None:
        places["shards"] = filesystem.join(output, "shards")
    text = terminal_text.books_table(books, written["shards"] if written else 0)
    missing = filesystem.read_if_exists(selection.uri("missing.npy"))
    if missing is not None:
        lacking = len(uids.read_subset(io.BytesIO(missing)))
        text += f"\n{'uids listed and not kept':<34}{lacking:>14,}  missing.npy"
    warnings = list((written or {}).get("warnings", ()))
    text += "".join(f"\nwarning: {line}" for line in warnings)
    if shared := accounts.Repeated(**books.get("repeated_uids", {})).sentence():
        text += f"\n\n{shared}"
    if crawls.read(output).get("complete"):
        text += f"\n\n{publish.sentence(output)}"
    held = selections.stale(output, selection.id)
    lines = [text, "", *(f"{name}: {place}" for name, place in sorted(places.items())), f"selection: {selection.id}"]
    if held is not None:
        lines.append(selections.stale_line(held, selection.id))
    counts: dict[str, Any] = {n: books[n] for n in ("samples", "kept", "copies", "lost_shards") if n in books}
    values = {**places, **counts, "selection": selection.id, "stale_shards": held is not None, "warnings": warnings}
    return "\n".join(lines), values
