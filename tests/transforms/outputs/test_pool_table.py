"""The pool as a table: workers read its parts, and whoever starts a job reads none of them."""

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms.lib.columnstore.set_record import SetRecord
from transforms.lib.errors import InputError
from transforms.outputs import pool_table
from transforms.rows import Shard
from transforms.shards import ListNumbered, ListRefs

SHARDS = [Shard(f"{number:03d}", f"pool/{number:03d}.tar", number, f"s{number}") for number in range(7)]


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_table, "GROUP", 3)
    pool_table.write(str(tmp_path), SHARDS[::-1])
    return pool_table.read(str(tmp_path))


def test_a_pool_is_a_sequence_of_its_shards_by_name(pool):
    refs = list(map(pool_table.ref_of, SHARDS))
    assert (len(pool), list(pool), pool[0], pool[-1], pool[2:5]) == (7, refs, refs[0], refs[-1], refs[2:5])
    assert pool.group_rows == (3, 3, 1)
    with pytest.raises(IndexError):
        pool[7]


def test_what_is_planned_is_what_is_written(pool, tmp_path):
    assert pool_table.planned(str(tmp_path), SHARDS) == pool


def test_workers_read_the_shards_with_their_numbers(pool):
    with beam.Pipeline() as pipeline:
        numbered = pipeline | "Numbered" >> ListNumbered(pool, 10)
        assert_that(numbered, equal_to(list(enumerate(SHARDS, 10))), "numbers")
        assert_that(pipeline | "Refs" >> ListRefs(pool), equal_to(list(pool)), "refs")


def test_a_pool_that_was_replaced_meanwhile_is_refused(pool, tmp_path):
    pool_table.write(str(tmp_path), SHARDS[:6])
    with pytest.raises(InputError, match="another pool since this job began; run the job again"):
        pool.parts()[0].shards()


def test_the_parts_of_a_set_add_up_to_the_set(pool):
    files = {shard.name: shard.stamp for shard in SHARDS}
    first = SetRecord.of(dict(list(files.items())[:2]))
    rest = SetRecord.of(dict(list(files.items())[2:]))
    whole = SetRecord.of(files)
    assert rest + first == whole == SetRecord.from_dict(whole.as_dict())
    assert pool.has_all(whole)
    assert not pool.has_all(first)
    assert not pool.has_all(SetRecord.of({**dict(list(files.items())[:6]), "another": "s"}))


def test_a_table_without_a_digest_of_its_names_is_read_for_them(pool):
    older = pool_table.Pool(pool.uri, pool.stamp, pool.group_rows)
    assert older.has_all(SetRecord.of({shard.name: "" for shard in SHARDS}))
