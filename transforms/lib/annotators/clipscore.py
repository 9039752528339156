"""CLIPScore, the rescaled cosine of a pair."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch
from transforms.lib.arrays import Float32
from transforms.lib.columnstore.block import Block

WEIGHT = 2.5


def clipscore(cosine: NDArray[Any]) -> Float32:
    """Returns ``2.5 max(cosine, 0)``; float32 ``[n]``, in [0, 2.5], NaN where the cosine is.

    The rescaling alone: the paper also puts "A photo depicts" before each caption, which is for the scoring model.

    Source: Hessel et al. 2021, "CLIPScore", arXiv:2104.08718, section 3.

    Args:
      cosine: float ``[n]``.
    """
    return (WEIGHT * np.maximum(cosine.astype(np.float64), 0)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class ClipScore(Annotator):
    """The column set ``clipscore``: ``score``, float32, of a model's cosine.

    Attributes:
      model: the column set of the cosine.
    """

    kind = "ClipScore"
    column_sets = ("clipscore",)
    related = True

    name: str = "clipscore"
    model: str = ""

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.model}.score",)

    def load(self, fetch: Fetch) -> Annotate:
        return self._scores

    def _scores(self, block: Block) -> pa.Table:
        cosine = block.columns[self.inputs()[0]].astype(np.float32)
        return pa.table({"score": pa.array(clipscore(np.where(block.valid, cosine, np.nan)))})
