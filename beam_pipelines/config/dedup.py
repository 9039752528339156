"""Flags of ``winnow dedup``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import re

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig

METHODS = ("exact", "uid", "phash", "semantic", "contamination")
ORDERS = ("hard", "easy", "random", "best")
CHAINS = ("released", "paper", "leaders")
_SEMANTIC = ("epsilon", "chains", "clusters")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DedupConfig(PoolConfig):
    """Flags of ``dedup``."""

    by: str = flag(
        "exact",
        "exact: equal image bytes; uid; phash: near perceptual hashes; semantic: SemDeDup, near embeddings inside a "
        "cluster; contamination: near the embeddings of an evaluation set",
        choices=METHODS,
    )
    name: str = flag("", "column set to write; default: dedup_BY")
    order: str = flag(
        "",
        "which of a group survives: random; best: the largest --score; of semantic also hard: the least similar to its "
        "centroid, and easy: the most similar; default: hard for semantic, else best with --score, else random",
        choices=("", *ORDERS),
    )
    score: str = flag("", "float column that --order best goes by, such as tinyclip.score; a sample without it is last")
    seed: int = flag(0, "of the order of samples that are equal in --order")
    radius: int = flag(2, "of phash: bits of 64 that may differ, 0 to 8")
    epsilon: float = flag(
        0.07, "of semantic: a cosine above 1 - epsilon is a copy, so a larger epsilon drops more; in (0, 1]"
    )
    chains: str = flag(
        "released",
        "of semantic, when a is close to b and b to c: released: a sample goes when any before it is close; paper: all "
        "but the first of each connected group go; leaders: it goes when one before it that stays is close",
        choices=CHAINS,
    )
    clusters: str = flag("", "of semantic: column set with cluster and similarity; default: the only one there is")
    model: str = flag("", "column set with the image embeddings; default: the only one there is")
    against: str = flag("", "output folder of an earlier pool: its samples survive, and copies of them go")
    against_embeddings: str = flag(
        "", "of contamination: embeddings of an evaluation set by the same network, .npy or .safetensors; unit rows"
    )
    threshold: float = flag(0.95, "of contamination: a cosine above it is a match, in [0, 1)")

    def column_set(self) -> str:
        """Returns the name of the column set that is written."""
        return self.name or f"dedup_{self.by}"

    def survivor(self) -> str:
        """Returns the order that holds, a default made out."""
        return self.order or ("hard" if self.by == "semantic" else "best" if self.score else "random")

    def problems(self) -> list[str]:
        found = super().problems()
        for name, allowed in (("by", METHODS), ("order", ("", *ORDERS)), ("chains", CHAINS)):
            if getattr(self, name) not in allowed:
                found.append(f"--{name} must be {' or '.join(filter(None, allowed))}, got {getattr(self, name)!r}")
        if not re.fullmatch(r"[A-Za-z0-9_-]*", self.name):
            found.append(f"--name must be letters, digits, _ and -, got {self.name!r}; it names the column set")
        if self.order in ("hard", "easy") and self.by != "semantic":
            found.append(f"--order {self.order} is by similarity to a centroid, which only --by semantic reads")
        if (self.survivor() == "best") != bool(self.score):
            found.append("--order best and --score COLUMN go together; give both or neither")
        if self.seed < 0:
            found.append(f"--seed must be at least 0, got {self.seed}")
        if not 0 <= self.radius <= 8:
            found.append(f"--radius must be in 0 to 8, got {self.radius}; more bits are no near duplicates")
        if not 0 < self.epsilon <= 1:
            found.append(f"--epsilon must be in (0, 1], got {self.epsilon}; 0.07 keeps 63 % of LAION-440M")
        if not 0 <= self.threshold < 1:
            found.append(f"--threshold must be in [0, 1), got {self.threshold}")
        if (self.by == "contamination") != bool(self.against_embeddings):
            found.append("--by contamination and --against_embeddings FILE go together; give both or neither")
        if self.by == "contamination" and (self.against or self.order or self.score):
            found.append("--against, --order and --score say who survives; --by contamination keeps no match")
        if self.against and self.against.rstrip("/") == self.output.rstrip("/"):
            found.append("--against is --output itself; name the output folder of an earlier pool")
        return found
