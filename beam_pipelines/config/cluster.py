"""What ``cluster`` can be told. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig

_CLUSTERS = 500
DEVICES = ("auto", "cpu", "cuda")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClusterConfig(PoolConfig):
    """Flags of ``cluster``."""

    name: str = flag("", "column set to write; default: cluster_k followed by the number of clusters")
    column: str = flag("", "embeddings to cluster, SET.COLUMN; default: the image embeddings of the only model")
    k: int = flag(
        0,
        "clusters, 2 to 100000; 0 = 500, or as many as --centroids has; density-based pruning: 100 for DataComp "
        "medium, 500 for LAION",
    )
    metric: str = flag(
        "spherical",
        "what k-means makes small: spherical (1 - cosine) or euclidean (squared distance)",
        choices=("spherical", "euclidean"),
    )
    rounds: int = flag(20, "rounds of k-means at most; each reads the sample once")
    tolerance: float = flag(1e-4, "stop when a round lowers the inertia by at most this share of it; 0 = never")
    sample: int = flag(
        0, "samples to fit on, drawn by uid; 0 = 256 a cluster, at least 20000; all when there are fewer"
    )
    seed: int = flag(0, "of the sample and the start; equal seeds give equal centroids")
    centroids: str = flag(
        "", "assign to these centroids and fit none: .npy, .safetensors or .pt, float [clusters, dimensions]"
    )
    assign: str = flag("", "inner (inner product) or euclidean; default: as --metric, and inner with --centroids")
    target: str = flag(
        "",
        "also list the clusters of target images: a folder of images, or shards such as 'imagenet/*.tar', embedded by "
        "the model that scored this pool; their embeddings (.npy, .safetensors, .pt); or an output of `winnow score`",
    )
    device: str = flag(
        "auto",
        "auto (a GPU if there is one), cpu or cuda; a GPU that is asked for by name and absent is an error; clusters "
        "are the same on both",
        operational=True,
        choices=DEVICES,
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
        found = super().problems()
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.name):
            found.append(f"--name must be letters, digits, _ and -, got {self.name!r}; it names the column set")
        if self.centroids and not self.name:
            found.append("--name is missing; with --centroids, say what the column set is to be called")
        if not 2 <= self.clusters() <= 100_000:
            found.append(f"--k must be in 2 .. 100000, got {self.k}")
        for name, allowed in (("metric", ("spherical", "euclidean")), ("assign", ("", "inner", "euclidean")),
                              ("device", DEVICES)):  # fmt: skip
            if getattr(self, name) not in allowed:
                found.append(f"--{name} must be {' or '.join(filter(None, allowed))}, got {getattr(self, name)!r}")
        for name, least in (("rounds", 1), ("sample", 0), ("seed", 0)):
            if getattr(self, name) < least:
                found.append(f"--{name} must be at least {least}, got {getattr(self, name)}")
        if 0 < self.sample < self.clusters():
            found.append(
                f"--sample {self.sample} is less than --k {self.clusters()}; give each cluster some samples, try 256"
            )
        if not 0 <= self.tolerance < 1:
            found.append(f"--tolerance must be in [0, 1), got {self.tolerance}")
        return found
