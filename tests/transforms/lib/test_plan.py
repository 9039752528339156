from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import plan

COPIES = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 4), max_size=20), max_size=6)


def sources(copies):
    return [plan.Source(n, f"{n}.tar", "s", plan.counts_of(np.array(c, np.uint16))) for n, c in copies.items()]


def expand(copies, outputs):
    """Returns for each output shard the (shard, row, copy) it holds."""
    found = []
    for output in outputs:
        rows = []
        for s in output.segments:
            eligible = [row for row, c in enumerate(copies[s.name]) if c > s.copy]
            rows += [(s.name, row, s.copy) for row in eligible[s.start : s.stop]]
        found.append(rows)
    return found


@given(COPIES, st.integers(1, 9), st.integers(0, 3))
def test_every_copy_lies_in_exactly_one_output_shard(copies, size, seed):
    outputs = list(plan.output_shards(sources(copies), size, seed))
    placed = Counter(place for rows in expand(copies, outputs) for place in rows)
    assert placed == Counter((n, r, j) for n, rows in copies.items() for r, c in enumerate(rows) for j in range(c))


@given(COPIES, st.integers(1, 9), st.integers(0, 3))
def test_all_output_shards_but_the_last_are_full_and_numbered_densely(copies, size, seed):
    outputs = list(plan.output_shards(sources(copies), size, seed))
    assert [output.number for output in outputs] == list(range(len(outputs)))
    assert all(output.num_samples == size for output in outputs[:-1])
    assert all(0 < output.num_samples <= size for output in outputs)


@given(COPIES, st.integers(1, 9), st.randoms())
def test_the_plan_does_not_depend_on_the_order_of_the_sources(copies, size, random):
    ordered = sources(copies)
    shuffled = list(ordered)
    random.shuffle(shuffled)
    assert list(plan.output_shards(ordered, size, 1)) == list(plan.output_shards(shuffled, size, 1))


def test_counts_say_how_many_samples_have_more_than_j_copies():
    assert plan.counts_of(np.array([0, 1, 3, 1, 0], np.uint16)) == (3, 1, 1)
    assert plan.counts_of(np.zeros(3, np.uint16)) == ()


def test_another_seed_gives_another_order_of_shards():
    names = [str(n) for n in range(50)]
    assert plan.shard_order(names, 0) != plan.shard_order(names, 1)
    assert sorted(plan.shard_order(names, 0)) == sorted(names)
