"""Which columns of which shards make the table of a pool's samples, found before any of it is read."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from beam_pipelines.planning import column_sets, selections, workspace
from transforms.lib import similar
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.reshard import shard_formats
from transforms.outputs import manifest, takedowns
from transforms.outputs.ledger_table import LedgerTable
from transforms.outputs.samples import SHARD, Samples
from transforms.outputs.selections import begun, stale
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef

_FIRST = ("uid", "key", SHARD, "caption", "status")
_LAST = ("step", "margin", "copies")
_MEANT = {  # whatever other column sets have by the same name
    **{name: (columns.INDEX, name) for name in _FIRST},
    **{name: (DECISIONS, name) for name in _LAST},
    SHARD: (SHARD, SHARD),
}
_OF_DECISIONS = {*_LAST, *(f"{DECISIONS}.{name}" for name in _LAST)}


def find(
    output: str, selection: str = "", names: Sequence[str] | None = None, shards: Sequence[str] | None = None
) -> Samples:
    """Finds the columns and the shards of a table.

    Args:
      output: the output folder.
      selection: name or ID of the selection whose decisions are wanted; empty for the current one, if there is any.
      names: of columns, ``set.column`` or bare; None for uid, key, shard, caption, status, all columns but embeddings
        of the other column sets, and the decisions where there is a selection.
      shards: names of shards; None for the whole pool.

    Raises:
      ConfigError: every problem: no pool, no such column, shard or selection; a takedown is not finished.
    """
    takedowns.check_finished(output)
    refs = workspace.read_pool(output)
    schemas = column_sets.stored_schemas(output, refs)
    problems: list[str] = []
    decided = bool(_OF_DECISIONS & set(names)) if names is not None else begun(output)
    found = ""
    if decided or selection:
        try:
            found = selections.find(output, selection, refs).id
            schemas[DECISIONS] = columns.DECISIONS_SCHEMA
        except InputError as error:
            problems += error.problems
            names = [name for name in names or () if name not in _OF_DECISIONS]
    names = _all(schemas) if names is None else names
    sets = {owner: schema.names for owner, schema in schemas.items()}
    where: dict[str, tuple[str, str]] = {}
    try:
        resolved = columns.resolve([name for name in names if name not in _MEANT], sets)
        where = {name: _MEANT.get(name) or resolved[name] for name in names}
    except ConfigError as error:
        problems += error.problems
    chosen = _chosen(refs, shards, problems)
    if problems:
        raise ConfigError(problems)
    kinds = [pa.string() if owner == SHARD else schemas[owner].field(column).type for owner, column in where.values()]
    return Samples(Store(output, found), chosen, where, pa.schema(list(zip(where, kinds, strict=True))))


def find_ledger(output: str, selection: str = "") -> LedgerTable:
    """Finds what became of every sample of a pool.

    Args:
      output: the output folder.
      selection: name or ID of the selection that decided; empty for the current one.

    Raises:
      InputError: there is no pool, or no such selection, or some shards have no index or decisions.
    """
    refs = workspace.read_pool(output)
    column_sets.stored_schemas(output, refs)
    found = selections.find(output, selection, refs)
    return LedgerTable(Store(output, found.id), refs, suffix_of(output, found.id))


def suffix_of(output: str, selection: str) -> str:
    """Returns the suffix of the output shards; empty where there are none, or none of this selection."""
    section = manifest.read(output).sections.get("reshard")
    if section is None or stale(output, selection) is not None:
        return ""
    return shard_formats.format_of(section.configuration.get("format", "webdataset")).suffix


def _all(schemas: dict[str, pa.Schema]) -> list[str]:
    """Returns the columns of a table that names none."""
    others = {owner: schema for owner, schema in sorted(schemas.items()) if owner not in (columns.INDEX, DECISIONS)}
    made = [f"{owner}.{f.name}" for owner, schema in others.items() for f in schema if not pa.types.is_nested(f.type)]
    return [*_FIRST, *made, *(_LAST if DECISIONS in schemas else ())]


def _chosen(refs: Sequence[ShardRef], shards: Sequence[str] | None, problems: list[str]) -> Sequence[ShardRef]:
    """Returns the shards that were named, in the order of the pool; notes those that are not there."""
    if shards is None:
        return refs
    known = {ref.name: ref for ref in refs}
    if not shards:
        problems.append("no shard is named; leave shards out for the whole pool")
    for name in shards:
        if name not in known:
            hint = similar.did_you_mean(name, known, f"it has {len(known)}, the first is {refs[0].name}")
            problems.append(f"the pool has no shard {name!r}; {hint}")
    return [ref for ref in refs if ref.name in set(shards)]
