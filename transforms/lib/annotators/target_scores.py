"""Scores of images against a set of target images: NormSim and the variance alignment score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch, address
from transforms.lib.arrays import Float32, Float64
from transforms.lib.clusters.vector_files import Embeddings, read_target
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.stamps import sha256_of

_ROWS = 4096  # rows of either side held as float32 at once


def second_moment(target: Embeddings) -> Float64:
    """Returns ``S``, the mean of ``f f^T`` over the target rows; float64 ``[dim, dim]``."""
    total = np.zeros((target.shape[1], target.shape[1]))
    for start in range(0, len(target), _ROWS):
        rows = target[start : start + _ROWS].astype(np.float64)
        total += rows.T @ rows
    return total / len(target)


def vas(image: Embeddings, moment: Float64) -> Float64:
    """Returns the variance alignment score ``f_i^T S f_i`` of each image; float64 ``[n]``, in [0, 1].

    Source: Wang et al. 2024, "Variance Alignment Score", arXiv:2402.02055, section 3.

    Args:
      image: float ``[n, dim]``, unit rows.
      moment: ``S`` of the target, as ``second_moment`` returns it.
    """
    score = np.zeros(len(image))
    for start in range(0, len(image), _ROWS):
        rows = image[start : start + _ROWS].astype(np.float64)
        score[start : start + _ROWS] = np.einsum("nd,nd->n", rows @ moment, rows)
    return score


def normsim_2(image: Embeddings, moment: Float64, count: int) -> Float64:
    """Returns the 2-norm of each image's inner products with the target; float64 ``[n]``, in [0, sqrt(count)].

    It is ``sqrt(count * VAS)``, so the target itself is not needed again.

    Source: Wang et al. 2024, arXiv:2405.19547, section 3.

    Args:
      image: float ``[n, dim]``, unit rows.
      moment: ``S`` of the target.
      count: rows of the target.
    """
    norms: Float64 = np.sqrt(np.maximum(count * vas(image, moment), 0))
    return norms


def normsim_inf(image: Embeddings, target: Embeddings) -> Float32:
    """Returns the greatest absolute inner product of each image with a target image; float32 ``[n]``, in [0, 1].

    Cost: ``2 n m dim`` floating point operations; the target is read once for each 4,096 images.

    Source: Wang et al. 2024, arXiv:2405.19547, section 3.

    Args:
      image: float ``[n, dim]``, unit rows.
      target: float ``[m, dim]``, unit rows.
    """
    best = np.zeros(len(image), np.float32)
    for start in range(0, len(image), _ROWS):
        rows = image[start : start + _ROWS].astype(np.float32)
        for other in range(0, len(target), _ROWS):
            products = np.abs(rows @ target[other : other + _ROWS].astype(np.float32).T)
            np.maximum(best[start : start + _ROWS], products.max(axis=1), out=best[start : start + _ROWS])
    return np.minimum(best, np.float32(1))  # float16 rows are of norm 1 up to 2**-11


@dataclasses.dataclass(frozen=True)
class TargetScore(Annotator):
    """The column set ``normsim_2``, ``normsim_inf`` or ``vas``: ``score``, float32, against a target file.

    Attributes:
      model: the column set of the image embeddings; the target's must be of the same network.
      target: address of the target embeddings, ``.npy`` or ``.safetensors``.
      sha256: of that file.
      dim: of its rows.
    """

    kind = "TargetScore"
    version = 2
    column_sets = ("normsim_2", "normsim_inf", "vas")
    related = True

    model: str = ""
    target: str = address()
    sha256: str = ""
    dim: int = 0

    @classmethod
    def resolve(cls, name: str, options: Mapping[str, Any], fetch: Fetch) -> TargetScore:
        return resolve(name, options["model"], options["target"], fetch)

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.model}.score", f"{self.model}.image")

    def problems(self, types: Mapping[str, pa.DataType]) -> list[str]:
        dim = types[self.inputs()[1]].list_size
        if dim == self.dim:
            return []
        return [f"--target {self.target} has {self.dim} dimensions, {self.model}.image {dim}; embed it with that model"]

    def load(self, fetch: Fetch) -> Annotate:
        path = fetch(self.target)
        target = read_target(path, self.target)
        if sha256_of(path) != self.sha256:
            raise InputError(f"--target {self.target} changed while the job ran; run it again")
        moment = None if self.name == "normsim_inf" else second_moment(target)

        def scores(image: Embeddings) -> NDArray[Any]:
            if moment is None:
                return normsim_inf(image, target)
            return vas(image, moment) if self.name == "vas" else normsim_2(image, moment, len(target))

        def work(block: Block) -> pa.Table:
            score = np.full(len(block.valid), np.nan, np.float32)
            score[block.valid] = scores(block.columns[self.inputs()[1]][block.valid])
            return pa.table({"score": pa.array(score)})

        return work


def resolve(name: str, model: str, target: str, fetch: Fetch) -> TargetScore:
    """Returns the annotator that ``--columns`` and ``--target`` name, after a look into the file.

    Raises:
      ConfigError: ``--target`` is missing.
      InputError: it names nothing that can be used.
    """
    if not target:
        raise ConfigError(f"--columns {name} needs --target FILE: embeddings of target images, .npy or .safetensors")
    path = fetch(target)
    dim = read_target(path, target).shape[1]
    return TargetScore(name, model, target, sha256_of(path), dim)
