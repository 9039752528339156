import numpy as np

from transforms.lib import uids
from transforms.lib.recipes.sampling import sequential


def test_every_batch_has_draws_of_its_own_however_many_are_made_at_once():
    hashes = uids.keyed_hash(np.arange(5000, dtype=np.uint64).reshape(-1, 2), 0)
    together = list(sequential._gumbels(hashes, 10))  # three at once, and one
    assert len(together) == 10
    pieces = [list(sequential._gumbels(hashes[start : start + 1000], 10)) for start in (0, 1000, 2000)]
    for batch, draws in enumerate(together):
        np.testing.assert_array_equal(draws, np.concatenate([piece[batch] for piece in pieces]))
