"""Which column sets a pool has, what they hold, and which of them, or which column, a flag means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError, InputError
from transforms.outputs import manifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.storage import filesystem

ColumnSets = Mapping[str, Sequence[str]]
"""Column set -> its columns, of the sets that every shard of a pool has."""

LISTED = 10_000
"""Shards up to which the files of a pool are listed before a job starts: ten requests per column set."""

_AT_ONCE = 16  # footers that are read at a time


def choose(
    flag: str, given: str, choices: Sequence[str], *, what: str, hint: str, defaults: Sequence[str] | None = None
) -> str:
    """Returns the one of ``choices`` that a flag means.

    Args:
      flag: its name, for the message.
      given: its value; empty where it was left out.
      choices: every value that it can have.
      what: what such a value is, for the message.
      hint: how to get one, for the message where there is none.
      defaults: those of ``choices`` that a missing flag can mean; all where None.

    Raises:
      ConfigError: ``given`` is none of them, or is empty and there is not exactly one default.
    """
    known = f"there are {', '.join(choices)}" if choices else f"there are none; {hint}"
    if given and given not in choices:
        raise ConfigError(f"{flag} {given} is no {what}; {known}")
    defaults = choices if defaults is None else defaults
    if not given and len(defaults) != 1:
        raise ConfigError(f"{flag} is missing; name a {what}; {known}")
    return given or defaults[0]


def choose_set(flag: str, given: str, sets: ColumnSets, needs: Sequence[str], made_by: str = "winnow score") -> str:
    """Returns the column set that a flag names, or the only one that has the columns ``needs``.

    Args:
      flag: its name, for the message.
      given: its value; empty where it was left out.
      sets: those of the pool.
      needs: names of columns.
      made_by: the command that adds such a set.

    Raises:
      ConfigError: there is none, or it is not clear which.
    """
    choices = [name for name, columns in sets.items() if set(needs) <= set(columns)]
    listed = " and ".join(filter(None, (", ".join(needs[:-1]), needs[-1])))
    return choose(flag, given, choices, what=f"column set with {listed}", hint=f"`{made_by}` adds one")


def _shards_with(folder: str) -> dict[str, set[str]]:
    """Returns name of each folder directly below ``folder`` -> names of the shards that have a file in it."""
    have: dict[str, set[str]] = {}
    for info in filesystem.children(folder):
        owner, _, shard = info.uri.rsplit(folder + "/", 1)[-1].partition("/")
        have.setdefault(owner, set()).add(shard.removesuffix(".parquet"))
    return have


def _lacking(names: set[str], have: set[str], what: str, hint: str) -> list[str]:
    lacking = sorted(names - have)
    return [f"{len(lacking)} of {len(names)} shards have no {what} ({lacking[0]} ...); {hint}"] if lacking else []


def stored_sets(output: str, refs: Pool) -> dict[str, list[str]]:
    """Returns column set -> columns, of the sets that ``stored_schemas`` finds; it raises what that raises."""
    return {owner: schema.names for owner, schema in stored_schemas(output, refs).items()}


def stored_schemas(output: str, refs: Pool) -> dict[str, pa.Schema]:
    """Returns column set -> schema of the sets that every shard of the pool has.

    Cost: that of listing the files of a pool of up to ``LISTED`` shards. Of a larger one the manifest says which sets
    are whole; a file that somebody deleted since is found by the worker that reads it.

    Args:
      output: the output folder.
      refs: the shards of the pool.

    Raises:
      InputError: the index is missing for some shards.
    """
    complete = [] if len(refs) <= LISTED else whole_sets(output, refs)
    if columns.INDEX not in complete:
        complete = _listed_sets(output, refs)
    store, first = Store(output), refs[0].name
    return {owner: store.schema(owner, first) for owner in complete}


def whole_sets(output: str, refs: Pool) -> list[str]:
    """Returns the column sets, sorted, that have all shards of a pool, as the manifest says."""
    known = manifest.read(output).sets
    present = filesystem.folders(filesystem.join(output, "columns"))
    return sorted(name for name in present if name in known and refs.has_all(known[name]))


def _listed_sets(output: str, refs: Pool) -> list[str]:
    """Returns the same by listing all files of all sets."""
    have = _shards_with(filesystem.join(output, "columns"))
    names = {ref.name for ref in refs}
    hint = "run `winnow score` on this --output to the end"
    problems = _lacking(names, have.get(columns.INDEX, set()), f"columns/{columns.INDEX}", hint)
    if problems:
        raise InputError(problems)
    return sorted(owner for owner, shards in have.items() if names <= shards)


def made_from(output: str, refs: Pool, sets: Iterable[str]) -> list[str]:
    """Returns what column sets of a pool hold, as digests by which work on all of them can be stamped.

    Cost: one request where the manifest says of each set that it is whole; else the footers of all files are read.
    """
    known = manifest.read(output).sets
    digests = []
    for name in dict.fromkeys(sets):
        record = known.get(name)
        if record is None or not refs.has_all(record):
            digests.append(stamps.stamp(set=name, stamps=_stored_stamps(output, refs, name)))
        else:
            digests.append(f"{record.content:064x}")
    return digests


def _stored_stamps(output: str, refs: Pool, name: str) -> list[str]:
    """Returns the stamp of a column set of each shard; reads their footers, some at a time."""
    store = Store(output)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(lambda ref: store.facts(name, ref.name).get("stamp", ""), refs))


def is_made(output: str, refs: Pool, section: str, name: str, made_by: Mapping[str, Any]) -> bool:
    """Tells whether a column set is whole, and made from what the same job would make it from now.

    Args:
      output: the output folder.
      refs: the shards of the pool.
      section: of the job in the manifest.
      name: of the column set.
      made_by: the ``stamps`` that the job would record.
    """
    known = manifest.read(output)
    record = known.sets.get(name)
    made = record is not None and refs.has_all(record) and known.section(section).stamps == made_by
    return made and name in stored_sets(output, refs)
