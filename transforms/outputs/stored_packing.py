"""How an input shard is packed, without opening it: its index says so."""

from __future__ import annotations

from transforms.lib.addresses import without_query
from transforms.lib.columnstore import columns
from transforms.lib.tar import packing
from transforms.outputs.store import Store
from transforms.storage import filesystem


def packing_of(store: Store, name: str, uri: str) -> str:
    """Returns how an input shard is packed, as its index says; by its name where the index is one of version 0.1."""
    return store.facts(columns.INDEX, name).get("packing") or packing.packing_by_name(without_query(uri))


def is_plain_file(store: Store, name: str, uri: str) -> bool:
    """Tells whether an input shard is a plain tar on this machine, whose bytes can be read directly."""
    return filesystem.is_local(uri) and uri.endswith(".tar") and packing_of(store, name, uri) == packing.PLAIN
