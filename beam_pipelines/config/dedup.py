"""Flags of ``winnow dedup``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import SET_NAME, flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class DedupConfig(PoolConfig):
    """Flags of ``dedup``.

    Epsilon and its shares: SemDeDup, arXiv:2303.09540; docs/dedup.md has the table.
    """

    by: str = flag(
        "exact",
        "what makes two samples duplicates",
        choices={
            "exact": "equal image bytes",
            "uid": "",
            "phash": "near perceptual hashes",
            "semantic": "SemDeDup, near embeddings inside a cluster",
            "contamination": "near the embeddings of an evaluation set",
        },
    )
    name: str = flag("", "column set to write; default: dedup_BY", form=SET_NAME, hint="it names the column set")
    order: str = flag(
        "",
        "which of a group survives; hard and easy are for semantic; default: hard for semantic, else best with "
        "--score, else random",
        choices={
            "hard": "the least similar to its centroid",
            "easy": "the most similar to it",
            "random": "",
            "best": "the largest --score",
        },
    )
    score: str = flag("", "float column that --order best goes by, such as tinyclip.score; a sample without it is last")
    seed: int = flag(0, "seed of the order of samples that are equal in --order", at_least=0)
    radius: int = flag(
        2,
        "most bits of 64 in which hashes of duplicates differ; for --by phash",
        at_least=0,
        at_most=8,
        hint="more bits are no near duplicates",
    )
    epsilon: float = flag(
        0.07,
        "distance, 1 - cosine, below which images are duplicates; a larger one drops more; for --by semantic",
        above=0,
        at_most=1,
        hint="0.07 keeps 63 % of LAION-440M",
    )
    chains: str = flag(
        "released",
        "which samples go when a is close to b and b to c; for --by semantic",
        choices={
            "released": "those with any close sample before them",
            "paper": "all but the first of each connected group",
            "leaders": "those with a close sample before them that stays",
        },
    )
    clusters: str = flag(
        "", "column set with cluster and similarity; default: the only one there is; for --by semantic"
    )
    model: str = flag("", "column set with the image embeddings; default: the only one there is")
    against: str = flag("", "output folder of an earlier pool: its samples survive, and copies of them go")
    against_embeddings: str = flag(
        "",
        "embeddings of an evaluation set by the same network, .npy or .safetensors; unit rows; for --by contamination",
    )
    threshold: float = flag(
        0.95, "cosine above which an image is in the evaluation set; for --by contamination", at_least=0, below=1
    )

    def column_set(self) -> str:
        """Returns the name of the column set that is written."""
        return self.name or f"dedup_{self.by}"

    def survivor(self) -> str:
        """Returns which of a group survives: the value of ``--order``, or its default for these settings."""
        return self.order or ("hard" if self.by == "semantic" else "best" if self.score else "random")

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.order in ("hard", "easy") and self.by != "semantic":
            problems.append(f"--order {self.order} is by similarity to a centroid, which only --by semantic reads")
        if (self.survivor() == "best") != bool(self.score):
            problems.append("--order best and --score COLUMN go together; give both or neither")
        if (self.by == "contamination") != bool(self.against_embeddings):
            problems.append("--by contamination and --against_embeddings FILE go together; give both or neither")
        if self.by == "contamination" and (self.against or self.order or self.score):
            problems.append("--against, --order and --score say who survives; --by contamination keeps no match")
        if self.against and self.against.rstrip("/") == self.output.rstrip("/"):
            problems.append("--against is --output itself; name the output folder of an earlier pool")
        return problems
