"""The byte account of a tar: what became of each of its bytes, in numbers that must add up."""

from __future__ import annotations

import dataclasses
import json

from transforms.lib.errors import AccountsError


@dataclasses.dataclass
class TarAccount:
    """What became of the bytes of one tar; all sizes are bytes of the unpacked tar.

    ``samples + rejected + others + zeros = size``.

    Attributes:
      size: of the whole tar.
      samples: members of samples that were read, headers and padding included.
      rejected: samples that could not be read, and stretches that are no member.
      others: directories, and members that belong to no sample.
      zeros: end marks and what pads them.
      keyless: number of members that belong to no sample.
      joined: number of archives that follow the first, as ``cat`` joins them.
      holes: zeros where a member should be; part of ``rejected``.
      unmarked: the tar ends behind a member, without an end mark, so nobody knows whether it is whole.
    """

    size: int = 0
    samples: int = 0
    rejected: int = 0
    others: int = 0
    zeros: int = 0
    keyless: int = 0
    joined: int = 0
    holes: int = 0
    unmarked: bool = False

    def check(self, where: str) -> None:
        """Checks that every byte was counted once.

        Raises:
          AccountsError: the parts do not add up to the size.
        """
        parts = self.samples + self.rejected + self.others + self.zeros
        if parts != self.size or min(self.samples, self.rejected, self.others, self.zeros) < 0:
            raise AccountsError(
                f"the byte account of {where} does not close: {self.samples} of samples + {self.rejected} rejected + "
                f"{self.others} of other members + {self.zeros} zeros != {self.size} bytes"
            )

    def to_json(self) -> str:
        """Returns the account as text, names sorted."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> TarAccount:
        """Returns what ``to_json`` wrote."""
        return cls(**json.loads(text))


class ByteCounter:
    """Fills an account while rows and end marks come in the order of the tar; what lies between is ``others``.

    Args:
      account: to be filled.
    """

    def __init__(self, account: TarAccount) -> None:
        self._account = account
        self._end = 0  # of what is counted
        self._outcasts: list[tuple[int, int]] = []  # begin and bytes, of those behind ``_end``

    def row(self, begin: int, length: int, good: bool) -> None:
        """Counts the range of a sample, or of damage."""
        account = self._account
        if begin != self._end:
            self._pass(begin)
        self._end = begin + length
        if self._outcasts:
            length -= self._pop_outcasts(self._end)
        if good:
            account.samples += length
        else:
            account.rejected += length

    def outcast(self, begin: int, length: int) -> None:
        """Counts an unsafe member with a row of its own, which may lie inside the next row."""
        self._outcasts.append((begin, length))
        self._account.rejected += length

    def zeros(self, begin: int, length: int) -> None:
        """Counts an end mark."""
        self._pass(begin)
        self._account.zeros += length
        self._end = begin + length

    def _pass(self, offset: int) -> None:
        self._account.others += offset - self._end - self._pop_outcasts(offset)
        self._end = offset

    def _pop_outcasts(self, end: int) -> int:
        """Returns the bytes of outcasts before a byte, and forgets them."""
        size = sum(length for begin, length in self._outcasts if begin < end)
        self._outcasts = [outcast for outcast in self._outcasts if outcast[0] >= end]
        return size
