"""What a CLIP model knows without being told: classes by their names, captions by pictures, pictures by captions."""

from __future__ import annotations

import numpy as np

from transforms.lib.arrays import Bool, Float32, Int64


def class_vectors(text: Float32, classes: int) -> Float32:
    """Returns float32 ``[classes, dim]``, unit norm: the mean of each class's prompts, as in CLIP.

    Args:
      text: float32 ``[classes * templates, dim]``, unit norm, class by class.
      classes: how many there are.
    """
    mean = text.reshape(classes, -1, text.shape[1]).mean(1)
    vectors: Float32 = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    return vectors


def classification(image: Float32, classes: Float32, labels: Int64) -> dict[str, float]:
    """Returns ``acc1``, ``acc5`` and ``mean_per_class_recall`` in [0, 1]; ties count against the model.

    Args:
      image: float32 ``[n, dim]``, unit norm.
      classes: float32 ``[c, dim]``, unit norm.
      labels: int64 ``[n]``, the right class of each.
    """
    scores = image @ classes.T
    rank = _rank(scores, np.arange(len(classes))[None] == labels[:, None])
    right = rank == 0
    per_class = [right[labels == label].mean() for label in np.unique(labels)]
    return {
        "acc1": float(right.mean()),
        "acc5": float((rank < 5).mean()),
        "mean_per_class_recall": float(np.mean(per_class)),
    }


def retrieval(image: Float32, text: Float32, right: Bool) -> dict[str, float]:
    """Measures retrieval in both directions.

    Args:
      image: float32 ``[n, dim]``, unit norm.
      text: float32 ``[m, dim]``, unit norm.
      right: bool ``[n, m]``: which captions are right for which pictures; every row and column has one.

    Returns:
      ``image_retrieval_recall@K`` (caption given, picture sought) and ``text_retrieval_recall@K`` for K of 1 and 5,
      ``mean_recall@1``, and ``mrr``, the mean over both directions of 1 / rank of the best right answer. All in [0, 1].
    """
    scores = image @ text.T
    to_text, to_image = _rank(scores, right), _rank(scores.T, right.T)
    found: dict[str, float] = {}
    for name, rank in (("image_retrieval_recall", to_image), ("text_retrieval_recall", to_text)):
        found |= {f"{name}@{k}": float((rank < k).mean()) for k in (1, 5)}
    found["mean_recall@1"] = (found["image_retrieval_recall@1"] + found["text_retrieval_recall@1"]) / 2
    found["mrr"] = float(((1 / (1 + to_text)).mean() + (1 / (1 + to_image)).mean()) / 2)
    return found


def _rank(scores: Float32, right: Bool) -> Int64:
    """Returns how many wrong answers are at least as near as the nearest right one, of each row."""
    best = np.where(right, scores, -np.inf).max(1)
    rank: Int64 = ((scores >= best[:, None]) & ~right).sum(1)
    return rank
