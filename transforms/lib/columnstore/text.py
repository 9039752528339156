"""Text columns as Python strings, and what counts as white space in them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

SPACE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

NO = ("", "0", "0.0", "false", "f", "no", "n", "off", "none", "null", "nan")
"""Texts, in lower case, that say no where a truth value is meant."""


def as_text(captions: NDArray[Any] | pa.Array) -> pa.Array:
    """Returns captions as an Arrow array of text.

    Args:
      captions: object array of str ``[n]``, or an Arrow array already.
    """
    return captions if isinstance(captions, pa.Array) else pa.array(captions, pa.string())
