"""Tars, packed or not: the kind of input that WebDataset writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from transforms.lib.inputs.input_kind import Files, InputKind
from transforms.lib.tar.packing import SUFFIXES
from transforms.lib.tar.streams import open_seekable


class TarInput(InputKind):
    """A tar is a shard."""

    name = "tar"
    suffixes = SUFFIXES

    @contextlib.contextmanager
    def stream(self, uri: str, files: Files) -> Iterator[BinaryIO]:
        with files.open(uri) as file:
            yield open_seekable(file)
