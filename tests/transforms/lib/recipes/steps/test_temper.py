"""The scale before Soft Cap Sampling: the share of different samples that is wanted is drawn."""

import numpy as np
import pytest

from tests.transforms.lib import oracles
from tests.transforms.lib.recipes.steps.test_sample import blocks
from transforms.lib.errors import CapacityError, EmptyPoolError
from transforms.lib.recipes import recipe
from transforms.lib.recipes.steps.sample import SoftCapSample
from transforms.lib.recipes.steps.temper import Temper

SCORES = np.random.default_rng(5).normal(0, 0.3, 20_000)  # a mix as learnt: far too soft to be log-odds


def drawn(unique, scores=SCORES, total=0, alpha=0.15, sizes=None):
    """Returns the copies of each sample, and the state of the step."""
    pool = blocks(scores, sizes=sizes)
    steps = [
        Temper("temper", "score", unique, total, alpha, "t"),
        SoftCapSample("scs", column="t", total=total, alpha=alpha, batch=1),
    ]
    states = oracles.fit(steps, pool)
    return np.concatenate([recipe.decide(steps, block, states).copies for block in pool]).astype(int), states[0]


@pytest.mark.parametrize("unique", [0.1, 0.3, 0.55])
@pytest.mark.parametrize(("total", "alpha"), [(0, 0.15), (10_000, 0.25), (20_000, 0.0)])
def test_the_share_of_different_samples_that_is_wanted_is_drawn(unique, total, alpha):
    copies, state = drawn(unique, total=total, alpha=alpha)
    assert copies.sum() == (total or len(SCORES))
    assert (copies > 0).sum() / copies.sum() == pytest.approx(unique, rel=0.06)  # a spread of 1,000 is 3 %
    assert state.unique == pytest.approx(unique, rel=0.01)
    order = np.argsort(SCORES)
    assert copies[order[-1000:]].mean() > copies[order[:1000]].mean()


def test_without_it_a_soft_mix_is_hardly_sampled_by_its_scores():
    pool = blocks(SCORES)
    step = SoftCapSample("scs", batch=1)
    copies = np.concatenate([recipe.decide([step], b, oracles.fit([step], pool)).copies for b in pool]).astype(int)
    assert (copies > 0).mean() > 0.6
    assert (drawn(0.2)[0] > 0).mean() == pytest.approx(0.2, rel=0.03)


def test_the_scale_does_not_depend_on_the_scale_of_the_column_or_the_split():
    scaled, state = drawn(0.3, SCORES * 1000)
    plain, other = drawn(0.3)
    assert other.scale / state.scale == pytest.approx(1000, rel=0.006)
    assert (scaled > 0).sum() == pytest.approx((plain > 0).sum(), rel=0.02)
    assert drawn(0.3, sizes=[1, 9_999, 10_000])[1] == other


def test_a_share_that_no_scale_gives_is_refused_with_those_that_can_be_had():
    with pytest.raises(CapacityError, match=r"temper: of 20000 copies of 20000 samples, a share of \S+ to 0\.6\d+ can"):
        drawn(0.9)
    with pytest.raises(EmptyPoolError, match="temper: no sample is left that has score"):
        drawn(0.3, np.full(5, np.nan))


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Temper("t", unique=0.0), "t.unique must be in (0, 1), got 0.0; 0.3 is a usual share"),
        (Temper("t", unique=1.0), "t.unique must be in (0, 1), got 1.0; 0.3 is a usual share"),
        (Temper("t", total=-1), "t.total must be at least 0 (0 = as many as samples take part), got -1"),
        (Temper("t", alpha=-0.1), "t.alpha must be in [0, 1e6], got -0.1; published: 0.15 and 0.25"),
    ],
)
def test_unusable_parameters_are_one_line(step, line):
    assert step.problems() == [line]
