"""Selection by the size and shape of the image."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import Step, Verdict


@dataclasses.dataclass(frozen=True)
class ImageSize(Step):
    """Keeps samples whose shorter side is long enough and whose sides differ by no more than a factor.

    DataComp's basic_filter: shorter side at least 200 pixels, longer by shorter side at most 3.0. Both bounds are kept,
    as in its code; its paper says "above 200" and "below three". A size of zero is dropped whatever the bounds; there
    the reference divides by zero, gets infinity, and drops it too. The size is the one before the download resized.

    The margin is in pixels: of the shorter side, or of how much longer it is than the longer side allows, whichever
    is less.

    Source: DataComp (Gadre et al. 2023, arXiv:2304.14108, section 4.1); baselines/apply_filter.py.

    Attributes:
      width: column of widths in pixels.
      height: column of heights in pixels.
      min_side: least shorter side in pixels, inclusive.
      max_aspect: greatest ratio of the longer to the shorter side, inclusive, at least 1.
    """

    kind = "image_size"

    width: str = "index.original_width"
    height: str = "index.original_height"
    min_side: int = 200
    max_aspect: float = 3.0

    def faults(self) -> list[str]:
        problems = []
        if self.min_side < 0:
            problems.append(f"{self.label}.min_side must be at least 0 pixels, got {self.min_side}")
        if not self.max_aspect >= 1:
            problems.append(f"{self.label}.max_aspect must be at least 1, got {self.max_aspect}; 3 is DataComp's")
        return problems

    def inputs(self) -> tuple[str, ...]:
        return (self.width, self.height)

    def score(self) -> None:
        return None

    def apply(self, block: Block, state: Any) -> Verdict:
        sides = np.stack([block.columns[self.width], block.columns[self.height]]).astype(np.float64)
        short, long = sides.min(axis=0), sides.max(axis=0)
        some = short > 0
        aspect = np.divide(long, short, out=np.full(len(short), np.inf), where=some)
        inside = some & (short >= self.min_side) & (aspect <= self.max_aspect)
        return Verdict.of(block, inside, np.minimum(short - self.min_side, short - long / self.max_aspect))

    def sentence(self) -> str:
        return (
            f"Keep images whose shorter side is at least {self.min_side} pixels and whose longer side is at most "
            f"{self.max_aspect:g} times as long."
        )
