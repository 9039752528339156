"""Tars, packed or not: the kind of input that WebDataset writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

from transforms.lib.inputs.input_kind import Files, InputKind
from transforms.lib.tar.reader import open_tar


class TarInput(InputKind):
    """A tar is a shard."""

    name = "tar"
    suffixes = (".tar", ".tgz", ".tar.gz", ".tar.zst")

    @contextlib.contextmanager
    def stream(self, uri: str, files: Files) -> Iterator[BinaryIO]:
        with files.open(uri) as file:
            yield open_tar(file, uri)
