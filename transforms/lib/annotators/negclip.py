"""negCLIPLoss: the cosine of a pair less what it scores against the others of a random batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from transforms.lib import uids
from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch
from transforms.lib.arrays import Float32, Float64, UInt64
from transforms.lib.clusters.vector_files import Embeddings
from transforms.lib.columnstore.block import Block

_ROWS = 1024  # rows of the matrix of cosines held at once


def penalties(image: Embeddings, text: Embeddings, temperature: float, batch: int) -> Float64:
    """Returns the normaliser ``R`` of each pair of one batch.

    ``R_i = (T/2) (log sum_j exp(<f_i, g_j>/T) + log sum_j exp(<f_j, g_i>/T))``, sums over the batch, ``j = i``
    included. When the batch holds fewer pairs than ``batch``, the terms with ``j != i`` are weighed so that they stand
    for ``batch - 1``: the log of a sum grows with the batch, and shards of different sizes would not compare.

    Args:
      image: ``f``, float ``[b, dim]``, unit rows, ``b >= 2``.
      text: ``g``, the same of the captions.
      temperature: ``T``.
      batch: pairs that the sums stand for, at least ``b``.

    Returns:
      float64 ``[b]``.
    """
    image, text = image.astype(np.float32), text.astype(np.float32)
    rows = np.zeros(len(image))
    columns = np.zeros(len(image))
    own = np.exp(np.einsum("nd,nd->n", image, text).astype(np.float64) / temperature)
    for start in range(0, len(image), _ROWS):
        terms = np.exp((image[start : start + _ROWS] @ text.T).astype(np.float64) / temperature)
        here = np.arange(len(terms))
        terms[here, start + here] = 0
        rows[start : start + _ROWS] = terms.sum(axis=1)
        columns += terms.sum(axis=0)
    weight = (batch - 1) / (len(image) - 1)
    sums: Float64 = np.log(own + weight * rows) + np.log(own + weight * columns)
    return temperature / 2 * sums


def negclip(
    image: Embeddings,
    text: Embeddings,
    pairs: UInt64,
    *,
    temperature: float = 0.01,
    batch: int = 32_768,
    repeats: int = 10,
    seed: int = 0,
) -> Float32:
    """Scores pairs by ``<f_i, g_i> - mean of R_i over random batches``; at most 0, more is better.

    The rows are shuffled ``repeats`` times, each time by a hash of (seed, uid), and cut into equal batches of at most
    ``batch``. Rows that fit into one batch need no shuffling, and get it once. As in the reference, batches do not
    reach beyond a file: here the shard. The reference's last batch of a shuffle is short; here all are equal.

    Cost: ``2 n batch dim`` floating point operations a shuffle, and 8 MB times ``batch / 1024``.

    Source: Wang et al. 2024, "CLIPLoss and Norm-Based Data Selection Methods for Multimodal Contrastive Learning",
    arXiv:2405.19547, section 3; 0.01 for OpenAI's models, 0.07 for DFN-P, batches of 32,768, at least 5 of them.

    Args:
      image: float ``[n, dim]``, unit rows.
      text: float ``[n, dim]``, unit rows.
      pairs: uids, uint64 ``[n, 2]``.
      temperature: at least 0.005; below it, ``exp(cosine / temperature)`` leaves float64.
      batch: pairs in a batch, at least 2.
      repeats: shuffles, at least 1.
      seed: of the shuffles.

    Returns:
      float32 ``[n]``; NaN for a single row, which has nothing to be compared with.
    """
    if len(image) < 2:
        return np.full(len(image), np.nan, np.float32)
    count = -(-len(image) // batch)
    total = np.zeros(len(image))
    rounds = repeats if count > 1 else 1
    for number in range(rounds):
        keys = uids.keyed_hash(pairs, (seed + number) & 0xFFFFFFFFFFFFFFFF)
        order = np.argsort(keys, kind="stable") if count > 1 else np.arange(len(image))
        for rows in np.array_split(order, count):
            total[rows] += penalties(image[rows], text[rows], temperature, batch)
    cosine = np.einsum("nd,nd->n", image.astype(np.float32), text.astype(np.float32))
    score: Float32 = (cosine - total / rounds).astype(np.float32)
    return score


@dataclasses.dataclass(frozen=True)
class NegClip(Annotator):
    """The column set ``negclip``: ``score``, float32, negCLIPLoss from a model's embeddings.

    Attributes:
      model: the column set of the embeddings.
      temperature: of the model's training.
      batch: pairs in a batch.
      repeats: random batches that each pair is in.
      seed: of the batches.
    """

    kind = "NegClip"
    column_sets = ("negclip",)
    related = True

    name: str = "negclip"
    model: str = ""
    temperature: float = 0.01
    batch: int = 32_768
    repeats: int = 10
    seed: int = 0

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.model}.score", f"{self.model}.image", f"{self.model}.text", "uid")

    def load(self, fetch: Fetch) -> Annotate:
        return self._scores

    def _scores(self, block: Block) -> pa.Table:
        image, text, pairs = (block.columns[name][block.valid] for name in self.inputs()[1:])
        score = np.full(len(block.valid), np.nan, np.float32)
        score[block.valid] = negclip(
            image,
            text,
            pairs,
            temperature=self.temperature,
            batch=self.batch,
            repeats=self.repeats,
            seed=self.seed,
        )
        return pa.table({"score": pa.array(score)})
