import math
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uids
from transforms.lib.stats import exponential, ties


@given(st.floats(1e-300, 1e300))
def test_the_logarithm_is_the_logarithm(value):
    found = exponential.log(np.array([value]))[0]
    assert math.isclose(found, math.log(value), rel_tol=1e-15, abs_tol=1e-300)


def test_the_logarithm_is_good_next_to_one():
    values = 1 + np.array([-3, -1, 1, 2, 5]) * 2.0**-50
    np.testing.assert_allclose(exponential.log(values), np.log1p(values - 1), rtol=1e-15)


def test_small_and_large_draws_keep_their_digits():
    bits = np.array([0, 1, 1 << 20, (1 << 63) - 1, (1 << 64) - 1], np.uint64)
    exact = [-math.log1p(-float(Fraction(2 * int(b) + 1, 1 << 65))) for b in bits[:-1]]
    found = exponential.exponential(bits)
    np.testing.assert_allclose(found[:-1], exact, rtol=1e-15)
    assert found[-1] == 53 * math.log(2)


def test_draws_are_exponential_and_independent_from_one_number_to_the_next():
    ids = np.random.default_rng(0).integers(0, 2**63, (200_000, 2)).astype(np.uint64)
    hashes = uids.keyed_hash(ids, 3)
    first, second = (exponential.exponential(uids.stream(hashes, number)) for number in (0, 1))
    for power, expected in ((1, 1), (2, 2), (3, 6)):
        assert abs((first**power).mean() / expected - 1) < 0.03
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert abs((first < math.log(2)).mean() - 0.5) < 0.005


def test_a_stream_is_splitmix64():
    """The first three outputs of the reference implementation for the seed 1234567."""
    seed = np.array([1234567], np.uint64)
    found = [int(uids.stream(seed, number)[0]) for number in range(3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1), st.data())
def test_records_are_cut_as_tuples_are(records, data):
    number = data.draw(st.integers(1, len(records)))
    array = np.array(records, ties.DTYPE)
    last = ties.nth(array, number)
    assert last == sorted(records)[number - 1]
    assert ties.at_or_before(array, last).tolist() == [record <= last for record in records]


@pytest.mark.parametrize("without", ["X86_V4", "X86_V3 X86_V4"])
def test_draws_are_the_same_on_an_older_processor(without):
    """numpy's own logarithm is not, which is why there is one here."""
    code = (
        "import hashlib, numpy as np; from transforms.lib import uids; from transforms.lib.stats import exponential;"
        "h = np.arange(100_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15);"
        "print(hashlib.sha256(exponential.log(exponential.exponential(uids.stream(h, 3))).tobytes()).hexdigest())"
    )
    older = {**os.environ, "NPY_DISABLE_CPU_FEATURES": without, "PYTHONWARNINGS": "ignore"}
    found = [subprocess.check_output([sys.executable, "-c", code], env=env) for env in (dict(os.environ), older)]
    assert found[0] == found[1]
