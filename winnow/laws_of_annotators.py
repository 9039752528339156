"""What every annotator must do, whatever it computes: checks of one annotator with one set of flags."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.lib import registry
from transforms.lib.annotators.annotator import Annotator
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.contract.step import NUMBER
from winnow import blocks


def resolve(name: str, flags: Mapping[str, Any]) -> Annotator:
    """Returns the annotator of a column set, with the values of flags."""
    found: Annotator = registry.ANNOTATORS[name].load().resolve(name, flags, lambda address: address)
    return found


class Case:
    """An annotator with flags, and a shard for it.

    Args:
      name: of its column set.
      settings: flag of ``winnow annotate`` -> value.
      files: flag -> path, of the flags that name a file.
    """

    def __init__(self, name: str, settings: Mapping[str, Any], files: Mapping[str, str]) -> None:
        self.name, self.settings, self.addresses = name, settings, files
        self.annotator = resolve(name, {**settings, **files})
        table = blocks.table(40, 0, wanted=dict.fromkeys(self.annotator.inputs(), NUMBER))
        self.block = blocks.only(table, self.annotator.inputs())

    def table(self, block: Block, annotator: Annotator | None = None) -> pa.Table:
        """Returns what the annotator makes of a block."""
        return (annotator or self.annotator).load(lambda address: address)(block)


def an_annotator_bears_the_name_of_its_column_set(case: Case) -> None:
    """Its field ``name`` is what it was asked for by."""
    assert case.annotator.name == case.name


def a_table_is_row_aligned_and_its_schema_never_changes(case: Case) -> None:
    """Any rows of a shard give as many rows, of equal types; no row and one row too."""
    table = case.table(case.block)
    assert table.num_rows == len(case.block.valid)
    for rows in ([], [0], np.flatnonzero(~case.block.valid), np.flatnonzero(case.block.valid)):
        part = case.table(blocks.rows_of(case.block, np.asarray(rows, int), "part"))
        assert part.num_rows == len(rows)
        assert part.schema == table.schema


def a_valid_row_has_values_and_an_invalid_one_no_number(case: Case) -> None:
    """There are no nulls; a float is finite for a valid row, and NaN for another."""
    table = case.table(case.block)
    for name in table.column_names:
        assert table[name].null_count == 0
        if pa.types.is_floating(table.schema.field(name).type):
            assert np.array_equal(np.isfinite(table[name].to_numpy()), case.block.valid)


def the_same_annotator_makes_the_same_table_on_any_worker(case: Case) -> None:
    """It survives pickle, and gives equal values each time."""
    sent = pickle.loads(pickle.dumps(case.annotator))
    assert sent == case.annotator
    work = case.annotator.load(lambda address: address)
    tables = [work(case.block), work(case.block), case.table(case.block), case.table(case.block, sent)]
    ends = [one.to_pydict() for one in tables]
    for end in ends[1:]:
        np.testing.assert_equal(end, ends[0])


def what_made_a_column_set_is_json_and_holds_no_address(case: Case) -> None:
    """``made_by`` names ``kind`` and survives a move of the files."""
    made_by = case.annotator.made_by()
    text = json.dumps(made_by, allow_nan=False)
    assert made_by["kind"] == registry.ANNOTATORS[case.name].load().kind
    assert not [address for address in case.addresses.values() if address in text]
    moved = {flag: shutil.copy(address, f"{address}.moved.npy") for flag, address in case.addresses.items()}
    assert resolve(case.name, {**case.settings, **moved}).made_by() == made_by


LAWS: Sequence[Callable[[Case], None]] = (
    an_annotator_bears_the_name_of_its_column_set,
    a_table_is_row_aligned_and_its_schema_never_changes,
    a_valid_row_has_values_and_an_invalid_one_no_number,
    the_same_annotator_makes_the_same_table_on_any_worker,
    what_made_a_column_set_is_json_and_holds_no_address,
)
