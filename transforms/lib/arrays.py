"""Types of arrays by what they hold; a docstring says the shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]


def numpy_type(kind: pa.DataType) -> np.dtype[Any]:
    """Returns the type of numpy's array of a column of numbers; ``to_pandas_dtype`` would need pandas.

    Args:
      kind: a type of Arrow that is primitive.
    """
    found: np.dtype[Any] = pa.nulls(0, kind).to_numpy(zero_copy_only=False).dtype
    return found
