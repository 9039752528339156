"""What each job can be told: frozen dataclasses whose fields are the flags, and the check of all values at once.

Imports no Beam, no torch and no numpy, so that ``--help`` is instant.
"""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.annotate import AnnotateConfig as AnnotateConfig
from beam_pipelines.config.annotate import ExplainConfig as ExplainConfig
from beam_pipelines.config.annotate import ImportConfig as ImportConfig
from beam_pipelines.config.annotate import MetadataConfig as MetadataConfig
from beam_pipelines.config.base import Config as Config
from beam_pipelines.config.base import Flags as Flags
from beam_pipelines.config.base import flag as flag
from beam_pipelines.config.cluster import ClusterConfig as ClusterConfig
from beam_pipelines.config.crawl import BasisConfig as BasisConfig
from beam_pipelines.config.crawl import GateConfig as GateConfig
from beam_pipelines.config.crawl import PoolConfig as PoolConfig
from beam_pipelines.config.crawl import PublishConfig as PublishConfig
from beam_pipelines.config.dedup import DedupConfig as DedupConfig
from beam_pipelines.config.subset import ExportConfig as ExportConfig
from beam_pipelines.config.subset import ImportSubsetConfig as ImportSubsetConfig
from beam_pipelines.config.train import DEFAULT_MODEL as DEFAULT_MODEL
from beam_pipelines.config.train import MetaConfig as MetaConfig
from beam_pipelines.config.train import ScoreFlytConfig as ScoreFlytConfig
from beam_pipelines.config.train import TrainConfig as TrainConfig
from beam_pipelines.config.train import TrainFlytConfig as TrainFlytConfig
from beam_pipelines.config.train import TrainMixConfig as TrainMixConfig

SHUFFLES = ("none", "shards", "full")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
VARIANTS = ("exact", "fast", "gpu")
FORMATS = ("webdataset", "parquet", "tfrecord")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(PoolConfig):
    """Flags of ``score``."""

    input: tuple[str, ...] = flag(
        (),
        "shards of the pool: a glob ('DIR/*.tar'), braces ('DIR/{00000..00127}.tar') or @FILE with one address "
        "a line; .tar, .tar.gz and .tar.zst; may be repeated (required)",
    )
    model: tuple[str, ...] = flag(
        (DEFAULT_MODEL,),
        "network that scores, [NAME=]SPEC; NAME is the column set; may be repeated; `winnow models` lists SPECs",
    )
    caption_field: str = flag("", "json field with the caption; default: the .txt member, then json `caption`")
    max_pixels: int = flag(89_478_485, "reject images with more pixels, before decoding them")
    max_sample_bytes: int = flag(1 << 28, "reject samples with more bytes")
    batch_size: int = flag(
        0, "images given to a model at once; 0 = 8 on a CPU, 256 on a GPU; part of the scores' stamp"
    )
    device: str = flag(
        "auto",
        "auto, cpu or cuda; auto takes the GPU of the machine that starts the job; one asked for must be there",
        choices=("auto", "cpu", "cuda"),
    )
    precision: str = flag(
        "auto",
        "auto, fp32, bf16 or fp16; auto is fp32 on a CPU, fp16 on a GPU; part of the scores' stamp",
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    preprocess: str = flag(
        "exact",
        "exact: the pixels of open_clip's own transform; fast: JPEGs decoded at a fraction of their size; gpu: JPEGs "
        "decoded and resized on a GPU; the last two move scores a little (docs/scoring.md); part of the scores' stamp",
        choices=("exact", "fast", "gpu"),
    )
    tfio_python: str = flag(
        "",
        "python of an environment with tensorflow-io, which decodes OpenEXR, HDR and DICOM (docs/scoring.md); default: "
        "they are rejected",
    )
    threads: int = flag(0, "batches a model embeds at once on a CPU, a thread each; 0 = all cores", operational=True)
    decode_threads: int = flag(0, "threads that decode images; 0 = all cores", operational=True)

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the shards, for example --input 'DIR/*.tar'")
        if not self.model:
            found.append("--model is empty; `winnow models` lists what can be given")
        for name in ("max_pixels", "max_sample_bytes"):
            if getattr(self, name) < 1:
                found.append(f"--{name} must be at least 1, got {getattr(self, name)}")
        for name, most in MOST.items():
            if not 0 <= getattr(self, name) <= most:
                found.append(f"--{name} must be 0 to {most}, got {getattr(self, name)}; 0 chooses by the machine")
        for name, allowed in (("device", DEVICES), ("precision", PRECISIONS), ("preprocess", VARIANTS)):
            if getattr(self, name) not in allowed:
                listed = f"{', '.join(allowed[:-1])} or {allowed[-1]}"
                found.append(f"--{name} must be {listed}, got {getattr(self, name)!r}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectConfig(BasisConfig):
    """Flags of ``select``."""

    recipe: str = flag("dfn", "name of a recipe (`winnow recipes` lists them) or path of a .yaml file")
    keep_fraction: float | None = flag(None, "share to keep, in (0, 1]; replaces the recipe's top_fraction")
    set: tuple[str, ...] = flag((), "another parameter of the recipe, STEP.PARAMETER=VALUE; may be repeated")
    seed: int = flag(0, "of every draw and tie; equal seeds give equal bytes")
    max_reject_fraction: float = flag(0.01, "fail when a larger share of the samples is rejected, in [0, 1]")

    def problems(self) -> list[str]:
        found = super().problems()
        if self.keep_fraction is not None and not 0 < self.keep_fraction <= 1:
            found.append(f"--keep_fraction must be in (0, 1], got {self.keep_fraction}; 0.15 keeps the best 15 %")
        if not 0 <= self.max_reject_fraction <= 1:
            found.append(f"--max_reject_fraction must be in [0, 1], got {self.max_reject_fraction}")
        found += [
            f"--set must be STEP.PARAMETER=VALUE, got {text!r}"
            for text in self.set
            if "=" not in text or "." not in text
        ]
        return found


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
    format: str = flag("webdataset", "webdataset, parquet or tfrecord")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateConfig(ScoreConfig, SelectConfig, ReshardConfig, GateConfig):
    """Flags of ``curate``: those of score, select, reshard and publish."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig(PoolConfig):
    """Flags of ``verify``."""

    compare_input: bool = flag(True, "also compare every written sample with the bytes of its input shard")


MOST = {"batch_size": 16_384, "threads": 1024, "decode_threads": 1024}
"""Upper bounds: pixels of more images at 224 px than fit beside a network on a GPU, more threads than machines have."""
BATCH_SIZES = {"cpu": 8, "cuda": 256}  # activations of eight images stay in memory that malloc keeps
PRECISION_OF = {"cpu": "fp32", "cuda": "fp16"}  # of --precision auto

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
