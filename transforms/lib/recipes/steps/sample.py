"""Steps that draw copies: soft capped, hard capped, plain samples, and a random fraction; all exact, all by uid.

Every draw is keyed by (seed, uid): any number of workers, in any order, draws the same copies. Samples that bear one
uid share its draws; where the last copy falls between them, it goes by shard and row. Only samples that earlier steps
left take part, each once, however many copies they had.

Cost of a race, at any pool size: a round that reads the score column and merges 1 MiB; one that reads column and uids
and merges 512 KiB; one that merges the up to 65,536 events (40 bytes each) of the bin in which the draw ends. Above
some 700 million copies that bin is split once more (512 KiB). A worker holds its shard's columns (12 bytes per row
and about 30 while they are used) and 3 MB. Nothing per sample is shuffled: 12.8 billion rows in 1.28 million shards
move one summary per shard into the combiners' local sums, and one per bundle, 2 MiB in all rounds, over the network.

Cost of the sequential engine: one round that gathers 32 bytes per sample, at most 4,194,304 of them, in one place.
"""

from __future__ import annotations

import dataclasses
import math

from transforms.lib.columnstore.block import MAX_COPIES
from transforms.lib.recipes.sampling import draw_rules
from transforms.lib.recipes.sampling.draw_rules import UNCAPPED, Rules
from transforms.lib.recipes.sampling.draw_step import Drawing, DrawState
from transforms.lib.recipes.sampling.race import Race
from transforms.lib.recipes.sampling.sequential import SequentialDraw
from transforms.lib.stats import quantiles

ENGINES = ("auto", "race", "sequential")
FEWEST_BATCHES = 100  # with fewer the race does not stand for batches
AHEAD = 10  # nor, where there is a choice, if a sample is expected in more than one of so many batches


@dataclasses.dataclass(frozen=True)
class _Weighted(Drawing):
    """A draw of ``total`` copies with odds ``exp(column)``."""

    repeats = True

    column: str = "score"
    total: int = 0

    def faults(self) -> list[str]:
        problems = super().faults()
        if self.total < 0:
            problems.append(
                f"{self.label}.total must be at least 0 (0 = as many as samples take part), got {self.total}"
            )
        return problems

    def odds_column(self) -> str:
        return self.column

    def _by(self) -> str:
        return f"with odds exp({self.column})" if self.column else "with equal odds"

    def _number(self) -> str:
        return f"{self.total} copies" if self.total else "as many copies as samples"


