"""What crawls remember gives, for any split, what all their samples together would give."""

import dataclasses
import fractions
import hashlib
import io
import math
import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.transforms.lib.oracles import fit
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import InputError
from transforms.lib.recipes import parse, pooling, recipe
from transforms.lib.recipes.steps.all_any_not import AnyOf
from transforms.lib.recipes.steps.band import Band
from transforms.lib.recipes.steps.drop_kept import DropKept, images_of
from transforms.lib.recipes.steps.metaclip import MetaClip
from transforms.lib.recipes.steps.mix import Mix
from transforms.lib.recipes.steps.sample import RandomFraction
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.recipes.steps.top_fraction import TopFraction
from transforms.lib.stats import crawl_summary, quantiles, sorted_keys

VALUES = np.array([-1.5, -0.0, 0.0, 0.25, 0.2500001, 0.7, 3.0], np.float32)
ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.booleans()), max_size=12)
CRAWLS = st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=2, max_size=4)


def block(name, rows):
    scores = np.array([VALUES[value] for value, _, _ in rows], np.float32)
    ids = np.array([(uid, 7 * uid) for _, uid, _ in rows], np.uint64).reshape(-1, 2)
    valid = np.array([ok for _, _, ok in rows], bool)
    columns = {"score": scores, "other": -scores, "uid": ids}
    return Block(name, columns, valid, valid.astype(np.uint16))


def stored(arrays):
    return crawl_summary.SummaryFile(io.BytesIO(crawl_summary.to_bytes(arrays)))


def remember(steps, number, blocks, states, order):
    """The memory of one step of one crawl, in pieces of one or two shards, shards in any order."""
    step = steps[number]
    parts = [step.remember(recipe.advance(steps[:number], one, states)) for one in blocks]
    order.shuffle(parts)
    pieces = [parts[at : at + 2] for at in range(0, len(parts), 2)]
    return [stored(step.join(piece)) for piece in pieces]


def pooled(steps, crawls):
    """Fits on the last crawl and the memories of those before; returns its decisions."""
    order = random.Random(len(crawls[-1]))
    memories = {}
    for number, step in enumerate(steps):
        for blocks in crawls[:-1] if step.fits else ():
            before = fit(steps[:number], blocks)
            memories.setdefault(number, []).extend(remember(steps, number, blocks, before, order))
    states = fit(steps, crawls[-1], memories)
    return [(recipe.decide(steps, one, states).copies > 0).tolist() for one in crawls[-1]]


def kept_of_union(crawls, fraction, seed, of, floor):
    """The last crawl's share of the top of all crawls: one sort; equal hashes by age of the crawl, then by place."""
    rows = []
    for age, blocks in enumerate(crawls):
        for one in blocks:
            hashes = uids.keyed_hash(one.columns["uid"], seed)
            key = int.from_bytes(hashlib.sha256(one.shard.encode()).digest()[:8], "little")
            for row, score in enumerate(one.columns["score"].tolist()):
                if one.valid[row]:
                    place = (age == len(crawls) - 1, key, row)
                    rows.append((-score, int(hashes[row]), *place, one.shard, score >= floor))
    among = sorted(row for row in rows if row[-1])
    number = min(int(fraction * len(rows if of == "pool" else among) + 0.5), len(among))
    chosen = {(row[5], row[4]) for row in among[:number] if row[2]}
    return [[(one.shard, row) in chosen for row in range(len(one.valid))] for one in crawls[-1]]


def blocks_of(crawls):
    return [[block(f"{age}/{number}", rows) for number, rows in enumerate(one)] for age, one in enumerate(crawls)]


def some_above(crawls, floor):
    return any((one.valid & (one.columns["score"] >= floor)).any() for blocks in crawls for one in blocks)


@given(
    crawls=CRAWLS,
    fraction=st.sampled_from([0.125, 0.5, 1.0]),
    seed=st.integers(0, 3),
    of=st.sampled_from(["pool", "remaining"]),
)
def test_a_pooled_top_fraction_is_that_of_the_union(crawls, fraction, seed, of):
    crawls = blocks_of(crawls)
    assume(some_above(crawls, 0.0))
    steps = (Threshold("floor", at_least=0.0), TopFraction("top", fraction=fraction, seed=seed, of=of))
    assert pooled(steps, crawls) == kept_of_union(crawls, fraction, seed, of, 0.0)


GAPS = st.lists(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, math.nan, math.inf]), st.booleans()), min_size=1, max_size=9),
    min_size=2,
    max_size=4,
)


