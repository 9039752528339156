"""Balancing in every language by its own metadata list, as MetaCLIP 2 curates: equal shares of the tail."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes.contract.step import TEXT, UID
from transforms.lib.recipes.steps.metaclip import BalanceState, MetaClip
from transforms.lib.recipes.text import metadata_match

OTHER = "other"
"""The list for captions whose language has none."""


def tail_share(limit: int, counts: Int64) -> float:
    """Returns the share of all mentions that entries named less than ``limit`` times have, ``t_to_p`` of the paper."""
    total = int(counts.sum())
    return float(counts[counts < limit].sum()) / total if total else 0.0


def limit_of(share: float, counts: Int64) -> int:
    """Returns the count up to which entries have the share of all mentions that is nearest, ``p_to_t`` of the paper.

    Args:
      share: in [0, 1].
      counts: int64 ``[entries]``; with no mention at all the limit is 1.
    """
    ordered = np.sort(counts)
    if not len(ordered) or not ordered[-1]:
        return 1
    along = np.cumsum(ordered) / ordered.sum()
    return max(1, int(ordered[np.abs(along - share).argmin()]))


@dataclasses.dataclass(frozen=True)
class MetaClip2(MetaClip):
    """Keeps a sample with a chance that falls with how common the entries of its own language are that it names.

    As ``metaclip``, with a list for each language: a caption is matched against the list of its language, or against
    ``other`` where there is none, and dropped where there is neither. The limit is that of the language ``base``. That
    says which share of its mentions belongs to its tail, the entries named less often than the limit; the limit of
    every other language is the count up to which its own entries have the same share.

    Cost: as ``metaclip``, of all lists together.

    Source: Chuang et al. 2025, "Meta CLIP 2: A Worldwide Scaling Recipe", arXiv:2507.22062, section 3 and algorithm 1.
    The paper finds the language by its own identifier; here it is a column.

    Attributes:
      column: the column of captions.
      metadata: the lists, a JSON object of language -> list of strings.
      limit: ``t`` of the language ``base``.
      seed: of the draws.
      languages: the column of languages, as ``winnow annotate --columns language`` writes it.
      base: the language that ``limit`` is of.
    """

    kind = "metaclip2"

    languages: str = "language.label"
    base: str = "en"

    def check_files(self, files: Mapping[str, str]) -> None:
        lists = metadata_match.read_languages(files[f"{self.label}.metadata"])
        if self.base not in lists:
            raise InputError(
                f"{self.label}.base: {self.metadata} has no list of {self.base!r}, the language that limit is of; "
                f"it has {', '.join(lists)}"
            )
        self._matchers(files)

    def _matchers(self, files: Mapping[str, str]) -> dict[str, metadata_match.EntryMatcher]:
        return metadata_match.matchers(files[f"{self.label}.metadata"])

    def input_types(self) -> tuple[str, ...]:
        return (TEXT, TEXT, UID)

    def inputs(self) -> tuple[str, ...]:
        return (self.column, self.languages, "uid")

    def hint(self, column: str) -> str:
        return "`winnow annotate --columns language` adds it" if column == self.languages else ""

    def needs(self, state: BalanceState) -> tuple[str, ...]:
        return (self.column, self.languages) if state.counts is None else ()

    def remembered_as(self) -> dict[str, Any]:
        return {**super().remembered_as(), "languages": self.languages}

    def _entries(self, files: Mapping[str, str]) -> int:
        return sum(one.entries for one in self._matchers(files).values())

    def _named(self, block: Block, rows: NDArray[np.intp]) -> tuple[Int64, Int64]:
        captions, labels = (block.columns[name][rows] for name in (self.column, self.languages))
        matchers = self._matchers(block.files)
        spoken = np.where(np.isin(labels.astype(str), list(matchers)), labels.astype(str), OTHER)
        found: list[tuple[Int64, Int64]] = []
        first = 0
        for language, matcher in matchers.items():
            here = np.flatnonzero(spoken == language)
            row, entry = matcher.match(captions[here])
            found.append((here[row], entry + first))
            first += matcher.entries
        row, entry = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((entry, row))
        return row[order], entry[order]

    def _limits(self, block: Block, counts: Int64) -> Int64:
        sizes = {language: one.entries for language, one in self._matchers(block.files).items()}
        parts = dict(zip(sizes, np.split(counts, np.cumsum(list(sizes.values()))[:-1]), strict=True))
        share = tail_share(self.limit, parts[self.base])
        limits = [self.limit if name == self.base else limit_of(share, part) for name, part in parts.items()]
        return np.repeat(np.array(limits, np.int64), list(sizes.values()))

    def sentence(self) -> str:
        return (
            f"Balance over the entries of {self.metadata}, in each language over its own: an entry of {self.base} "
            f"passes about {self.limit} of the captions that name it; other languages keep as much of their tail; "
            f"seed {self.seed}."
        )

    def facts(self, state: BalanceState) -> dict[str, float | int | str]:
        found = super().facts(state)
        return {name: value for name, value in found.items() if name != "above_limit"}
