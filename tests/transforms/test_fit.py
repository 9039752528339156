import functools
import itertools
import pickle

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.test_pipeline import TestPipeline as BeamPipeline
from apache_beam.testing.util import assert_that, equal_to

from tests.transforms.lib import oracles
from transforms.fit import FitRecipe, MergeSummariesFn
from transforms.lib.columnstore import columns
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.top_fraction import TopFraction, TopState
from transforms.outputs.store import BlockReader, Store
from transforms.rows import ShardRef

WHERE = {"score": ("net", "score"), "uid": ("index", "uid")}


def store_of(tmp_path, shards):
    """Writes index and scores of shards given as name -> (scores, uids); NaN stands for a rejected sample."""
    store = Store(str(tmp_path))
    refs = []
    sizes = dict.fromkeys(("width", "height", "original_width", "original_height", "phash"), 0)
    for name, (scores, ids) in shards.items():
        rows = [
            {**dict.fromkeys(columns.INDEX_SCHEMA.names, ""), "uid": uid, "offset": 0, "length": 0, "image_bytes": 0,
             **sizes, "status": "ok" if np.isfinite(score) else "image_missing"}
            for score, uid in zip(scores, ids, strict=True)
        ]  # fmt: skip
        store.write("index", name, pa.Table.from_pylist(rows, columns.INDEX_SCHEMA), "s")
        zeros = np.zeros((len(scores), 4), np.float32)
        store.write("net", name, columns.score_table(np.array(scores, np.float32), zeros, zeros), "s")
        refs.append(ShardRef(name, "x.tar", 1))
    return store, refs


def pool(seed, ties):
    random = np.random.default_rng(seed)
    shards = {}
    for number, rows in enumerate((0, 7, 40, 1)):
        scores = random.integers(0, 3, rows) / 4 if ties else random.normal(size=rows).astype(np.float32)
        scores = np.where(random.random(rows) < 0.1, np.nan, scores)
        shards[f"s{number}"] = (scores.tolist(), [f"{number * 1000 + row:032x}" for row in range(rows)])
    return shards


@pytest.mark.parametrize("ties", [False, True])
def test_a_fitted_recipe_decides_as_a_full_sort_would(tmp_path, ties):
    shards = pool(3, ties)
    store, refs = store_of(tmp_path, shards)
    made = recipe.Recipe("r", "", (TopFraction("top", fraction=0.3, seed=5),))
    reader = BlockReader(store, WHERE)
    expected = oracles.top_fraction(shards, 0.3, seed=5)

    def kept(ref, states):
        decided = recipe.decide(made.steps, reader.block(ref, made.inputs()), states)
        return ref.name, (decided.copies > 0).tolist()

    with BeamPipeline(runner="FnApiRunner") as pipeline:
        found = pipeline | beam.Create(refs)
        states = found | FitRecipe(made, reader)
        assert_that(found | beam.Map(kept, beam.pvalue.AsSingleton(states)), equal_to(list(expected.items())))


def test_no_shard_at_all_fails_and_says_so(tmp_path):
    made = recipe.Recipe("r", "", (TopFraction("top"),))
    pipeline = BeamPipeline(runner="FnApiRunner")
    _ = pipeline | beam.Create([]) | FitRecipe(made, BlockReader(Store(str(tmp_path)), WHERE))
    with pytest.raises(Exception, match="the pool has no shard"):
        pipeline.run()


def test_a_recipe_without_steps_has_no_states(tmp_path):
    store, refs = store_of(tmp_path, pool(0, False))
    with BeamPipeline(runner="FnApiRunner") as pipeline:
        states = pipeline | beam.Create(refs) | FitRecipe(recipe.Recipe("r", "", ()), BlockReader(store, {}))
        assert_that(states, equal_to([()]))


@pytest.mark.parametrize("state", [TopState(), TopState(1, 10, 3, 0xBF000000, 1)])
def test_merging_summaries_obeys_the_laws_of_a_combiner(tmp_path, state):
    store, refs = store_of(tmp_path, pool(1, True))
    step = TopFraction("top", fraction=0.3)
    reader = BlockReader(store, WHERE)
    parts = [step.summarise(reader.block(ref, step.needs(state)), state) for ref in refs]
    merge = MergeSummariesFn(step)

    def total(order, split):
        halves = [functools.reduce(merge.add_input, part, merge.create_accumulator()) for part in split(list(order))]
        return merge.extract_output(merge.merge_accumulators(pickle.loads(pickle.dumps(halves))))

    results = [
        total(order, lambda rows, cut=cut: (rows[:cut], [], rows[cut:]))
        for order in itertools.permutations(parts)
        for cut in range(len(parts) + 1)
    ]
    flat = [np.concatenate([np.ravel(part) for part in (r if isinstance(r, tuple) else (r,))]) for r in results]
    assert all((one == flat[0]).all() for one in flat)
    assert merge.extract_output(merge.merge_accumulators([])) is None


def test_a_sample_without_a_finite_score_is_not_valid(tmp_path):
    store, refs = store_of(tmp_path, {"a": ([0.1, 0.2, 0.3], [str(n) * 32 for n in range(3)])})
    zeros = np.zeros((3, 4), np.float32)
    scores = np.array([0.1, np.nan, np.inf], np.float32)
    store.write("net", "a", columns.score_table(scores, zeros, zeros), "s")
    block = BlockReader(store, WHERE).block(refs[0], ("uid",))
    assert block.valid.tolist() == [True, False, False]
    assert block.whole.tolist() == [True, True, True], "DataComp's rule counts them"


def test_column_sets_of_different_length_are_refused(tmp_path):
    store, refs = store_of(tmp_path, {"a": ([0.1, 0.2], ["0" * 32, "1" * 32])})
    zeros = np.zeros((3, 4), np.float32)
    store.write("net", "a", columns.score_table(np.zeros(3, np.float32), zeros, zeros), "s")
    with pytest.raises(ValueError, match="differ in length; score it again"):
        BlockReader(store, WHERE).block(refs[0], ("score",))


def test_text_and_whole_numbers_reach_a_step_as_they_are(tmp_path):
    store, refs = store_of(tmp_path, {"a": ([0.1, np.nan, 0.3], [str(n) * 32 for n in range(3)])})
    table = pa.table({"label": ["en", "", "de"], "words": pa.array([3, 0, 70_000], pa.int32())})
    store.write("made", "a", table, "s")
    where = {**WHERE, "made.label": ("made", "label"), "made.words": ("made", "words"), "image": ("net", "image")}
    reader = BlockReader(store, where)
    block = reader.block(refs[0], ("made.label", "made.words"))
    assert block.columns["made.label"].tolist() == ["en", "", "de"]
    assert block.columns["made.words"].tolist() == [3, 0, 70_000]
    assert block.valid.tolist() == [True, False, True]
    plain = reader.block(refs[0], ("score",))
    assert set(plain.columns) == {"score"}, "what no round asks for is not read"