@given(crawls=GAPS, fraction=st.sampled_from([0.125, 0.25, 0.5]))
def test_datacomps_pooled_fraction_counts_samples_without_a_score(crawls, fraction):
    blocks = []
    for number, rows in enumerate(crawls):
        score = np.array([value for value, _ in rows], np.float32)
        indexed = np.array([ok for _, ok in rows], bool)
        valid = indexed & np.isfinite(score)
        ids = np.array([(row, number) for row in range(len(rows))], np.uint64)
        columns = {"score": score, "uid": ids}
        blocks.append([Block(str(number), columns, valid, valid.astype(np.uint16), indexed=indexed)])
    scores = np.concatenate([one.columns["score"][one.indexed] for (one,) in blocks])
    place = int(len(scores) * fraction)
    assume(place < (~np.isnan(scores)).sum())
    threshold = -np.sort(-scores)[place]
    (last,) = blocks[-1]
    expected = last.valid & (last.columns["score"] >= threshold)
    assert pooled((TopFraction("top", fraction=fraction, rule="datacomp"),), blocks) == [expected.tolist()]


@given(crawls=CRAWLS, fraction=st.sampled_from([0.125, 0.5, 1.0]))
def test_the_parts_of_a_composed_step_and_both_sides_of_a_band_are_pooled(crawls, fraction):
    crawls = blocks_of(crawls)
    assume(some_above(crawls, -4))
    other = [[dataclasses.replace(one, columns={**one.columns, "score": one.columns["other"]}) for one in blocks]
             for blocks in crawls]  # fmt: skip
    parts = (TopFraction("a", fraction=fraction), TopFraction("b", column="other", fraction=0.25, seed=2))
    first, second = kept_of_union(crawls, fraction, 0, "pool", -4), kept_of_union(other, 0.25, 2, "pool", -4)
    expected = [[one or two for one, two in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)]
    assert pooled((AnyOf("any", parts=parts),), crawls) == expected
    if fraction < 1:
        tops = [kept_of_union(crawls, share, 0, "pool", -4) for share in (1.0, fraction)]
        between = [[one and not two for one, two in zip(*rows, strict=True)] for rows in zip(*tops, strict=True)]
        assert pooled((Band("band", fraction=1.0, drop=fraction),), crawls) == between


@given(crawls=CRAWLS)
def test_pooled_means_and_deviations_are_those_of_the_union(crawls):
    crawls = blocks_of(crawls)
    values = np.concatenate([one.columns["score"][one.valid] for blocks in crawls for one in blocks])
    assume(len(values))
    step = Mix("mix", weights={"score": 1.0})
    memories = [piece for blocks in crawls[:-1] for piece in remember((step,), 0, blocks, (), random.Random(1))]
    (state,) = fit((step,), crawls[-1], {0: memories})
    assert state.rows == len(values)
    exact = [fractions.Fraction(float(value)) for value in values]
    mean = sum(exact) / len(exact)
    assert state.mean == (float(mean),)
    assert state.std == (math.sqrt(sum((one - mean) ** 2 for one in exact) / len(exact)),)


def test_pooled_counts_of_entries_are_those_of_the_union(tmp_path):
    entries = tmp_path / "entries.txt"
    entries.write_text("cat\ndog\n")
    crawls = [["cat", "a dog here"], ["cat", "cat"], ["dog"]]
    step = MetaClip("m", metadata=str(entries), limit=2)

    def captions(texts):
        columns = {"index.caption": np.array(texts, object), "uid": np.ones((len(texts), 2), np.uint64)}
        ok = np.ones(len(texts), bool)
        return Block("s", columns, ok, ok.astype(np.uint16), {"m.metadata": str(entries)})

    memories = [stored(step.join([step.remember(captions(texts))])) for texts in crawls[:-1]]
    (state,) = fit((step,), [captions(crawls[-1])], {0: memories})
    assert state.counts.tolist() == [3, 2]


@given(
    left=st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=9), min_size=1, max_size=3),
    right=st.lists(st.lists(st.floats(-1, 1, width=32), max_size=9), min_size=1, max_size=3),
)
def test_the_distance_is_the_largest_difference_of_the_distributions(left, right):
    flat = [np.array([value for part in side for value in part], np.float32) for side in (left, right)]
    assume(all(len(side) for side in flat))
    every = np.concatenate(flat)
    shares = [[(side <= value).mean() for value in every] for side in flat]
    expected = max(abs(one - two) for one, two in zip(*shares, strict=True))
    kept = [
        [stored(sorted_keys.arrays_of(quantiles.ordered_bits(np.array(part, np.float32)))) for part in side]
        for side in (left, right)
    ]
    assert sorted_keys.distance(*kept) == pytest.approx(expected, abs=1e-15)


