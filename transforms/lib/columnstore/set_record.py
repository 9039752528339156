"""What the manifest says of a whole column set in 150 bytes: how many files it has, of which shards, with what."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

_MODULUS = 1 << 256


def digest_of(texts: Iterable[str]) -> int:
    """Returns the sum, modulo 2**256, of the sha256 of each text: that of a set, in whatever order and parts."""
    return sum(int.from_bytes(hashlib.sha256(text.encode()).digest()) for text in texts) % _MODULUS


@dataclasses.dataclass(frozen=True)
class SetRecord:
    """The files of a column set, or of a part of it.

    Attributes:
      shards: how many shards have a file.
      names: ``digest_of`` the names of these shards.
      content: ``digest_of`` name and sha256 of each file.
    """

    shards: int = 0
    names: int = 0
    content: int = 0

    @classmethod
    def of(cls, files: Mapping[str, str]) -> SetRecord:
        """Returns the record of the files of some shards; ``files`` is name of the shard -> sha256 of the file."""
        return cls(len(files), digest_of(files), digest_of(f"{name}\0{digest}" for name, digest in files.items()))

    def __add__(self, other: SetRecord) -> SetRecord:
        names, content = (self.names + other.names) % _MODULUS, (self.content + other.content) % _MODULUS
        return SetRecord(self.shards + other.shards, names, content)

    def __sub__(self, other: SetRecord) -> SetRecord:
        names, content = (self.names - other.names) % _MODULUS, (self.content - other.content) % _MODULUS
        return SetRecord(self.shards - other.shards, names, content)

    def as_dict(self) -> dict[str, Any]:
        """Returns the record as JSON values."""
        return {"shards": self.shards, "names": f"{self.names:064x}", "content": f"{self.content:064x}"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SetRecord:
        """Returns the record that ``as_dict`` gave as ``values``."""
        return cls(values["shards"], int(values["names"], 16), int(values["content"], 16))
