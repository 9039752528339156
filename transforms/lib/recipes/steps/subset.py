"""Selection by a subset file: DataComp's sorted list of uids, where a repeated uid means copies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import MAX_COPIES, Block
from transforms.lib.recipes.contract.step import UID, Step, Verdict
from transforms.lib.subsets.subset_files import check_sorted, multiplicity, open_subset


@dataclasses.dataclass(frozen=True)
class Subset(Step):
    """Keeps the samples that a subset file lists, as many copies of each as it lists.

    Source: the subset files of DataComp (Gadre et al. 2023, appendix E), of DFN, FLYT and others who publish their
    selections: ``.npy``, dtype ``u8,u8``, sorted; duplicates are legal and mean copies.

    Attributes:
      file: path or address of the subset file.
    """

    kind = "subset"
    files = ("file",)

    file: str = ""

    def faults(self) -> list[str]:
        return [] if self.file else [f"{self.label}.file is missing; name the .npy file of the subset"]

    def check_files(self, files: Mapping[str, str]) -> None:
        check_sorted(open_subset(files[f"{self.label}.file"]))

    def input_types(self) -> tuple[str, ...]:
        return (UID,)

    def inputs(self) -> tuple[str, ...]:
        return ("uid",)

    def apply(self, block: Block, state: Any) -> Verdict:
        counts = multiplicity(open_subset(block.files[f"{self.label}.file"]), block.columns["uid"])
        copies = np.where(block.alive, np.minimum(counts * block.copies, MAX_COPIES), 0).astype(np.uint16)
        return Verdict(copies, (counts - 1).astype(np.float32))

    def sentence(self) -> str:
        return f"Keep the samples that {self.file} lists, with as many copies as it lists."
