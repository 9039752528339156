import itertools

import numpy as np
import pyarrow as pa
import pytest

from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.workers.pool_batches import PoolBatches

SIZES = (10, 7, 0, 13, 9)


@pytest.fixture
def pool(tmp_path):
    store = Store(str(tmp_path))
    random = np.random.default_rng(0)
    for shard, size in enumerate(SIZES):
        index = {name: [""] * size for name in columns.INDEX_SCHEMA.names}
        for field in columns.INDEX_SCHEMA:
            if pa.types.is_integer(field.type):
                index[field.name] = [0] * size
        index["uid"] = [f"{shard:016x}{row:016x}" for row in range(size)]
        index["status"] = ["image_missing" if row == 1 else "ok" for row in range(size)]
        store.write("index", f"{shard:05d}", pa.table(index, schema=columns.INDEX_SCHEMA), "i")
        score = (1e6 + random.normal(size=size)).astype(np.float64)
        score[2:3] = np.nan
        number = np.array([100 * shard + row for row in range(size)], np.float32)
        store.write("a", f"{shard:05d}", pa.table({"score": score, "number": number, "same": np.ones(size)}), "a")
    return store


def make(store, **changes):
    refs = [ShardRef(f"{shard:05d}", "", 0) for shard in range(len(SIZES))]
    where = {"a.score": ("a", "score"), "n": ("a", "number"), "same": ("a", "same")}
    return PoolBatches(store, refs, where, **{"batch_size": 4, "shards_at_once": 2, **changes})


def valid(store):
    found = {}
    for shard, size in enumerate(SIZES):
        score = store.read("a", f"{shard:05d}")["score"].to_numpy()
        found |= {100 * shard + row: score[row] for row in range(size) if row != 1 and np.isfinite(score[row])}
    return found


def test_the_survey_measures_what_can_be_trained_on(pool):
    survey = make(pool).survey(["a.score"])
    scores = np.array(list(valid(pool).values()))
    assert sum(survey.counts.values()) == len(scores) == 31
    assert survey.counts["00002"] == 0
    assert survey.mean["a.score"] == pytest.approx(scores.mean(), rel=1e-12)
    assert survey.std["a.score"] == pytest.approx(scores.std(), rel=1e-9)


def test_an_epoch_shows_each_sample_once_at_most_and_the_next_another_order(pool):
    batches = make(pool, shards_at_once=5)
    survey = batches.survey(["a.score"])
    found = [rows.arrays["n"].tolist() for rows in itertools.islice(batches.batches(survey), 14)]
    assert all(len(rows) == 4 for rows in found)
    epochs = [list(itertools.chain.from_iterable(part)) for part in (found[:7], found[7:])]
    for epoch in epochs:
        assert len(set(epoch)) == 28
        assert set(epoch) <= set(valid(pool))
    assert epochs[0] != epochs[1]
    assert {int(n) // 100 for n in found[0] + found[1]} > {int(found[0][0]) // 100}


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_batches_from_a_later_step_on_are_those_of_the_whole_run(pool, at_once):
    batches = make(pool, shards_at_once=at_once, seed=3)
    survey = batches.survey(["a.score"])
    whole = [rows.arrays["n"].tolist() for rows in itertools.islice(batches.batches(survey), 30)]
    for first in (1, 6, 17):
        later = [rows.arrays["n"].tolist() for rows in itertools.islice(batches.batches(survey, first), 30 - first)]
        assert later == whole[first:]
    other = make(pool, shards_at_once=at_once, seed=4)
    assert whole != [rows.arrays["n"].tolist() for rows in itertools.islice(other.batches(survey), 30)]


def test_fewer_samples_than_a_batch_are_a_batch(pool):
    batches = make(pool, batch_size=100, shards_at_once=5)
    survey = batches.survey(["a.score"])
    assert sorted(next(batches.batches(survey)).arrays["n"].tolist()) == sorted(valid(pool))


def test_a_column_that_is_constant_and_a_pool_with_nothing_are_refused(pool):
    with pytest.raises(InputError, match="--score same is the same for every sample"):
        make(pool).survey(["a.score", "same"])
    batches = make(pool)
    empty = PoolBatches(pool, batches.refs[2:3], batches.where, 4)
    with pytest.raises(InputError, match="it takes two or more"):
        empty.survey([])
