"""What each job can be told: frozen dataclasses whose fields are the flags, and the check of all values at once.

Imports no Beam, no torch and no numpy, so that ``--help`` is instant.
"""

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
from beam_pipelines.config.reshard import ReshardConfig, ReshardJobConfig
from beam_pipelines.config.score import ScoreConfig
from beam_pipelines.config.select import SelectConfig
from beam_pipelines.config.subset import ExportConfig as ExportConfig
from beam_pipelines.config.subset import ImportSubsetConfig as ImportSubsetConfig
from beam_pipelines.config.train import DEFAULT_MODEL as DEFAULT_MODEL
from beam_pipelines.config.train import MetaConfig as MetaConfig
from beam_pipelines.config.train import ScoreFlytConfig as ScoreFlytConfig
from beam_pipelines.config.train import TrainConfig as TrainConfig
from beam_pipelines.config.train import TrainFlytConfig as TrainFlytConfig
from beam_pipelines.config.train import TrainMixConfig as TrainMixConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateConfig(ScoreConfig, SelectConfig, ReshardConfig, GateConfig):
    """Flags of ``curate``: those of score, select, reshard and publish."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig(PoolConfig):
    """Flags of ``verify``."""

    compare_input: bool = flag(True, "also compare every written sample with the bytes of its input shard")


JOBS: dict[str, tuple[type[Flags], str]] = {
    "curate": (CurateConfig, "score a pool, select by a recipe, write better shards: all of it"),
    "score": (ScoreConfig, "add a model's scores and embeddings to the column store"),
    "annotate": (AnnotateConfig, "add column sets that need no image: language, counts, related scores"),
    "dedup": (
        DedupConfig,
        "find exact, near and semantic duplicates, and samples of evaluation sets; adds a column set",
    ),
    "cluster": (ClusterConfig, "find clusters by k-means, or assign to given centroids; adds a column set"),
    "select": (SelectConfig, "turn columns into decisions by a recipe"),
    "explain": (ExplainConfig, "say why samples were kept or dropped, with every column they were judged by"),
    "export-subset": (ExportConfig, "write what was kept or dropped as a subset file"),
    "import-subset": (ImportSubsetConfig, "make a sorted subset file of any list of uids, joined with others"),
    "reshard": (ReshardJobConfig, "turn decisions, or a subset file, into equal output shards"),
    "import-scores": (ImportConfig, "bring scores of other tools into the column store"),
    "import-datacomp": (MetadataConfig, "make a pool of DataComp's published metadata, without any shard"),
    "publish": (PublishConfig, "let a crawl become the latest when it passes its gate, and say what it changes"),
    "verify": (VerifyConfig, "check every output against its manifest, its books and its input"),
    "train-filter": (TrainConfig, "train a filtering network on a pool of clean pairs"),
    "train-mix": (TrainMixConfig, "learn the weights of a mix of scores (M-FLYT)"),
    "train-flyt": (TrainFlytConfig, "learn a scoring head on embeddings (FLYT)"),
    "score-flyt": (ScoreFlytConfig, "add the scores of a FLYT head, from saved embeddings"),
}

LOCAL_JOBS = ("verify", "explain", "export-subset", "import-subset", "train-mix", "train-flyt")
"""Jobs without a Dataflow template."""

PIPELINE_JOBS = (*(job for job in JOBS if job not in LOCAL_JOBS), "verify")
"""Jobs that a runner runs; the others know no Beam."""
