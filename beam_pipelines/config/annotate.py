"""What the jobs that add columns from elsewhere, and the one that explains, can be told. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import difflib

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig
from transforms.lib import registry

COLUMN_SETS = tuple(registry.ANNOTATORS)
"""What ``annotate`` can add."""


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
