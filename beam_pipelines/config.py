"""What each job can be told: frozen dataclasses whose fields are the flags, and the check of all values at once.

Imports no Beam, no torch and no numpy, so that ``--help`` is instant.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import Any

DEFAULT_MODEL = "tinyclip"
SHUFFLES = ("none", "shards", "full")
FORMATS = ("webdataset", "parquet", "tfrecord")


def flag(default: Any, text: str, **more: Any) -> Any:
    """Returns a dataclass field that is also a command line flag; ``text`` says what, unit and range."""
    return dataclasses.field(default=default, metadata={"help": text, **more})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """What a job can be told."""

    def problems(self) -> list[str]:
        """Returns what is wrong with the values, one line each: flag, value, what is allowed, cure."""
        return []

    def recorded(self) -> dict[str, Any]:
        """Returns the values that determine the output, as JSON values: all but those about where and how fast.

        Repeated flags are sorted, since their order says nothing.
        """
        skip = {f.name for f in dataclasses.fields(self) if f.metadata.get("operational")} | {"output"}
        values = dataclasses.asdict(self)
        return {n: sorted(v) if isinstance(v, tuple) else v for n, v in sorted(values.items()) if n not in skip}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Flags):
    """Where a job works; every job that knows a pool has it."""

    output: str = flag("", "folder that holds everything Winnow writes: local, gs:// or s3:// (required)")

    def problems(self) -> list[str]:
        return [] if self.output else ["--output is missing; name the folder that Winnow writes to"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(Config):
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
    device: str = flag("cpu", "cpu or cuda; a GPU that is asked for and absent is an error")
    precision: str = flag("fp32", "fp32, bf16 or fp16; part of the scores' stamp")
    threads: int = flag(0, "threads of the model on CPU; 0 = all cores", operational=True)
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
        for name in ("batch_size", "threads", "decode_threads"):
            if getattr(self, name) < 0:
                found.append(f"--{name} must be at least 0, got {getattr(self, name)}")
        if self.device not in ("cpu", "cuda"):
            found.append(f"--device must be cpu or cuda, got {self.device!r}")
        if self.precision not in ("fp32", "bf16", "fp16"):
            found.append(f"--precision must be fp32, bf16 or fp16, got {self.precision!r}")
        return found


COLUMN_SETS = {
    "language": "language of the caption by fastText: label, probability",
    "cld3": "language of the caption by CLD3: label, probability",
    "caption": "counts of the caption: words, characters, tokens",
    "negclip": "negCLIPLoss: score",
    "normsim_2": "2-norm of the similarities to target images: score",
    "normsim_inf": "greatest similarity to a target image: score",
    "vas": "variance alignment with target images: score",
    "clipscore": "CLIPScore, the rescaled cosine: score",
}
"""What ``annotate`` can add, in words."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotateConfig(Config):
    """Flags of ``annotate``."""

    columns: tuple[str, ...] = flag(
        (), f"column sets to add, separated by commas: {', '.join(COLUMN_SETS)}; may be repeated (required)"
    )
    lid: str = flag(
        "",
        "fastText model that finds the language, FILE[#sha256=HEX], such as lid.176.bin; default: the packaged "
        "lid.176.ftz",
    )
    model: str = flag(
        "", "column set whose embeddings and score the related scores are made of; default: the only one there is"
    )
    target: str = flag("", "embeddings of target images by the same network, .npy or .safetensors; unit rows")
    temperature: float = flag(0.01, "of negclip; that of the model's training")
    batch: int = flag(32_768, "pairs in a random batch of negclip, never of more than one shard")
    repeats: int = flag(10, "random batches that negclip puts each pair in")
    seed: int = flag(0, "of the random batches")

    def wanted(self) -> list[str]:
        """Returns the names of the column sets, each once, in the order of the flag."""
        return list(dict.fromkeys(name.strip() for text in self.columns for name in text.split(",") if name.strip()))

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.wanted():
            found.append(f"--columns is missing; name column sets: {', '.join(COLUMN_SETS)}")
        for name in self.wanted():
            if name not in COLUMN_SETS:
                near = difflib.get_close_matches(name, COLUMN_SETS, 1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMN_SETS)}"
                found.append(f"--columns {name} is unknown; {hint}")
        if not self.temperature >= 0.005:
            found.append(f"--temperature must be at least 0.005, got {self.temperature}; 0.01 is OpenAI's")
        for name, least in (("batch", 2), ("repeats", 1), ("seed", 0)):
            if getattr(self, name) < least:
                found.append(f"--{name} must be at least {least}, got {getattr(self, name)}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectConfig(Config):
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
class ReshardConfig(Config):
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
class CurateConfig(ScoreConfig, SelectConfig, ReshardConfig):
    """Flags of ``curate``: those of score, select and reshard."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VerifyConfig(Config):
    """Flags of ``verify``."""

    compare_input: bool = flag(True, "also compare every written sample with the bytes of its input shard")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Flags of ``train-filter``."""

    input: tuple[str, ...] = flag((), "shards of clean pairs; as for curate (required)")
    model: str = flag(DEFAULT_MODEL, "what to train: as for curate, or a bare architecture from random weights")
    train: str = flag("projections", "projections (the towers stay as they are: minutes on a CPU) or towers")
    caption_field: str = flag("", "json field with the caption; default: the .txt member, then json `caption`")
    holdout_fraction: float = flag(0.1, "share of the captions held out to measure and to stop by, in (0, 1)")
    seed: int = flag(0, "of the start, the split, the order and the noise; equal seeds give equal weights")
    epochs: int = flag(60, "at most")
    patience: int = flag(10, "epochs without a better held-out loss before stopping")
    batch_size: int = flag(1024, "pairs a step; try 64 with --train towers")
    learning_rate: float = flag(1e-3, "of AdamW; try 1e-5 with --train towers")
    weight_decay: float = flag(0.1, "of AdamW")
    noise: float = flag(0.6, "added to the features of locked towers, in their own standard deviations")
    threads: int = flag(0, "threads of torch; 0 = all cores", operational=True)

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the shards of clean pairs")
        if self.train not in ("projections", "towers"):
            found.append(f"--train must be projections or towers, got {self.train!r}")
        if not 0 < self.holdout_fraction < 1:
            found.append(f"--holdout_fraction must be in (0, 1), got {self.holdout_fraction}")
        for name in ("epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                found.append(f"--{name} must be at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            found.append(f"--learning_rate must be above 0, got {self.learning_rate}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportConfig(Config):
    """Flags of ``import-scores``."""

    input: tuple[str, ...] = flag(
        (), "table of scores, .parquet or .csv with a header; a glob; may be repeated (required)"
    )
    by: str = flag("uid", "what names a sample, and the column of the table that has it: uid or key")
    name: str = flag("", "name of the column set to write (required)")
    columns: tuple[str, ...] = flag((), "column of numbers to import; may be repeated; default: all of them")
    min_coverage: float = flag(1.0, "fail when a smaller share of the readable samples has all values, in [0, 1]")

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the tables, for example --input scores.parquet")
        if self.by not in ("uid", "key"):
            found.append(f"--by must be uid or key, got {self.by!r}")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            found.append(f"--name must be letters, digits, _ and -, got {self.name!r}; it names the column set")
        if not 0 <= self.min_coverage <= 1:
            found.append(f"--min_coverage must be in [0, 1], got {self.min_coverage}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainConfig(Config):
    """What ``explain`` is asked."""

    uid: tuple[str, ...] = flag((), "uid of a sample, 1 to 32 hex digits; several at once (required)", positional=True)

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.uid:
            found.append("no uid is given; name the samples, for example `winnow explain 139e4a9b... --output OUT`")
        bad = [uid for uid in self.uid if not re.fullmatch(r"[0-9a-fA-F]{1,32}", uid)]
        return [*found, *(f"{uid!r} is no uid, which has 1 to 32 hex digits" for uid in bad)]

    def wanted(self) -> tuple[str, ...]:
        """Returns the uids as columns have them, each once."""
        return tuple(dict.fromkeys(uid.lower().zfill(32) for uid in self.uid))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Flags of ``export-subset``."""

    to: str = flag("", "subset file to write, .npy (required)")
    where: str = flag(
        "kept", "which uids: kept, one a copy; dropped, by any step; rejected; or the label of the step that dropped"
    )

    def problems(self) -> list[str]:
        return [*super().problems(), *([] if self.to else ["--to is missing; name the .npy file to write"])]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportSubsetConfig(Flags):
    """Flags of ``import-subset``."""

    input: str = flag(
        "",
        "list of uids: .txt, one a line; .parquet, column uid; or a subset file, with the .npy header or without "
        "(required)",
    )
    to: str = flag("", "subset file to write, .npy (required)")
    sort: bool = flag(False, "sort lists that are not sorted; otherwise they are refused")
    union: tuple[str, ...] = flag((), "list to add: each uid as often as where it is most often; may be repeated")
    intersect: tuple[str, ...] = flag((), "list of the uids that stay, with all their copies; may be repeated")
    subtract: tuple[str, ...] = flag((), "list of the uids that go, with all their copies; may be repeated")

    def problems(self) -> list[str]:
        missing = {"input": "name the list of uids", "to": "name the .npy file to write"}
        return [f"--{name} is missing; {cure}" for name, cure in missing.items() if not getattr(self, name)]


DATACOMP_SETS = ("clip_b32", "clip_l14")
"""Column sets of embeddings that DataComp publishes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetadataConfig(Config):
    """Flags of ``import-datacomp``."""

    input: tuple[str, ...] = flag(
        (), "folder of DataComp's metadata (.parquet, and .npz beside them), or a glob; may be repeated (required)"
    )
    embeddings: str = flag(
        "", "column sets to make of the .npz files: clip_b32,clip_l14 or one of them, or none; default: both if there"
    )
    copy: bool = flag(
        False, "copy the columns, so that the metadata may be deleted; default: they are read where they lie"
    )

    def wanted(self) -> tuple[str, ...]:
        """Returns the column sets that ``--embeddings`` names, each once; empty for none and for the default."""
        names = [name.strip() for name in self.embeddings.split(",")]
        return tuple(dict.fromkeys(name for name in names if name not in ("", "none")))

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.input:
            found.append("--input is missing; name the folder of DataComp's metadata")
        unknown = [name for name in self.wanted() if name not in DATACOMP_SETS]
        if unknown:
            found.append(f"--embeddings {','.join(unknown)} is unknown; give {', '.join(DATACOMP_SETS)} or none")
        return found


BATCH_SIZES = {"cpu": 8, "cuda": 256}  # activations of eight images stay in memory that malloc keeps

JOBS: dict[str, tuple[type[Flags], str]] = {
    "curate": (CurateConfig, "score a pool, select by a recipe, write better shards: all of it"),
    "score": (ScoreConfig, "add a model's scores and embeddings to the column store"),
    "annotate": (AnnotateConfig, "add column sets that need no image: language, counts, related scores"),
    "select": (SelectConfig, "turn columns into decisions by a recipe"),
    "explain": (ExplainConfig, "say why samples were kept or dropped, with every column they were judged by"),
    "export-subset": (ExportConfig, "write what was kept or dropped as a subset file"),
    "import-subset": (ImportSubsetConfig, "make a sorted subset file of any list of uids, joined with others"),
    "reshard": (ReshardJobConfig, "turn decisions, or a subset file, into equal output shards"),
    "import-scores": (ImportConfig, "bring scores of other tools into the column store"),
    "import-datacomp": (MetadataConfig, "make a pool of DataComp's published metadata, without any shard"),
    "verify": (VerifyConfig, "check every output against its manifest, its books and its input"),
    "train-filter": (TrainConfig, "train a filtering network on a pool of clean pairs"),
}
