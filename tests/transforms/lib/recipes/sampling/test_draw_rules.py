import numpy as np

from transforms.lib.recipes.sampling import draw_rules
from transforms.lib.stats import quantiles


def test_scores_are_counted_by_the_upper_half_of_their_bits_and_the_lower_halves_are_added_up():
    scores = np.array([1.0, np.nextafter(np.float32(1), np.float32(2)), 1.0, -3.5], np.float32)
    counts = draw_rules.count_scores(scores)
    bits = quantiles.ordered_bits(scores).astype(np.int64)
    for high in np.unique(bits >> 16):
        inside = bits[bits >> 16 == high]
        assert counts[:, high].tolist() == [len(inside), (inside & 0xFFFF).sum()]
    assert counts[0].sum() == 4
