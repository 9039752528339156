"""The best of several captions of a sample: the one that a network scores highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from transforms.lib.arrays import Float32


def choose(rows: Sequence[dict[str, Any]], choices: Sequence[Sequence[str]], image: Float32, text: Float32) -> None:
    """Gives each row the caption whose embedding has the highest cosine with that of the image; a tie keeps the first.

    Args:
      rows: n index rows; ``caption`` is updated.
      choices: captions of each row, one or more.
      image: float32 ``[n, dim]``, unit norm; zero where the network could not take the image, which keeps the first.
      text: float32 ``[sum of choices, dim]``, unit norm, row after row.
    """
    start = 0
    for row, captions, vector in zip(rows, choices, image, strict=True):
        cosines = text[start : start + len(captions)] @ vector
        row["caption"] = captions[int(np.argmax(cosines))]
        start += len(captions)
