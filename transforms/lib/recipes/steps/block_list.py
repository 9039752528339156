"""Selection against a list of what must not be in an output."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.arrays import Bool
from transforms.lib.columnstore.block import Block
from transforms.lib.columnstore.text import as_text
from transforms.lib.dedup.listed_hashes import near_listed
from transforms.lib.errors import InputError
from transforms.lib.recipes.contract.step import NUMBER, TEXT, UID, Step, Verdict
from transforms.lib.subsets import block_lists
from transforms.lib.subsets.block_lists import KINDS, BlockList
from transforms.lib.subsets.subset_files import places

_URLS = ("host", "url")


@dataclasses.dataclass(frozen=True)
class DropBlocked(Step):
    """Drops samples that a block list names: by uid, by host or url, by the sha256 or perceptual hash of the image.

    A host stands for its subdomains too. Urls are compared without scheme and in lower case, and ``*`` stands for any
    run of characters. Images are the same when the first 128 bits of their sha256 are. A sample that lacks what an
    entry goes by, such as a url, is not dropped by it.

    The margin is -1 for what is dropped, infinite for any other sample.

    Cost: the list is held once per process, 16 bytes per uid or image and 8 per hash; each is a binary search.

    Attributes:
      file: path or address of the list: text, .csv, .parquet, or .npy for a subset file of uids.
      by: what its entries are, of ``uid``, ``host``, ``url``, ``sha256`` and ``phash``; only their columns are read.
      radius: most bits of 64 in which a perceptual hash differs from one of the list, 0 .. 8.
      url: column of urls.
    """

    kind = "block_list"
    files = ("file",)
    sees_earlier = False

    file: str = ""
    by: tuple[str, ...] = ("uid",)
    radius: int = 2
    url: str = "index.url"

    def faults(self) -> list[str]:
        problems = [] if self.file else [f"{self.label}.file is missing; name the file of the block list"]
        if not self.by or set(self.by) - set(KINDS):
            problems.append(f"{self.label}.by must be some of {', '.join(KINDS)}, got {list(self.by)}")
        if not 0 <= self.radius <= 8:
            problems.append(f"{self.label}.radius must be in 0 .. 8, got {self.radius}; more bits are no near images")
        return problems

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "by": list(self.by)}

    def remembered_as(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def check_files(self, files: Mapping[str, str]) -> None:
        name = f"{self.label}.file"
        try:
            held = set(block_lists.read(files[name]).counts)
        except InputError as error:
            raise InputError(f"{name}: {self.file} {error}") from None
        if lacking := sorted(held - set(self.by)):
            named = ", ".join(kind for kind in KINDS if kind in held)
            raise InputError(f"{name}: {self.file} has entries of {', '.join(lacking)}; write by: [{named}]")

    def inputs(self) -> tuple[str, ...]:
        wanted = {
            "uid": self._by("uid"),
            self.url: self._by(*_URLS),
            "index.image_sha256": self._by("sha256"),
            "index.phash": self._by("phash"),
            "index.width": self._by("phash"),
        }
        return tuple(name for name, read in wanted.items() if read)

    def _by(self, *kinds: str) -> bool:
        """Returns whether the list has entries of one of some kinds."""
        return bool(set(kinds) & set(self.by))

    def input_types(self) -> tuple[str, ...]:
        numbers = ("index.phash", "index.width")
        return tuple(UID if name == "uid" else NUMBER if name in numbers else TEXT for name in self.inputs())

    def score(self) -> None:
        return None

    def hint(self, column: str) -> str:
        return "score the pool again: an index of Winnow 0.1 has no urls" if column == self.url else ""

    def apply(self, block: Block, state: Any) -> Verdict:
        listed = block_lists.read(block.files[f"{self.label}.file"])
        blocked = self.named(listed, block.columns)
        return Verdict.of(block, ~blocked, np.where(blocked, -1, np.inf))

    def named(self, listed: BlockList, values: Mapping[str, NDArray[Any]]) -> Bool:
        """Returns bool ``[n]``: which samples a list names, whatever became of them.

        Args:
          listed: the list.
          values: the columns ``inputs()``, ``[n]`` each.
        """
        blocked = np.zeros(len(next(iter(values.values()))), np.bool_)
        if self._by("uid"):
            blocked |= places(listed.uids, values["uid"]) >= 0
        if self._by(*_URLS):
            blocked |= listed.urls.names(as_text(values[self.url]))
        if self._by("sha256"):
            digests = pa.array(values["index.image_sha256"], pa.string())
            images = block_lists.image_pairs(digests)
            blocked |= (places(listed.images, images) >= 0) & images.any(axis=1)
        if self._by("phash"):
            hashed = values["index.width"] > 0
            blocked |= hashed & near_listed(values["index.phash"], listed.phashes, self.radius)
        return blocked

    def sentence(self) -> str:
        return f"Drop samples that the block list {self.file} names, by {', '.join(self.by)}."
