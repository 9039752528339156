"""The forms an output shard can have, by name: each is a class of this folder that states its ``name``."""

from __future__ import annotations

from transforms.lib import registry
from transforms.lib.reshard.shard_format import ShardFormat

NAMES = tuple(registry.FORMATS)


def format_of(name: str) -> ShardFormat:
    """Returns one of the forms by its name in ``NAMES``; its libraries are imported here."""
    form: ShardFormat = registry.FORMATS[name].load()()
    return form
