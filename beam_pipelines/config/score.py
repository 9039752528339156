"""Flags of ``winnow score``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig
from beam_pipelines.config.train import DEFAULT_MODEL

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
VARIANTS = ("exact", "fast", "gpu")


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


MOST = {"batch_size": 16_384, "threads": 1024, "decode_threads": 1024}
BATCH_SIZES = {"cpu": 8, "cuda": 256}  # activations of eight images stay in memory that malloc keeps
PRECISION_OF = {"cpu": "fp32", "cuda": "fp16"}  # of --precision auto
