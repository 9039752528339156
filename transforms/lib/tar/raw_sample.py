"""A sample as a tar has it: its members under one key, with their byte range, or what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field

from transforms.lib.errors import Reason
from transforms.lib.tar.parser import Member

# A webdataset reader keeps its own values under these names of a sample.
_RESERVED = frozenset({"__key__", "__url__", "__local_path__", "__bad__"})


@dataclass(slots=True)
class RawSample:
    """The members of one key, or what is wrong with them.

    Attributes:
      key: folder and base name up to the first dot; empty only for damage between samples.
      offset: its first header block, bytes in the uncompressed tar.
      length: bytes from there to the end of its last member, headers and padding included.
      members: data by lower-case extension; empty when ``problem`` is set.
      problem: None for a good sample.
      detail: what was found.
    """

    key: str
    offset: int
    length: int
    members: dict[str, bytes] = field(default_factory=dict)
    problem: Reason | None = None
    detail: str = ""

    def reject(self, problem: Reason, detail: str) -> None:
        """Marks the sample bad (the first reason stays) and lets its data go."""
        if self.problem is None:
            self.problem = problem
            self.detail = detail
        self.members.clear()

    def add(self, extension: str, member: Member, data: bytes, max_sample_bytes: int) -> None:
        """Adds the next member, or rejects the sample because of it."""
        length = self.length = member.end - self.offset
        if member.problem:
            self.reject(Reason.TAR_MEMBER_UNSAFE, f"{member.name!r}: {member.problem}")
        elif extension in _RESERVED:
            self.reject(Reason.TAR_MEMBER_UNSAFE, f"{member.name!r}: its extension is reserved by webdataset")
        elif extension in self.members:
            self.reject(Reason.DUPLICATE_KEY, f"the extension {extension!r} comes twice")
        elif length > max_sample_bytes:
            self.reject(Reason.SAMPLE_TOO_LARGE, f"more than {max_sample_bytes} bytes")
        elif member.size > len(data):  # it was passed over unread
            self.reject(Reason.SAMPLE_TOO_LARGE, f"{member.name!r} has {member.size} bytes, more than allowed")
        elif self.problem is None:
            self.members[extension] = data
