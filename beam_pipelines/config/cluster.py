"""Flags of ``winnow cluster``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import SET_NAME, flag
from beam_pipelines.config.crawl import PoolConfig

_CLUSTERS = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig(PoolConfig):
    """Flags of ``cluster``."""

    name: str = flag(
        "",
        "column set to write; default: cluster_k followed by the number of clusters",
        form=SET_NAME,
        hint="it names the column set",
    )
    column: str = flag("", "embeddings to cluster, SET.COLUMN; default: the image embeddings of the only model")
    k: int = flag(
        0,
        "clusters; 0 = 500, or as many as --centroids has; density-based pruning: 100 for DataComp medium, 500 for "
        "LAION",
        at_least=2,
        at_most=100_000,
    )
    metric: str = flag(
        "spherical",
        "what k-means makes small",
        choices={"spherical": "1 - cosine", "euclidean": "squared distance"},
    )
    rounds: int = flag(20, "most rounds of k-means; each reads the sample once", at_least=1)
    tolerance: float = flag(
        1e-4, "stop when a round lowers the inertia by no more than this share of it; 0 = never", at_least=0, below=1
    )
    sample: int = flag(
        0,
        "samples to fit on, drawn by uid; 0 = 256 per cluster, and no fewer than 20000; all when there are fewer",
        at_least=0,
    )
    seed: int = flag(0, "seed of the sample and the start; equal seeds give equal centroids", at_least=0)
    centroids: str = flag(
        "", "assign to these centroids and fit none: .npy, .safetensors or .pt, float [clusters, dimensions]"
    )
    assign: str = flag(
        "",
        "how samples are assigned; default: as --metric, and inner with --centroids",
        choices={"inner": "inner product", "euclidean": "squared distance"},
    )
    target: str = flag(
        "",
        "also list the clusters of target images: a folder of images, or shards such as 'imagenet/*.tar', embedded by "
        "the model that scored this pool; their embeddings (.npy, .safetensors, .pt); or an output of `winnow score`",
    )
    device: str = flag(
        "auto",
        "device of k-means; one that is named and absent is an error; clusters are the same on all",
        choices={"auto": "a GPU if there is one", "cpu": "", "cuda": ""},
        operational=True,
    )

    def clusters(self) -> int:
        """Returns how many clusters are fitted."""
        return self.k or _CLUSTERS

    def column_set(self) -> str:
        """Returns the name of the column set."""
        return self.name or f"cluster_k{self.clusters()}"

    def rule(self) -> str:
        """Returns how samples are assigned: ``inner`` or ``euclidean``."""
        return self.assign or ("euclidean" if self.metric == "euclidean" and not self.centroids else "inner")

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.centroids and not self.name:
            problems.append("--name is missing; with --centroids, say what the column set is to be called")
        if 0 < self.sample < self.clusters():
            problems.append(
                f"--sample {self.sample} is less than --k {self.clusters()}; give each cluster some samples, try 256"
            )
        return problems