@dataclasses.dataclass(frozen=True)
class SoftCapSample(_Weighted):
    """Draws copies with odds ``exp(column)``, where each copy lowers the score by ``alpha``: Soft Cap Sampling.

    As published, batches of ``batch`` distinct samples are drawn one after another and scores fall between them. That
    is the ``sequential`` engine, exact, for pools of up to 4,194,304 samples. The ``race`` engine draws one at a time,
    at any size, and keeps the published bound on the copies of a sample, one per batch. They agree where no sample is
    wanted so often that the bound holds it back, as in publication (1,280 batches, some 50 copies at most). ``auto``
    takes the race when there are at least 100 batches, and ten for each copy that the best sample can expect; in a
    pool too large for the sequential engine also when there is one for each. The number of copies is exact with
    either.

    Source: FLYT (Shechter and Carmon 2025, arXiv:2503.08805): alpha 0.15 and 0.25, batches of 100,000 and a total of
    128 million, the samples seen at DataComp's medium scale.

    Attributes:
      column: a float column of log-odds.
      total: copies to draw; 0 = as many as samples take part, DataComp's number of samples seen.
      seed: of the draws.
      alpha: penalty per copy, in the column's unit, at least 0.
      batch: copies drawn between two updates of the scores.
      engine: ``auto``, ``race`` or ``sequential``.
    """

    kind = "soft_cap_sample"

    alpha: float = 0.15
    batch: int = 100_000
    engine: str = "auto"

    def faults(self) -> list[str]:
        problems = super().faults()
        if not 0 <= self.alpha <= 1e6:
            problems.append(f"{self.label}.alpha must be in [0, 1e6], got {self.alpha}; published: 0.15 and 0.25")
        if self.batch < 1:
            problems.append(f"{self.label}.batch must be at least 1, got {self.batch}; published: 100000")
        if self.engine not in ENGINES:
            problems.append(f"{self.label}.engine must be one of {', '.join(ENGINES)}, got {self.engine!r}")
        return problems

    def _rules(self, valid: int, rows: int) -> Rules:
        total = self.total or rows
        batches = -(-total // min(self.batch, rows))
        return Rules(self.label, total, self.alpha, min(batches, UNCAPPED), self.batch)

    def _engine(self, rules: Rules, draw: DrawState) -> Race | SequentialDraw:
        engine = SequentialDraw(rules, draw.rows)
        most = max(1, math.ceil(draw_rules.most_expected(draw.counts, rules.total, rules.alpha)))
        ahead = AHEAD if engine.fits else 1
        stands = self.batch == 1 or engine.num_batches >= max(FEWEST_BATCHES, ahead * most)
        if self.engine == "race" or (self.engine == "auto" and stands):
            return super()._engine(rules, draw)
        engine.check(max(1, rules.total // max(FEWEST_BATCHES, most)))
        return engine

    def sentence(self) -> str:
        return (
            f"Draw {self._number()} {self._by()}; each copy lowers the score of its sample by {self.alpha:g}; "
            f"seed {self.seed}."
        )


@dataclasses.dataclass(frozen=True)
class HardCapSample(_Weighted):
    """Draws copies with odds ``exp(column)`` that never change, at most ``limit`` of a sample: Hard Cap Sampling.

    The published loop draws with replacement and refuses what has reached its limit; the race with a cap is the same
    process. Source: FLYT (Shechter and Carmon 2025, arXiv:2503.08805), limit 15.

    Attributes:
      column, total, seed: as in ``SoftCapSample``.
      limit: most copies per sample, 1 to 65,535.
    """

    kind = "hard_cap_sample"

    limit: int = 15

    def faults(self) -> list[str]:
        problems = super().faults()
        if not 1 <= self.limit <= MAX_COPIES:
            problems.append(f"{self.label}.limit must be in 1 .. {MAX_COPIES}, got {self.limit}; published: 15")
        return problems

    def _rules(self, valid: int, rows: int) -> Rules:
        return Rules(self.label, self.total or rows, 0.0, self.limit)

    def sentence(self) -> str:
        return f"Draw {self._number()} {self._by()}, at most {self.limit} per sample, seed {self.seed}."


@dataclasses.dataclass(frozen=True)
class Sample(_Weighted):
    """Draws samples with odds ``exp(column)``, or equal odds without a column; with replacement or without.

    Without replacement it is the draw one after another without putting back, by Gumbel top-k (Kool, van Hoof and
    Welling 2019, arXiv:1903.06059).

    Attributes:
      column: a float column of log-odds; empty for equal odds.
      total, seed: as in ``SoftCapSample``.
      replacement: whether a sample can be drawn again.
    """

    kind = "sample"

    column: str = ""
    replacement: bool = False

    def _rules(self, valid: int, rows: int) -> Rules:
        return Rules(self.label, self.total or rows, 0.0, UNCAPPED if self.replacement else 1)

    def sentence(self) -> str:
        how = "with" if self.replacement else "without"
        return f"Draw {self._number()} {how} replacement, {self._by()}, seed {self.seed}."


@dataclasses.dataclass(frozen=True)
class RandomFraction(Drawing):
    """Keeps exactly ``floor(fraction * N + 1/2)`` samples, any as likely as any other.

    ``N`` counts as in ``TopFraction``. Should fewer samples remain than are to be kept, all of them are.

    Source: the random subsets that DataComp (Gadre et al. 2023, arXiv:2304.14108) compares filters with.

    Attributes:
      fraction: share to keep, in (0, 1].
      of: ``pool`` or ``remaining``.
      seed: of the draw.
    """

    kind = "random_fraction"

    fraction: float = 0.5
    of: str = "remaining"

    def faults(self) -> list[str]:
        problems = super().faults()
        if not 0 < self.fraction <= 1:
            problems.append(f"{self.label}.fraction must be in (0, 1], got {self.fraction}; 0.5 keeps half")
        if self.of not in ("pool", "remaining"):
            problems.append(f"{self.label}.of must be pool or remaining, got {self.of!r}")
        return problems

    def _rules(self, valid: int, rows: int) -> Rules:
        keep = quantiles.number_kept(self.fraction, valid if self.of == "pool" else rows)
        return Rules(self.label, min(keep, rows), 0.0, 1)

    def sentence(self) -> str:
        whom = "all samples" if self.of == "pool" else "the samples that are left"
        return f"Keep a random {100 * self.fraction:.4g} % of {whom}, seed {self.seed}."
