"""The byte account of a tar: what became of each of its bytes, in numbers that must add up."""

from __future__ import annotations

import dataclasses
import json

from transforms.lib.errors import AccountsError

REMARKED = ("keyless", "joined", "holes", "unmarked", "broken", "unused_rows")
"""Fields that a run tells of where they are not zero."""
MISNAMED = "tar_named_"
"""Begin of the names of counters NAMED_IS: the packing that the suffix says, and that of the first bytes."""


@dataclasses.dataclass
class TarAccount:
    """What became of the bytes of one tar, or of many; all sizes are bytes of the unpacked tars.

    ``samples + rejected + others + zeros = size``, and ``read + unread`` is the size of the file.

    Attributes:
      size: of the whole tar.
      samples: members of samples that were read, headers and padding included.
      rejected: samples that could not be read, and stretches that are no member.
      others: directories, and members that belong to no sample.
      zeros: end marks and what pads them.
      keyless: number of members that belong to no sample.
      joined: number of archives that follow the first, as ``cat`` joins them.
      holes: zeros where a member should be; part of ``rejected``.
      unmarked: 1 where the tar ends behind a member, without an end mark, so that nobody knows whether it is whole.
      broken: 1 where packed data are damaged, or end early.
      read: bytes of the file, packed or not, that were read.
      unread: bytes of a packed file that are behind damage, which nothing can unpack.
      unused_rows: number of rows of a folder's tables that belong to no picture, or to one that a later row names.
      shards: number of tars.
    """

    size: int = 0
    samples: int = 0
    rejected: int = 0
    others: int = 0
    zeros: int = 0
    keyless: int = 0
    joined: int = 0
    holes: int = 0
    unmarked: int = 0
    broken: int = 0
    read: int = 0
    unread: int = 0
    unused_rows: int = 0
    shards: int = 0

    def check(self, where: str, file_bytes: int | None = None) -> None:
        """Checks that every byte was counted once.

        Args:
          where: what the account is of, for the message.
          file_bytes: of the file, or of all files, when they are known.

        Raises:
          AccountsError: the parts do not add up to the size, or the file was not read to its end.
        """
        parts = self.samples, self.rejected, self.others, self.zeros
        if sum(parts) != self.size or min(parts) < 0:
            raise AccountsError(
                f"the byte account of {where} does not close: {self.samples} of samples + {self.rejected} rejected + "
                f"{self.others} of other members + {self.zeros} zeros != {self.size} bytes"
            )
        if file_bytes is not None and self.read + self.unread != file_bytes:
            raise AccountsError(
                f"{where} was not read to its end: {self.read} of {file_bytes} bytes; run again if it was being written"
            )

    def plus(self, other: TarAccount) -> TarAccount:
        """Returns the account of both; associative and commutative."""
        ours, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return TarAccount(**{name: count + theirs[name] for name, count in ours.items()})

    def to_json(self) -> str:
        """Returns the account as text, names sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TarAccount:
        """Returns what ``to_json`` wrote."""
        return cls(**json.loads(text))
