"""Add the books of all shards, write them, and fail the job when they do not close."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

from transforms.lib.errors import AccountsError
from transforms.lib.recipes import accounts
from transforms.lib.recipes import recipe as recipes
from transforms.outputs import file_rows, selections
from transforms.rows import FileRow


class MergeBooksFn(beam.CombineFn):
    """Adds books."""

    def create_accumulator(self) -> accounts.Books:
        return accounts.Books()

    def add_input(self, total: accounts.Books, books: accounts.Books) -> accounts.Books:
        return accounts.merge(total, books)

    def merge_accumulators(self, totals: Iterable[accounts.Books]) -> accounts.Books:
        merged = accounts.Books()
        for books in totals:
            merged = accounts.merge(merged, books)
        return merged

    def extract_output(self, total: accounts.Books) -> accounts.Books:
        return total


class Closed(NamedTuple):
    """The books of the whole pool, checked.

    Attributes:
      books: of the pool.
      file: ``books.json``.
      summary: its content.
    """

    books: accounts.Books
    file: FileRow
    summary: dict[str, Any]


def close_books(
    books: accounts.Books,
    states: tuple[Any, ...],
    repeated: accounts.Repeated,
    coverage: Mapping[str, accounts.Coverage],
    root: str,
    selection: str,
    recipe: recipes.Recipe,
    limits: accounts.Limits,
) -> Closed:
    """Writes ``books.json``, then checks the books of the whole pool.

    Args:
      books: of the pool.
      states: the solved states of all steps.
      repeated: kept samples that share their uid.
      coverage: label of a step that selects by a subset file -> what was found of it.
      root: the output folder.
      recipe: what decided.
      limits: what is no failure.

    Raises:
      AccountsError: they do not close, too many samples were rejected, too many shards are lost, too little of a
        subset was found, or uids are repeated and may not be; the file is there all the same.
    """
    try:
        accounts.check_closed(books, "the pool")
        accounts.check_coverage(coverage, limits.min_coverage)
        accounts.check_repeated(repeated, limits.on_repeated_uid)
        books.lost.check(limits.max_unreadable_fraction)
        accounts.check_rejects(books, limits.max_reject_fraction)
        failure = ""
    except AccountsError as error:
        failure = str(error)
    document = {"failure": failure, **books.as_dict(), "fitted": fitted(recipe, states), "selection": selection}
    if repeated.uids:
        document["repeated_uids"] = repeated._asdict()
    if coverage:
        document["subsets"] = {label: found._asdict() for label, found in sorted(coverage.items())}
    data = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    row = file_rows.write(root, selections.path_of(selection, "books.json"), data)
    if failure:
        raise AccountsError(failure)
    return Closed(books, row, document)


def fitted(recipe: recipes.Recipe, states: tuple[Any, ...]) -> dict[str, dict[str, float | int | str]]:
    """Returns step label -> what was fitted; infinities as text, since JSON has none."""
    facts = {step.label: step.facts(state) for step, state in zip(recipe.steps, states, strict=True)}
    return {label: {name: _json(value) for name, value in values.items()} for label, values in facts.items()}


def _json(value: float | int | str) -> float | int | str:
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value
