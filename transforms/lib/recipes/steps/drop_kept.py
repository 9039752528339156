"""Selection against what earlier crawls kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib import uids
from transforms.lib.arrays import UInt64
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import TEXT, UID, Step, Verdict
from transforms.lib.subsets.subset_files import check_sorted, multiplicity, open_subset

LISTS = {"images": "kept_images.npy", "uids": "subset.npy"}
"""What makes two samples one -> the file of a crawl that lists what it kept, as a subset file."""


def images_of(digests: NDArray[np.object_]) -> UInt64:
    """Returns uint64 ``[n, 2]``, the first 128 bits of sha256 digests, 64 hex digits each; zero where there is none."""
    whole = [digest[:32] if len(digest) == 64 else "0" * 32 for digest in digests]
    return uids.pairs(whole)


@dataclasses.dataclass(frozen=True)
class DropKept(Step):
    """Drops samples that an earlier crawl kept: those with the same image bytes, or the same uid.

    Images are the same when the first 128 bits of their sha256 are: of 10**10 images two different ones are taken for
    one with a chance of 2e-19. A crawl's own copies are not looked for; ``drop_duplicates`` does that.

    The margin is -1 for what is dropped, infinite for any other sample.

    Cost: 16 bytes per kept sample of each crawl on every worker's disk, and a binary search in each of these lists.

    Attributes:
      by: ``images`` or ``uids``.
      crawls: ids of the crawls, which lie beside this one.
    """

    kind = "drop_kept"

    by: str = "images"
    crawls: tuple[str, ...] = ()

    def faults(self) -> list[str]:
        if self.by not in LISTS:
            return [f"{self.label}.by must be {' or '.join(LISTS)}, got {self.by!r}"]
        return []

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "crawls": list(self.crawls)}

    def remembered_as(self) -> dict[str, Any]:
        return {"kind": self.kind, "by": self.by}

    def named_files(self, root: str) -> dict[str, str]:
        crawls = root.rstrip("/").rpartition("/")[0]
        return {f"{self.label}.{crawl}": f"{crawls}/{crawl}/{LISTS[self.by]}" for crawl in self.crawls}

    def check_files(self, files: Any) -> None:
        for crawl in self.crawls:
            check_sorted(open_subset(files[f"{self.label}.{crawl}"]))

    def input_types(self) -> tuple[str, ...]:
        return (UID,) if self.by == "uids" else (TEXT,)

    def inputs(self) -> tuple[str, ...]:
        return ("uid",) if self.by == "uids" else ("index.image_sha256",)

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        column = block.columns[self.inputs()[0]]
        pairs = column if self.by == "uids" else images_of(column)
        seen = np.zeros(len(pairs), bool)
        for crawl in self.crawls:
            seen |= multiplicity(open_subset(block.files[f"{self.label}.{crawl}"]), pairs) > 0
        seen &= pairs.any(axis=1)
        return Verdict.of(block, ~seen, np.where(seen, -1, np.inf))

    def sentence(self) -> str:
        same = "uid" if self.by == "uids" else "image"
        return f"Drop samples whose {same} an earlier crawl kept; earlier crawls: {len(self.crawls)}."
