"""What the report counts: the same however the pool is cut, and what numpy counts of the whole."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.recipes import parse
from transforms.lib.report import axes, exhibit, quality, sparse_counts, survey, threshold_panel
from transforms.lib.report.bounds import Bound, movable
from transforms.lib.report.exhibit import Exhibit
from transforms.lib.report.survey import Copies, Drawn, Group, Survey

NUMBERS = st.lists(st.floats(-(2.0**90), 2.0**90, width=32), max_size=60)


def cut(rows, cuts):
    edges = [0, *sorted(min(one, len(rows)) for one in cuts), len(rows)]
    return [rows[start:stop] for start, stop in itertools.pairwise(edges)]


@given(NUMBERS, st.lists(st.integers(0, 60), max_size=3), st.sampled_from([16, 20, 32]))
def test_counts_above_an_edge_are_exact_however_the_pool_is_cut(numbers, cuts, bits):
    def counted(some):
        values = np.array(some, np.float32)
        return sparse_counts.count(sparse_counts.keys_of(values, bits), [np.ones(len(values), bool), values > 0])

    found = sparse_counts.add([counted(part) for part in cut(numbers, cuts)], 2)
    values = np.array(numbers, np.float32)
    edges = sparse_counts.lower_edges(found.keys, bits)
    above = sparse_counts.at_least(found.counts)
    for edge, (every, positive) in zip(edges.tolist(), above.tolist(), strict=True):
        assert every == (values >= np.float32(edge)).sum()
        assert positive == ((values >= np.float32(edge)) & (values > 0)).sum()


@given(st.lists(st.floats(-1e30, 1e30), max_size=60))
def test_wide_numbers_are_at_least_a_float32_exactly_when_their_key_is(numbers):
    values = np.array(numbers, np.float64)
    keys = sparse_counts.keys_of(values, 20, down=True)
    for key in np.unique(keys):
        edge = float(sparse_counts.lower_edges(np.array([key]), 20)[0])
        assert ((values >= edge) == (keys >= key)).all()


def seen(number):
    chance = np.random.default_rng(number)
    values = chance.normal(size=40).astype(np.float32)
    kept = values > 0.5
    counts = sparse_counts.count(sparse_counts.keys_of(values, survey.BITS), [np.ones(40, bool), kept])
    ranks = chance.random(survey.DRAWN)
    return Survey(
        columns={"net.score": counts},
        bounds={"top": counts},
        of={"top": 40},
        copies=sparse_counts.count(chance.integers(1, 4, 40).astype(np.uint32), [kept]),
        formats={"jpg": (30, 10), f"of{number}": (10, 2)},
        duplicates={"dedup": Copies(3, 1, 2)},
        groups={"dedup": tuple(sorted(Group(rank, f"{rank}") for rank in ranks[:9].tolist()))},
        drawn=tuple(Drawn(rank, rank > 0.5, "host", "en") for rank in ranks.tolist()),
    )


def test_surveys_add_up_in_any_order_and_grouping():
    parts = [seen(number) for number in range(4)]
    whole = survey.merge(parts)
    for order in ([3, 1, 0, 2], [2, 3, 1, 0]):
        one, two, three, four = (parts[number] for number in order)
        again = survey.merge([survey.merge([one, two]), survey.merge([survey.merge([three]), four, Survey()])])
        assert str(again) == str(whole)
        np.testing.assert_array_equal(again.columns["net.score"].counts, whole.columns["net.score"].counts)
    assert whole.of == {"top": 160}
    assert whole.formats["jpg"] == (120, 40)
    assert whole.duplicates["dedup"] == (12, 4, 8)
    assert [len(whole.groups["dedup"]), len(whole.drawn)] == [survey.GROUPS, survey.DRAWN]
    assert whole.drawn[-1].rank <= min(max(one.rank for one in part.drawn) for part in parts)
    assert survey.merge([]).columns == {}


def test_the_first_samples_of_each_kind_are_shown():
    every = [Exhibit(rank / 100, f"{rank}", "s", rank, "u", 0.0, 0.0, "") for rank in range(30)]
    parts = [{("kept",): tuple(every[start::3]), ("rung", "a", "01"): tuple(every[start::3])} for start in range(3)]
    found = exhibit.merge([exhibit.merge(parts[:2]), parts[2]])
    assert [one.row for one in found["kept",]] == list(range(exhibit.LIMITS["kept"]))
    assert [one.row for one in found["rung", "a", "01"]] == list(range(exhibit.LIMITS["rung"]))


def column(values):
    values = np.array(values, np.float32)
    every = np.ones(len(values), bool)
    return Survey(columns={"c": sparse_counts.count(sparse_counts.keys_of(values, survey.BITS), [every, every])})


def test_an_axis_holds_every_number_and_leaves_out_what_is_far_away():
    even = np.linspace(0.1, 0.4, 5000)
    edges = axes.edges(column(even), "c", axes.BINS)
    assert edges[0] <= 0.1
    assert edges[-1] >= 0.4
    assert len(edges) == axes.BINS + 1
    far = axes.edges(column([*even, 1e9]), "c", axes.BINS)
    assert far[-1] < 1
    assert axes.place(np.array([1e9, -5.0]), far).tolist() == [axes.BINS - 1, 0]
    whole = axes.edges(column([3, 4, 9, 12]), "c", axes.BINS)
    assert set(np.diff(whole)) == {1.0}
    assert whole[0] <= 3
    assert whole[-1] > 12
    assert axes.edges(column([]), "c", axes.BINS) is None
    alone = axes.edges(column([0.25]), "c", axes.BINS)
    assert alone[0] <= 0.25 < alone[-1]


def bound(rule="exact", fixed=True):
    return Bound(0, "top", "score", rule, fixed)


def test_a_bound_has_so_many_places_and_its_ends_are_there():
    values = np.random.default_rng(0).normal(0.2, 0.1, 50_000).astype(np.float32)
    every = np.ones(len(values), bool)
    counts = sparse_counts.count(sparse_counts.keys_of(values, survey.BOUND_BITS), [every, values < 0.3])
    chosen = threshold_panel.Chosen("winnow select --output OUT", (("recipe", "dfn"), ("keep_fraction", "0.5")), True)
    fitted = {"threshold": 0.25, "of": len(values)}
    data = threshold_panel.panel_data(bound(), counts, len(values), fitted, 9, 10, chosen, (0.0, 0.4))
    assert 1000 < len(data["values"]) <= threshold_panel.PLACES
    assert data["ranked"][0] == len(values)
    assert data["ranked"][-1] >= 1
    for value, ranked, passing in list(zip(data["values"], data["ranked"], data["passing"], strict=True))[::97]:
        assert ranked == (values >= np.float32(value)).sum()
        assert passing == ((values >= np.float32(value)) & (values < 0.3)).sum()
    assert data["command"] == "winnow select --output OUT --recipe dfn"
    pooled = threshold_panel.panel_data(bound(), counts, len(values), {"of": 7}, 9, 10, chosen, (0.0, 0.4))
    assert (pooled["flag"], pooled["command"]) == ("", "")
    assert "fitted over more than this pool" in threshold_panel.remark(bound(), len(values), {"of": 7}, [])
    assert "at most" in threshold_panel.remark(bound(fixed=False), 7, {"of": 7}, ["sample"])


@pytest.mark.parametrize(
    ("steps", "fixed"),
    [
        ([{"top_fraction": {}}], [True]),
        ([{"threshold": {}}, {"top_fraction": {"of": "remaining"}}], [False, True]),
        ([{"threshold": {}}, {"soft_cap_sample": {}}], [False]),
        ([{"top_fraction": {}}, {"caption_length": {"words_above": 1, "characters_above": 5}}], [True]),
    ],
)
def test_a_bound_is_exact_unless_a_later_step_chooses_anew(steps, fixed):
    recipe = parse.parse({"name": "x", "source": "none", "steps": steps}, {})
    assert [one.fixed for one in movable(recipe.steps)] == fixed


def test_copies_are_shown_where_any_sample_has_more_than_one():
    once = sparse_counts.count(np.ones(5, np.uint32), [np.ones(5, bool)])
    assert quality.copies_chart(Survey(copies=once)) is None
    many = sparse_counts.count(np.arange(1, 100, dtype=np.uint32), [np.ones(99, bool)])
    chart = quality.copies_chart(Survey(copies=many))
    assert len(chart.bars) == 7
    assert chart.bars[0].label == "1–1×: 1, 1 kept"
