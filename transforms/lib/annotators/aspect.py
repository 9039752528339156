"""Pictures of an odd shape: banners and strips."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch
from transforms.lib.columnstore.block import Block


@dataclasses.dataclass(frozen=True)
class AspectRatio(Annotator):
    """The column set ``odd_aspect_ratio``: ``score``, float32, the shorter side of the image by the longer one.

    Name and number are cleanvision's 0.3; it calls a ratio below 0.35 odd. The sides are those of the stored image.
    """

    kind = "AspectRatio"
    column_sets = ("odd_aspect_ratio",)

    name: str = "odd_aspect_ratio"

    def inputs(self) -> tuple[str, ...]:
        return ("index.width", "index.height")

    def load(self, fetch: Fetch) -> Annotate:
        return self._scores

    def _scores(self, block: Block) -> pa.Table:
        width, height = (np.maximum(block.columns[name].astype(np.float64), 1) for name in self.inputs())
        ratio = np.minimum(width / height, height / width)
        return pa.table({"score": pa.array(np.where(block.valid, ratio, np.nan).astype(np.float32))})