def test_the_distance_of_many_values_is_exact_and_reads_only_some():
    random_ = np.random.default_rng(0)
    scores = [random_.normal(0.2, 0.05, 200_000).astype(np.float32), random_.normal(0.21, 0.05, 200_000).astype("f4")]
    files = [io.BytesIO(crawl_summary.to_bytes(sorted_keys.arrays_of(quantiles.ordered_bits(one)))) for one in scores]
    read = []

    class Counted(crawl_summary.SummaryFile):
        def span(self, name, start, stop):
            read.append(stop - start)
            return super().span(name, start, stop)

    found = sorted_keys.distance(*([Counted(file)] for file in files))
    steps = np.sort(np.concatenate(scores))
    shares = [np.searchsorted(np.sort(one), steps, "right") / len(one) for one in scores]
    assert found == np.abs(shares[0] - shares[1]).max()
    assert sum(read) < 200_000  # of 400,000


def test_what_belongs_to_one_crawl_is_named():
    steps = (RandomFraction("half"), TopFraction("top", of="remaining"))
    assert pooling.not_carried(steps) == [
        "half: what random_fraction fits belongs to one crawl, and says nothing about another"
    ]
    assert [line.partition(":")[0] for line in pooling.not_pooled(steps)] == ["half", "top"]
    mixed = (Mix("mix", weights={"a": 1.0}), TopFraction("top", column="mixed_score"))
    assert [line.partition(" which")[0] for line in pooling.not_pooled(mixed)] == ["top: what it fits depends on mix,"]
    plain = (Mix("mix", weights={"a": 1.0}, standardise=False), TopFraction("top", column="mixed_score"))
    assert pooling.not_pooled(plain) == []


def test_a_memory_has_another_name_when_anything_but_the_fraction_differs():
    def name(*steps, made=("net", 1), **files):
        return pooling.remembered(steps, {"score": made}, files)[-1]

    base = name(TopFraction("top", fraction=0.1))
    assert base == name(TopFraction("other", fraction=0.2))
    others = [
        name(TopFraction("top", seed=1)),
        name(TopFraction("top", column="other")),
        name(TopFraction("top"), made=("net", 2)),
        name(Threshold("floor"), TopFraction("top")),
        name(Threshold("floor", at_least=0.5), TopFraction("top")),
    ]
    assert len({base, *others}) == 6
    seen = [name(DropKept("kept", crawls=crawls), TopFraction("top")) for crawls in ((), ("a",), ("a", "b"))]
    assert len({base, *seen}) == 2
    metaclips = [pooling.remembered((MetaClip("m", metadata="x"),), {}, {"m.metadata": d})[0] for d in "ab"]
    assert metaclips[0] != metaclips[1]


@pytest.mark.parametrize("data", [b"", b"\x05\0\0\0\0\0\0\0hello", b"\x02\0\0\0\0\0\0\0{}", b"\x93NUMPY" * 9])
def test_a_file_that_is_no_memory_is_refused(data):
    with pytest.raises(InputError, match="damaged"):
        crawl_summary.SummaryFile(io.BytesIO(data))


def test_what_earlier_crawls_kept_is_dropped(tmp_path):
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(6)]
    files = {}
    for crawl, some in (("a", digests[:2]), ("b", digests[3:4])):
        with (tmp_path / crawl).open("wb") as file:
            uids.write_subset(file, uids.subset(images_of(np.array(some, object))))
        files[f"k.{crawl}"] = str(tmp_path / crawl)
    step = DropKept("k", crawls=("a", "b"))
    assert step.named_files("root/crawls/c") == {
        "k.a": "root/crawls/a/kept_images.npy", "k.b": "root/crawls/b/kept_images.npy"}  # fmt: skip
    ok = np.array([True] * 6 + [False])
    one = Block("s", {"index.image_sha256": np.array([*digests, ""], object)}, ok, ok.astype(np.uint16), files)
    assert step.apply(one, None).copies.tolist() == [0, 0, 1, 0, 1, 1, 0]
    (same,) = parse.of_dict(recipe.Recipe("r", "s", (step,)).as_dict()).steps
    assert same == step
