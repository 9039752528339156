"""Selection by what the image shows: DataComp's image_based, samples whose cluster holds a target image."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Int64
from transforms.lib.clusters import vector_files as files_of
from transforms.lib.clusters.kmeans import clusterable
from transforms.lib.clusters.nearest import Nearest
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes.contract.step import EMBEDDING, NUMBER, Step, Verdict


@functools.lru_cache(maxsize=2)
def _nearest(path: str) -> Nearest:
    return Nearest(files_of.read_vectors(path, path, "centroids"), "inner")


@functools.lru_cache(maxsize=2)
def _read_targets(path: str, centroids: str) -> Bool:
    """Returns which clusters hold a target image; as long as there are centroids, or, without them, as ids reach."""
    ids = files_of.read_ids(path, path, "targets")
    if ids is not None and ids.min(initial=0) < 0:
        raise InputError(f"targets {path} names cluster {ids.min()}; clusters count from 0")
    if ids is not None and not centroids:
        return np.bincount(ids) > 0
    if not centroids:
        raise InputError(f"targets {path} holds embeddings; name the centroids too, or give a file of cluster numbers")
    nearest = _nearest(centroids)
    if ids is None:
        ids = _clusters_of(path, nearest)
    elif ids.max(initial=0) >= len(nearest.centroids):
        raise InputError(f"targets {path} names cluster {ids.max()}, but there are {len(nearest.centroids)} centroids")
    return np.bincount(ids, minlength=len(nearest.centroids)) > 0


def _clusters_of(path: str, nearest: Nearest) -> Int64:
    target = files_of.read_vectors(path, path, "targets")
    if target.shape[1] != nearest.centroids.shape[1]:
        widths = f"{target.shape[1]} dimensions, the centroids {nearest.centroids.shape[1]}"
        raise InputError(f"targets {path} has {widths}; embed the target images with the model of the centroids")
    parts = []
    for at in range(0, len(target), 65_536):
        rows = target[at : at + 65_536].astype(np.float16)
        parts.append(np.unique(nearest.clusters(rows[clusterable(rows, unit=False)])))
    return np.unique(np.concatenate(parts)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class ImageBased(Step):
    """Keeps samples whose nearest centroid is the nearest centroid of some target image.

    Nearest means the largest inner product, of samples and targets alike, although DataComp trained its centroids by
    Euclidean distance and did not normalise them: that is its rule, not an oversight here.

    Either ``clusters`` names a column set that ``winnow cluster`` wrote, with its centroids and target clusters; or
    embeddings are compared with ``centroids`` whenever the step is replayed, which suits some hundred centroids.

    The margin is by how much the nearest centroid is nearer than the second, negative for a dropped sample.

    Source: DataComp (Gadre et al. 2023, arXiv:2304.14108, section 4.1, image-based filtering); 100,000 centroids of
    ViT-L/14 image embeddings, targets ImageNet-1k. Put ``language`` and ``caption_length`` before it, as the recipe
    ``image_based`` does.

    Attributes:
      clusters: column set with the clusters; empty to compare embeddings.
      column: the image embeddings, where ``clusters`` is empty.
      centroids: file of centroids, float [k, dim]; with ``clusters``, by default those it was made with.
      targets: file of target embeddings, float [m, dim], or of cluster numbers, int [m]; with ``clusters``, by default
        the target clusters found with them.
    """

    kind = "image_based"
    files = ("centroids", "targets")

    clusters: str = ""
    column: str = "image"
    centroids: str = ""
    targets: str = ""

    def faults(self) -> list[str]:
        if self.clusters:
            return []
        hints = {
            "centroids": "a file of centroids, or clusters: a column set of `winnow cluster`",
            "targets": "a file of the embeddings of target images, or of cluster numbers",
        }
        return [f"{self.label}.{name} is missing; name {hints[name]}" for name in self.files if not getattr(self, name)]

    def named_files(self, root: str) -> dict[str, str]:
        folder = f"{root.rstrip('/')}/clusters/{self.clusters}"
        defaults = {"centroids": f"{folder}/centroids.safetensors", "targets": f"{folder}/target_clusters.npy"}
        return {f"{self.label}.{name}": getattr(self, name) or defaults[name] for name in self.files}

    def check_files(self, files: Mapping[str, str]) -> None:
        self._targets(files)

    def _targets(self, files: Mapping[str, str]) -> Bool:
        return _read_targets(files[f"{self.label}.targets"], files[f"{self.label}.centroids"])

    def input_types(self) -> tuple[str, ...]:
        return (NUMBER, NUMBER) if self.clusters else (EMBEDDING,)

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.clusters}.cluster", f"{self.clusters}.margin") if self.clusters else (self.column,)

    def score(self) -> None:
        return None

    def hint(self, column: str) -> str:
        if not self.clusters:
            return ""
        return f"`winnow cluster --name {self.clusters} --centroids FILE --target FILE` adds it"

    def apply(self, block: Block, state: Any) -> Verdict:
        wanted = self._targets(block.files)
        if self.clusters:
            cluster, margin = (block.columns[name] for name in self.inputs())
        else:
            cluster, margin = self._assign(block)
        inside = (cluster >= 0) & wanted[np.clip(cluster, 0, len(wanted) - 1)] & (cluster < len(wanted))
        return Verdict.of(block, inside, np.where(inside, margin, -margin))

    def _assign(self, block: Block) -> tuple[NDArray[np.int32], Float32]:
        """Returns cluster and margin of the rows that are alive; -1 and 0 elsewhere."""
        rows = block.columns[self.column].astype(np.float16)
        numbers = np.flatnonzero(block.alive)
        numbers = numbers[clusterable(rows[numbers], unit=False)]
        nearest = _nearest(block.files[f"{self.label}.centroids"])
        if rows.shape[1] != nearest.centroids.shape[1]:
            widths = f"{nearest.centroids.shape[1]} dimensions, {self.column} {rows.shape[1]}"
            raise InputError(f"{self.label}: the centroids have {widths}; use centroids of that model")
        assigned = nearest(rows[numbers])
        cluster, margin = np.full(len(rows), -1, np.int32), np.zeros(len(rows), np.float32)
        cluster[numbers], margin[numbers] = assigned.cluster, assigned.margin
        return cluster, margin

    def sentence(self) -> str:
        target = f"an image of {self.targets}" if self.targets else "a target image"
        by = f"by the clusters of {self.clusters}" if self.clusters else f"by inner product, among {self.centroids}"
        return f"Keep samples whose image has the same nearest centroid as {target}, {by}."
