import numpy as np

from tests.transforms.lib import oracles
from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.balance import Balance


def test_the_sentence_says_how_many_of_what():
    assert Balance("b", clusters="c", cap=5).sentence() == (
        "Keep at most 5 samples per cluster of c: samples chosen at random, seed 0."
    )
    assert Balance("b", clusters="c", keep=0.25, of="pool", prefer="hard", seed=3).sentence() == (
        "Keep the same number of samples per cluster of c, in total 25 % of all samples: "
        "the samples least similar to the centroid, seed 3."
    )


def test_the_margin_of_a_random_choice_is_a_difference_of_uniform_draws():
    n = 200
    ones = np.ones(n, bool)
    columns = {
        "c.cluster": np.zeros(n, np.int32),
        "c.similarity": np.zeros(n, np.float32),
        "uid": uids.pairs([f"{i:032x}" for i in range(n)]),
    }
    block = Block("s", columns, ones, ones.astype(np.uint16))
    step = Balance("b", clusters="c", cap=80)
    decided = recipe.decide([step], block, oracles.fit([step], [block]))
    draws = uids.keyed_hash(columns["uid"], 0) / 2.0**64
    cut = np.sort(draws)[79]
    np.testing.assert_allclose(np.abs(decided.margin), np.abs(draws - cut), atol=1e-6)
    assert ((decided.copies > 0) == (draws <= cut)).all()
