"""How an input shard is packed, without opening it: its index says so."""

from __future__ import annotations

from transforms.lib.addresses import without_query
from transforms.lib.columnstore import columns
from transforms.lib.tar import packing
from transforms.outputs.store import Store


def packing_of(store: Store, name: str, uri: str) -> str:
    """Returns how an input shard is packed, as its index says; by its name where the index is one of version 0.1."""
    return store.facts(columns.INDEX, name).get("packing") or packing.packing_by_name(without_query(uri))
