"""How well embeddings match captions to images: retrieval, and matched against shuffled captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from transforms.lib.arrays import Float32, Int64


def caption_groups(captions: Sequence[str]) -> Int64:
    """Returns int64 ``[n]``: equal numbers for captions that are equal but for case and white space."""
    numbers: dict[str, int] = {}
    plain = [" ".join(caption.lower().split()) for caption in captions]
    return np.array([numbers.setdefault(caption, len(numbers)) for caption in plain], np.int64)


def matched_auc(matched: NDArray[np.floating], shuffled: NDArray[np.floating]) -> float:
    """Returns the probability that a matched pair scores above a shuffled one; ties count half.

    Args:
      matched: ``[n]`` scores of images with their own captions.
      shuffled: ``[m]`` scores of images with captions of others.
    """
    ranks = rankdata(np.concatenate([matched, shuffled]))
    n, m = len(matched), len(shuffled)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def evaluate(image: Float32, text: Float32, groups: Int64, seed: int) -> dict[str, float]:
    """Measures held-out pairs.

    Args:
      image: float32 ``[n, dim]``, unit norm.
      text: float32 ``[n, dim]``, unit norm; row i belongs to image i.
      groups: int64 ``[n]`` of ``caption_groups``; a caption of the same group is right too.
      seed: of the shuffle.

    Returns:
      ``pairs``, ``recall_at_1`` and ``recall_at_10`` (image to caption), ``auc`` (matched against shuffled; no
      shuffled caption is of the image's own group).
    """
    scores = image @ text.T  # [n, n]
    same = groups[:, None] == groups[None]
    best_right = np.where(same, scores, -np.inf).max(1)
    better = ((scores > best_right[:, None]) & ~same).sum(1)
    order = np.random.default_rng(seed).permutation(len(groups))
    wrong = groups[order] != groups
    shuffled = scores[np.arange(len(groups)), order][wrong]
    auc = matched_auc(np.diag(scores), shuffled) if len(shuffled) else float("nan")
    return {
        "pairs": float(len(groups)),
        "recall_at_1": float((better < 1).mean()),
        "recall_at_10": float((better < 10).mean()),
        "auc": auc,
    }
