"""The rows of one shard as steps and annotators see them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool


@dataclasses.dataclass(frozen=True)
class Block:
    """The rows of one shard as a step sees them.

    Attributes:
      shard: name of the shard; rows are numbered in tar order from 0.
      columns: the columns that the step reads, each ``[n]``, text as an object array of str; ``uid`` is
        uint64 ``[n, 2]``. Those that earlier steps make stand beside those of the store.
      valid: bool ``[n]``; False for a rejected sample, which no step may keep.
      copies: uint16 ``[n]``; what the earlier steps left (0 = dropped before).
      files: ``label.parameter`` -> local path, of the files that the recipe's steps name.
      indexed: bool ``[n]``; False for a sample that was rejected when it was indexed. The others are ``valid`` unless
        a float column that the recipe reads has no finite value for them. None where all of them have.
    """

    shard: str
    columns: Mapping[str, NDArray[Any]]
    valid: Bool
    copies: NDArray[np.uint16]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    indexed: Bool | None = None

    @property
    def whole(self) -> Bool:
        """bool ``[n]``: the samples of the pool, whether their columns are finite or not."""
        return self.valid if self.indexed is None else self.indexed

    @property
    def alive(self) -> Bool:
        """bool ``[n]``: valid and not dropped by an earlier step."""
        return self.valid & (self.copies > 0)


MAX_COPIES = 65_535
