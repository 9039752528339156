"""What every annotator must do, whatever it computes; a new annotator is tested once its module is there."""

import importlib
import inspect
import json
import pickle
import pkgutil
import shutil

import numpy as np
import pyarrow as pa
import pytest

from tests.laws import examples
from transforms.lib import annotators, registry
from transforms.lib.annotators.annotator import Annotator

ALL = examples.pairs(registry.ANNOTATORS, examples.ANNOTATORS)


class Case:
    """An annotator of an example, and a shard for it."""

    def __init__(self, name, example, folder):
        self.addresses = example.files(folder)
        self.annotator = self.resolve(name, {**example.settings, **self.addresses})
        self.block = examples.only(examples.table(40, 0), self.annotator.inputs())

    @staticmethod
    def resolve(name, flags):
        return registry.ANNOTATORS[name].load().resolve(name, flags, lambda address: address)

    def table(self, block, annotator=None):
        return (annotator or self.annotator).load(lambda address: address)(block)


@pytest.fixture
def case(name, example, tmp_path):
    return Case(name, examples.checked(name, example), tmp_path)


laws = pytest.mark.parametrize(("name", "example"), ALL)


def test_every_annotator_is_registered():
    named = {
        name
        for module in pkgutil.iter_modules(annotators.__path__, f"{annotators.__name__}.")
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(value, Annotator) and not inspect.isabstract(value)
        for name in value.column_sets
    }
    assert named == set(registry.ANNOTATORS)
    assert all(name in entry.load().column_sets for name, entry in registry.ANNOTATORS.items())


@laws
def test_an_annotator_bears_the_name_of_its_column_set(case, name):
    assert case.annotator.name == name


@laws
def test_a_table_is_row_aligned_and_its_schema_never_changes(case):
    table = case.table(case.block)
    assert table.num_rows == len(case.block.valid)
    for rows in ([], [0], np.flatnonzero(~case.block.valid), np.flatnonzero(case.block.valid)):
        part = case.table(examples.rows_of(case.block, np.asarray(rows, int), "part"))
        assert part.num_rows == len(rows)
        assert part.schema == table.schema


@laws
def test_a_valid_row_has_values_and_an_invalid_one_no_number(case):
    table = case.table(case.block)
    for name in table.column_names:
        assert table[name].null_count == 0
        if pa.types.is_floating(table.schema.field(name).type):
            assert np.array_equal(np.isfinite(table[name].to_numpy()), case.block.valid)


@laws
def test_the_same_annotator_makes_the_same_table_on_any_worker(case):
    sent = pickle.loads(pickle.dumps(case.annotator))
    assert sent == case.annotator
    work = case.annotator.load(lambda address: address)
    tables = [work(case.block), work(case.block), case.table(case.block), case.table(case.block, sent)]
    ends = [one.to_pydict() for one in tables]
    for end in ends[1:]:
        np.testing.assert_equal(end, ends[0])


@laws
def test_what_made_a_column_set_is_json_and_holds_no_address(case, name, example, tmp_path):
    made_by = case.annotator.made_by()
    text = json.dumps(made_by, allow_nan=False)
    assert made_by["kind"] == registry.ANNOTATORS[name].load().kind
    assert not [address for address in case.addresses.values() if address in text]
    moved = {flag: shutil.copy(address, f"{address}.moved.npy") for flag, address in case.addresses.items()}
    assert case.resolve(name, {**example.settings, **moved}).made_by() == made_by
