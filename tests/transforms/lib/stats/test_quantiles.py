import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.stats import quantiles

FLOATS = st.floats(width=32, allow_nan=False)
SCORES = st.lists(FLOATS, min_size=1, max_size=300)


@given(SCORES)
def test_integers_sort_as_the_scores_do(scores):
    values = np.array(scores, np.float32)
    bits = quantiles.ordered_bits(values)
    assert (values[np.argsort(bits, kind="stable")] == np.sort(values)).all()


@given(FLOATS)
def test_a_score_survives_the_way_to_an_integer_and_back(score):
    assert quantiles.score_of(int(quantiles.ordered_bits([score])[0])) == score


def test_minus_zero_ties_with_zero():
    low, high = quantiles.ordered_bits([-0.0, 0.0])
    assert low == high


def test_nan_has_no_rank():
    with pytest.raises(ValueError, match="NaN has no rank"):
        quantiles.ordered_bits([0.5, float("nan")])


@given(SCORES, st.data())
def test_two_counts_find_the_score_of_any_rank(scores, data):
    rank = data.draw(st.integers(1, len(scores)))
    bits = quantiles.ordered_bits(scores)
    high, left = quantiles.bin_from_top(quantiles.count_high(bits), rank)
    low, _ = quantiles.bin_from_top(quantiles.count_low(bits, high), left)
    assert quantiles.score_of(high << 16 | low) == sorted(np.float32(scores), reverse=True)[rank - 1]


@given(SCORES, st.integers(0, 300))
def test_counts_of_any_split_add_up(scores, cut):
    bits = quantiles.ordered_bits(scores)
    parts = quantiles.count_high(bits[:cut]) + quantiles.count_high(bits[cut:])
    assert (parts == quantiles.count_high(bits)).all()
    assert parts.sum() == len(scores)


def test_counting_from_the_bottom_mirrors_counting_from_the_top():
    counts = np.zeros(quantiles.BINS, np.int64)
    counts[[3, 7, 9]] = [2, 5, 1]
    assert quantiles.bin_from_bottom(counts, 1) == (3, 1)
    assert quantiles.bin_from_bottom(counts, 3) == (7, 1)
    assert quantiles.bin_from_bottom(counts, 8) == (9, 1)
    assert quantiles.bin_from_top(counts, 2) == (7, 1)


@pytest.mark.parametrize("rank", [0, 9])
def test_a_rank_outside_the_pool_is_refused(rank):
    counts = np.zeros(quantiles.BINS, np.int64)
    counts[5] = 8
    with pytest.raises(ValueError, match=r"not in 1\.\.8"):
        quantiles.bin_from_top(counts, rank)


@pytest.mark.parametrize(
    ("fraction", "total", "kept"),
    [
        (0.15, 10, 2),
        (0.3, 10, 3),
        (0.5, 5, 3),
        (1.0, 7, 7),
        (0.01, 10, 0),
        (0.1, 5, 1),
        (0.7, 12_800_000_001, 8_960_000_001),
    ],
)
def test_number_kept_rounds_halves_up_in_decimal(fraction, total, kept):
    assert quantiles.number_kept(fraction, total) == kept
