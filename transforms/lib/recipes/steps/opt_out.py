"""Selection by a column that says whose owner opted out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Bool
from transforms.lib.columnstore.block import Block
from transforms.lib.columnstore.text import NO
from transforms.lib.recipes.contract.step import FLAG, Step, Verdict


def is_set(values: NDArray[Any]) -> Bool:
    """Returns bool ``[n]``: where a column says yes.

    Args:
      values: truth values, numbers (all but 0), or text as objects: all but the empty one, ``0``, ``false``, ``no``,
        ``none`` and their like, in any case. A value that is missing is no.
    """
    if values.dtype != object:
        given: Bool = (values != 0) & (values == values)
        return given
    array = pa.array(values)
    if pa.types.is_string(array.type):
        text = pc.fill_null(array, "")
        array = pc.invert(pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), value_set=pa.array(NO)))
    found: Bool = pc.fill_null(array.cast(pa.bool_()), False).to_numpy(zero_copy_only=False)
    return found


@dataclasses.dataclass(frozen=True)
class OptOut(Step):
    """Drops samples whose owner opted out, as a column says.

    The margin is -1 for what is dropped, infinite for any other sample.

    Source: the directives ``noai`` and ``noimageai`` of the header ``X-Robots-Tag``, which img2dataset obeys.

    Attributes:
      column: of text, truth values or numbers; a sample goes where it is set: neither empty, 0, false nor no.
    """

    kind = "opt_out"
    sees_earlier = False

    column: str = "index.opt_out"

    def input_types(self) -> tuple[str, ...]:
        return (FLAG,)

    def inputs(self) -> tuple[str, ...]:
        return (self.column,)

    def score(self) -> None:
        return None

    def hint(self, column: str) -> str:
        return "score the pool again: `--opt_out_fields` makes it of json fields" if column == "index.opt_out" else ""

    def apply(self, block: Block, state: Any) -> Verdict:
        out = is_set(block.columns[self.column])
        return Verdict.of(block, ~out, np.where(out, -1, np.inf))

    def sentence(self) -> str:
        return f"Drop samples whose owner opted out, as {self.column} says."
