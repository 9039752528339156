"""Filling the byte account of a tar while it is read."""

from __future__ import annotations

from transforms.lib.tar_account import TarAccount


class ByteCounter:
    """Fills an account while rows and end marks come in the order of the tar; what lies between is ``others``.

    Args:
      account: to be filled.
    """

    __slots__ = ("_account", "_end", "_outcasts")

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
