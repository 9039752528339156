import numpy as np
import pytest

from transforms.lib.errors import CapacityError
from transforms.lib.recipes.clusters import quotas


@pytest.mark.parametrize("total", [2, 11])
def test_a_total_outside_the_bounds_is_refused(total):
    low, high = np.array([1, 2]), np.array([4, 6])
    with pytest.raises(CapacityError, match=rf"{total} lies outside 3 \.\. 10"):
        quotas.quotas(np.zeros(2), total, low, high)


@pytest.mark.parametrize(("total", "expected"), [(3, [1, 2]), (10, [4, 6])])
def test_a_total_on_a_bound_is_met(total, expected):
    low, high = np.array([1, 2]), np.array([4, 6])
    assert quotas.quotas(np.zeros(2), total, low, high).tolist() == expected
