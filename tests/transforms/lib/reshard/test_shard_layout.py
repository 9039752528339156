from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.reshard import shard_layout

COPIES = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.lists(st.integers(0, 6), max_size=20), max_size=6)
SIZES = st.integers(1, 25)
SHUFFLES = st.sampled_from(shard_layout.SHUFFLES)


def sources(copies):
    return [
        shard_layout.DecidedShard(n, f"{n}.tar", "s", shard_layout.counts_of(np.array(c, np.uint16)))
        for n, c in copies.items()
    ]


def expand(copies, outputs):
    """Returns for each output shard the (shard, row, copy) it holds."""
    found = []
    for output in outputs:
        rows = []
        for s in output.segments:
            meant = [row for row, c in enumerate(copies[s.name]) if s.least <= c <= s.most]
            steps = [s.first + s.stride * k for k in range(s.size)]
            rows += [(s.name, meant[u // s.per], s.copy + u % s.per) for u in steps]
        found.append(rows)
    return found


@given(COPIES, SIZES, st.integers(0, 3), SHUFFLES)
def test_every_copy_lies_in_exactly_one_output_shard(copies, size, seed, shuffle):
    outputs = list(shard_layout.output_shards(sources(copies), size, seed, shuffle))
    placed = Counter(place for rows in expand(copies, outputs) for place in rows)
    assert placed == Counter((n, r, j) for n, rows in copies.items() for r, c in enumerate(rows) for j in range(c))


@given(COPIES, SIZES, st.integers(0, 3), SHUFFLES)
def test_all_output_shards_but_the_last_are_full_and_numbered_densely(copies, size, seed, shuffle):
    outputs = list(shard_layout.output_shards(sources(copies), size, seed, shuffle))
    total = sum(sum(rows) for rows in copies.values())
    assert [output.number for output in outputs] == list(range(-(-total // size)))
    last = total - size * (len(outputs) - 1)
    everywhere = sum(c == len(outputs) for rows in copies.values() for c in rows)
    sizes = [output.num_samples for output in outputs]
    if everywhere <= last:
        assert sizes == [size] * (len(outputs) - 1) + [last] * (total > 0)
    else:  # more samples want a place in the last shard than it has
        assert max(sizes) - min(sizes) <= 1


@given(COPIES, SIZES, st.integers(0, 3), SHUFFLES)
def test_with_the_remainder_spread_as_many_shards_are_equal_and_hold_the_same_copies(copies, size, seed, shuffle):
    usual = list(shard_layout.output_shards(sources(copies), size, seed, shuffle))
    spread = list(shard_layout.output_shards(sources(copies), size, seed, shuffle, spread=True))
    sizes = [output.num_samples for output in spread]
    assert len(spread) == len(usual)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    found = [place for rows in expand(copies, spread) for place in rows]
    assert sorted(found) == sorted(place for rows in expand(copies, usual) for place in rows)
    for rows in expand(copies, spread):
        often = Counter((name, row) for name, row, _ in rows)
        assert all(n == 1 or copies[name][row] > len(spread) for (name, row), n in often.items())


@given(COPIES, SIZES, st.integers(0, 3), SHUFFLES)
def test_copies_of_a_sample_lie_in_different_shards_where_there_are_enough(copies, size, seed, shuffle):
    outputs = list(shard_layout.output_shards(sources(copies), size, seed, shuffle))
    where = {}
    for number, rows in enumerate(expand(copies, outputs)):
        for name, row, _ in rows:
            where.setdefault((name, row), []).append(number)
    for numbers in where.values():
        assert len(numbers) > len(outputs) or len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("shuffle", "most"), [("none", 2), ("shards", 2), ("full", 8)])
def test_an_output_shard_reads_few_input_shards_unless_told_to_shuffle_fully(shuffle, most):
    copies = {f"{n:02d}": [1] * 100 for n in range(8)}
    outputs = list(shard_layout.output_shards(sources(copies), 100, 0, shuffle))
    assert max(len({segment.name for segment in output.segments}) for output in outputs) == (1 if most == 2 else most)


def test_without_a_shuffle_the_order_of_the_pool_stays():
    copies = {"b": [1, 0, 1], "a": [1, 2, 1]}
    rows = [
        row for output in expand(copies, shard_layout.output_shards(sources(copies), 9, 0, "none")) for row in output
    ]
    assert rows[:4] == [("a", 0, 0), ("a", 2, 0), ("b", 0, 0), ("b", 2, 0)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(50, 300))
def test_a_cut_keeps_to_the_byte_limit_in_as_few_parts_as_can_be(lengths, limit):
    ends = shard_layout.cut_by_bytes(np.array(lengths), limit)
    parts = [lengths[start:stop] for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
    assert [length for part in parts for length in part] == lengths
    assert all(0 < sum(part) <= limit for part in parts)
    fewest, room = 1, limit
    for length in lengths:
        fewest, room = (fewest, room - length) if length <= room else (fewest + 1, limit - length)
    assert len(parts) == fewest


def test_equal_samples_are_cut_into_equal_parts():
    assert shard_layout.cut_by_bytes(np.full(100, 10), 300) == [25, 50, 75, 100]


@given(COPIES, st.integers(1, 9), st.randoms())
def test_the_plan_does_not_depend_on_the_order_of_the_sources(copies, size, random):
    ordered = sources(copies)
    shuffled = list(ordered)
    random.shuffle(shuffled)
    assert list(shard_layout.output_shards(ordered, size, 1)) == list(shard_layout.output_shards(shuffled, size, 1))


def test_counts_say_how_many_samples_have_more_than_j_copies():
    assert shard_layout.counts_of(np.array([0, 1, 3, 1, 0], np.uint16)) == (3, 1, 1)
    assert shard_layout.counts_of(np.zeros(3, np.uint16)) == ()


def test_another_seed_gives_another_order_of_shards():
    names = [str(n) for n in range(50)]
    assert shard_layout.shard_order(names, 0) != shard_layout.shard_order(names, 1)
    assert sorted(shard_layout.shard_order(names, 0)) == sorted(names)
