"""Flags of ``winnow reshard``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.annotate import AnnotateConfig as AnnotateConfig
from beam_pipelines.config.base import Config as Config
from beam_pipelines.config.base import Flags as Flags
from beam_pipelines.config.base import flag as flag
from beam_pipelines.config.cluster import ClusterConfig as ClusterConfig
from beam_pipelines.config.crawl import BasisConfig as BasisConfig
from beam_pipelines.config.crawl import GateConfig as GateConfig
from beam_pipelines.config.crawl import PoolConfig as PoolConfig
from beam_pipelines.config.crawl import PublishConfig as PublishConfig
from beam_pipelines.config.dedup import DedupConfig as DedupConfig
from beam_pipelines.config.explain import ExplainConfig as ExplainConfig
from beam_pipelines.config.imports import ImportConfig as ImportConfig
from beam_pipelines.config.imports import MetadataConfig as MetadataConfig
from beam_pipelines.config.subset import ExportConfig as ExportConfig
from beam_pipelines.config.subset import ImportSubsetConfig as ImportSubsetConfig
from beam_pipelines.config.train import DEFAULT_MODEL as DEFAULT_MODEL
from beam_pipelines.config.train import MetaConfig as MetaConfig
from beam_pipelines.config.train import ScoreFlytConfig as ScoreFlytConfig
from beam_pipelines.config.train import TrainConfig as TrainConfig
from beam_pipelines.config.train import TrainFlytConfig as TrainFlytConfig
from beam_pipelines.config.train import TrainMixConfig as TrainMixConfig
from transforms.lib import registry

SHUFFLES = ("none", "shards", "full")
FORMATS = tuple(registry.FORMATS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReshardConfig(PoolConfig):
    """Flags of ``reshard``."""

    samples_per_shard: int = flag(10_000, "copies in each output shard but the last")
    max_shard_bytes: int = flag(0, "cut output shards whose samples have more bytes; 0 = no limit")
    shuffle: str = flag(
        "shards",
        "none: order of the pool; shards: input shards in a seeded order, samples shuffled inside an output shard; "
        "full: every output shard takes its share of every input shard, which reads each of them many times",
    )
    shuffle_seed: int = flag(0, "of the order of shards and of the samples inside an output shard")
    format: str = flag("webdataset", f"form of the output shards: {', '.join(FORMATS)}")
    blur_faces: str = flag(
        "",
        "blur faces: json (boxes in the json field face_bboxes), or Parquet files with columns uid and face_bboxes, "
        "as a glob in which {shard} stands for the input shard's name; default: none are blurred",
    )
    coalesce_bytes: int = flag(
        0,
        "gaps between wanted samples up to this are read through; 0 = 64 KiB locally, 4 MiB on an object store",
        operational=True,
    )

    def problems(self) -> list[str]:
        found = super().problems()
        if self.samples_per_shard < 1:
            found.append(f"--samples_per_shard must be at least 1, got {self.samples_per_shard}")
        for name in ("max_shard_bytes", "coalesce_bytes"):
            if getattr(self, name) < 0:
                found.append(f"--{name} must be at least 0, got {getattr(self, name)}")
        for name, allowed in (("shuffle", SHUFFLES), ("format", FORMATS)):
            if getattr(self, name) not in allowed:
                found.append(f"--{name} must be {' or '.join(allowed)}, got {getattr(self, name)!r}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReshardJobConfig(ReshardConfig):
    """Flags of ``reshard`` run alone: also by a subset file, also of a pool that Winnow never scored."""

    input: tuple[str, ...] = flag((), "with --subset: shards of a pool that was not scored; as for curate")
    subset: str = flag("", "copy what this subset file lists (.npy, u8,u8, sorted), not what `select` decided")
    max_sample_bytes: int = flag(1 << 28, "reject samples with more bytes")
    max_reject_fraction: float = flag(0.01, "fail when a larger share of the samples is rejected, in [0, 1]")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.input and not self.subset:
            found.append(
                "--subset is missing; --input is for a pool that was not scored, to be copied by a subset file"
            )
        return found
