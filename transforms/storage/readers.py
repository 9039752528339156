"""Reading an object of a store as a file, whichever store it is in."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from apache_beam.io.filesystemio import Downloader, DownloaderStream

from transforms.lib.byte_ranges import COALESCE_REMOTE

_READ_BYTES = 1 << 24  # a file that is read through is asked for in pieces of this size


def through(found: Downloader) -> BinaryIO:
    """Opens an object for reading it through, 16 MiB at a time; a small one is held whole, however it is read."""
    if found.size <= COALESCE_REMOTE:
        return io.BytesIO(found.get_range(0, found.size) if found.size else b"")
    stream: Any = DownloaderStream(found, read_buffer_size=_READ_BYTES)
    return cast(BinaryIO, io.BufferedReader(stream, _READ_BYTES))


def ranges(found: Downloader) -> BinaryIO:
    """Opens an object for reads that ask for what they are asked for and no more."""
    return cast(BinaryIO, DownloaderStream(found))
