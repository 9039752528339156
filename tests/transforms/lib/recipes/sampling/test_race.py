import numpy as np
import pytest

from transforms.lib.recipes.sampling import draw_rules, race
from transforms.lib.recipes.sampling.draw_rules import UNCAPPED, Rules
from transforms.lib.stats import quantiles


@pytest.mark.parametrize("tries", [0, 1, 2])
def test_each_try_counts_events_up_to_a_time_at_which_more_than_enough_are_expected(tries):
    scores = np.random.default_rng(0).normal(0, 1, 5000).astype(np.float32)
    counts, total = draw_rules.count_scores(scores), 1000
    begun = race.start(Rules("r", total, 0.15), counts, tries)
    end = begun.center + quantiles.score_of(begun.high)
    aim = (1.04 * total + 12 * total**0.5 + 12) * 64**tries
    assert end == pytest.approx(draw_rules.log_time(counts, aim, 0.15, UNCAPPED) + 3 * tries, abs=2e-3)
    assert begun.tries == tries
