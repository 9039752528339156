"""What the jobs that add columns from elsewhere, and the one that explains, can be told. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import difflib
import re

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig

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
DATACOMP_SETS = ("clip_b32", "clip_l14")
"""Column sets of embeddings that DataComp publishes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotateConfig(PoolConfig):
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
class ImportConfig(PoolConfig):
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
        if not self.name:
            found.append("--name is missing; it names the column set")
        elif not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            found.append(f"--name must be letters, digits, _ and -, got {self.name!r}; it names the column set")
        if not 0 <= self.min_coverage <= 1:
            found.append(f"--min_coverage must be in [0, 1], got {self.min_coverage}")
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class MetadataConfig(PoolConfig):
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExplainConfig(PoolConfig):
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
