"""The order of pairs: a function of the seed and the shards, the same from any place on, and even over the pool."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from transforms.lib.errors import ConfigError
from transforms.lib.training import pair_stream
from transforms.lib.training.pair_stream import Lane, Source, StreamSettings

SIZES = {"a/0": 7, "a/1": 5, "b/0": 9}


def sources(**times):
    return [Source(name, name, times.get(name[0], 1.0), name[0]) for name in SIZES]


def read(source):
    return ((row, f"{source.uri}:{row}".encode(), "x", False) for row in range(SIZES[source.uri]))


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def drawn(lane, *counts):
    return [example.image.decode() for count in counts for example in lane.take(count)]


def test_a_lane_goes_on_from_any_place_as_if_it_had_never_stopped(threads):
    settings = StreamSettings(seed=3, lanes=2, stretch=4)
    whole = drawn(Lane(1, sources(), settings, read, threads), 60)
    for cut in range(1, 30):
        lane = Lane(1, sources(), settings, read, threads)
        before = drawn(lane, cut)
        after = drawn(Lane(1, sources(), settings, read, threads, lane.place), 60 - cut)
        assert before + after == whole


def test_how_many_are_taken_at_once_does_not_change_the_order(threads):
    settings = StreamSettings(seed=0, lanes=1, stretch=8)
    once, often = (Lane(0, sources(), settings, read, threads) for _ in range(2))
    assert drawn(once, 40) == drawn(often, *[5] * 8)


def test_every_pass_has_each_pair_once_and_is_mixed(threads):
    lane = Lane(0, sources(), StreamSettings(seed=1, lanes=1, stretch=21), read, threads)
    first, second = drawn(lane, 21), drawn(lane, 21)
    assert sorted(first) == sorted(second) == sorted(f"{name}:{row}" for name, n in SIZES.items() for row in range(n))
    assert first != second


def test_lanes_share_the_passes(threads):
    settings = StreamSettings(seed=1, lanes=2, stretch=3)
    lanes = [Lane(number, sources(), settings, read, threads) for number in range(2)]
    seen = Counter(image for lane in lanes for image in drawn(lane, 700))
    assert len(seen) == sum(SIZES.values())
    assert max(seen.values()) < 1.4 * min(seen.values())


def test_a_data_set_with_weight_is_seen_as_often_as_that(threads):
    lane = Lane(0, sources(b=2.5), StreamSettings(seed=1, lanes=1, stretch=1), read, threads)
    seen = Counter(image[0] for image in drawn(lane, 20_000))
    assert seen["b"] / seen["a"] == pytest.approx(2.5 * 9 / 12, rel=0.05)


def test_every_pair_has_draws_of_its_own_in_every_pass(threads):
    lane = Lane(0, sources(), StreamSettings(seed=1, lanes=1, stretch=21), read, threads)
    assert len({example.draw for example in lane.take(210)}) == 210


def test_a_pool_without_pairs_is_an_error_and_no_endless_loop(threads):
    with pytest.raises(ConfigError, match="none of 3 shards has a pair to train on"):
        Lane(0, sources(), StreamSettings(seed=1, lanes=1, stretch=3), lambda source: iter(()), threads)


@pytest.mark.parametrize(
    ("shards", "batch", "lanes"), [(1, 64, 1), (3, 64, 2), (100, 64, 8), (100, 12, 4), (100, 7, 1)]
)
def test_lanes_divide_the_batch_and_do_not_outnumber_the_shards(shards, batch, lanes):
    assert pair_stream.lanes_of(shards, batch) == lanes
