"""A file that can only be appended to, for writers that want to know where they are, as Arrow's do."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


class AppendOnly(io.RawIOBase):
    """Hands on what is written to it, and counts the bytes; closing it leaves what is behind it open.

    Args:
      append: takes bytes, and must not keep the view of them.
    """

    def __init__(self, append: Callable[[memoryview], Any]) -> None:
        self._append = append
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._append(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size
