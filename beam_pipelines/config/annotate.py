"""Flags of ``winnow annotate``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag, names_in
from beam_pipelines.config.crawl import PoolConfig
from transforms.lib import registry, similar

COLUMN_SETS = tuple(registry.ANNOTATORS)
"""What ``annotate`` can add."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotateConfig(PoolConfig):
    """Flags of ``annotate``."""

    columns: tuple[str, ...] = flag(
        (),
        f"column sets to add, separated by commas: {', '.join(COLUMN_SETS)}; may be repeated",
        required=f"name column sets: {', '.join(COLUMN_SETS)}",
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
    temperature: float = flag(
        0.01, "temperature of negclip; that of the model's training", at_least=0.005, hint="0.01 is OpenAI's"
    )
    aesthetic_head: str = flag("", "weights of aesthetic: a head on image embeddings, .safetensors")
    nsfw_head: str = flag("", "weights of nsfw: a head on image embeddings, .safetensors")
    logit_scale: float = flag(0.0, "factor of the cosine in siglip, exp(t') of the network", at_least=0)
    logit_bias: float = flag(0.0, "bias of siglip, b of the network")
    batch: int = flag(32_768, "pairs in a random batch of negclip; never of more than one shard", at_least=2)
    repeats: int = flag(10, "random batches that negclip puts each pair in", at_least=1)
    seed: int = flag(0, "seed of the random batches", at_least=0)

    def wanted(self) -> list[str]:
        """Returns the names of the column sets, each once, in the order of the flag."""
        return list(names_in(self.columns))

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.columns and not self.wanted():
            problems.append(f"--columns is missing; name column sets: {', '.join(COLUMN_SETS)}")
        for name in self.wanted():
            if name not in COLUMN_SETS and name not in registry.ANNOTATORS:
                known = registry.ANNOTATORS.every()
                hint = similar.did_you_mean(name, known, f"there are {', '.join(known)}")
                problems.append(f"--columns {name} is unknown; {hint}")
        return problems
