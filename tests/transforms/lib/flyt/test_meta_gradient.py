"""The meta-gradient beside finite differences and beside a graph of everything, both written from the description."""

import itertools
import math

import numpy as np
import pytest
import torch

from transforms.lib.flyt import adamw, meta_gradient

WIDTH, HIDDEN, DIM, CLASSES = 5, 6, 4, 3
SETTINGS = adamw.AdamW()
RATE = 0.03


def tower(params, side, inputs):
    hidden = torch.tanh(inputs @ params[f"{side}.in"].T + params[f"{side}.bias"])
    return torch.nn.functional.normalize(hidden @ params[f"{side}.out"].T, dim=-1)


class World:
    """A reference of two small towers, a pool batch, a labelled batch, a scorer."""

    def __init__(self, seed=0, batch=7, labelled=6, count=3):
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self.params = {"logit_scale": torch.tensor(2.5, dtype=torch.float64)}
        for side in ("image", "text"):
            self.params |= {f"{side}.in": draw(HIDDEN, WIDTH) / 2, f"{side}.bias": draw(HIDDEN) / 5}
            self.params |= {f"{side}.out": draw(DIM, HIDDEN) / 2}
        first, second = ({n: draw(*v.shape) / 9 for n, v in self.params.items()} for _ in range(2))
        self.moments = adamw.AdamWState(count, first, {n: v**2 for n, v in second.items()})
        self.pool = draw(batch, WIDTH), draw(batch, WIDTH)
        self.images, self.prompts = draw(labelled, WIDTH), draw(CLASSES, WIDTH)
        self.labels = torch.arange(labelled) % CLASSES
        self.scale = torch.tensor(2.0, dtype=torch.float64)
        self.seen = draw(batch, 3)
        self.scorer = {"w": draw(3), "v": draw(3, 3)}

    def scores(self, scorer):
        return torch.tanh(self.seen @ scorer["v"].T) @ scorer["w"]

    def sides(self, parts=1):
        def split(side, inputs):
            return [lambda p, rows=rows: tower(p, side, rows) for rows in inputs.chunk(parts)]

        pool = meta_gradient.Sides(split("image", self.pool[0]), split("text", self.pool[1]))
        return pool, meta_gradient.Sides(split("image", self.images), split("text", self.prompts))

    def ours(self, parts=1):
        pool, labelled = self.sides(parts)
        leaves = {name: value.clone().requires_grad_() for name, value in self.scorer.items()}
        log_weights = self.scores(leaves).log_softmax(0)
        found = meta_gradient.meta_step(
            self.params, self.moments, log_weights, pool, [meta_gradient.Downstream(labelled, self.labels)], self.scale,
            RATE, SETTINGS,
        )  # fmt: skip
        torch.autograd.backward((log_weights * found.by_log_weight).sum())
        return found, {name: value.grad for name, value in leaves.items()}

    def loss_up(self, params, weights):
        """Written as the sum it is, pair by pair."""
        image, text = tower(params, "image", self.pool[0]), tower(params, "text", self.pool[1])
        e = (params["logit_scale"].exp() * image @ text.T).exp()
        total = 0
        for i in range(len(weights)):
            total = total - weights[i] * torch.log(weights[i] * e[i, i] / (weights * e[i]).sum())
            total = total - weights[i] * torch.log(weights[i] * e[i, i] / (weights * e[:, i]).sum())
        return total / 2

    def loss_down(self, params):
        image, text = tower(params, "image", self.images), tower(params, "text", self.prompts)
        chance = (self.scale.exp() * image @ text.T).exp()
        return -(chance[range(len(self.labels)), self.labels] / chance.sum(1)).log().mean()

    def after(self, grads):
        """AdamW written out, from its paper."""
        found = {}
        for name, value in self.params.items():
            first = 0.9 * self.moments.first[name] + 0.1 * grads[name]
            second = 0.98 * self.moments.second[name] + 0.02 * grads[name] ** 2
            t = self.moments.steps + 1
            change = (first / (1 - 0.9**t)) / ((second / (1 - 0.98**t)).sqrt() + 1e-6)
            found[name] = value - RATE * (change + (0.2 * value if value.ndim == 2 else 0))
        return found

    def whole_graph(self, scorer):
        params = {name: value.clone().requires_grad_() for name, value in self.params.items()}
        weights = self.scores(scorer).softmax(0)
        grads = torch.autograd.grad(self.loss_up(params, weights), list(params.values()), create_graph=True)
        return self.loss_down(self.after(dict(zip(params, grads, strict=True))))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_finite_difference_of_the_downstream_loss(seed):
    world = World(seed)
    _, ours = world.ours()
    step = 1e-5
    for name, value in world.scorer.items():
        differences = torch.zeros_like(value)
        for place in np.ndindex(*value.shape):
            ends = []
            for sign in (1, -1):
                moved = {n: v.clone() for n, v in world.scorer.items()}
                moved[name][place] += sign * step
                ends.append(world.whole_graph(moved).item())
            differences[place] = (ends[0] - ends[1]) / (2 * step)
        assert torch.norm(ours[name] - differences) / torch.norm(differences) < 1e-4


@pytest.mark.parametrize(("seed", "count"), [(0, 3), (1, 0), (2, 40)])
def test_it_is_the_double_backward_of_the_whole_graph(seed, count):
    world = World(seed, count=count)
    leaves = {name: value.clone().requires_grad_() for name, value in world.scorer.items()}
    loss = world.whole_graph(leaves)
    loss.backward()
    found, ours = world.ours()
    assert found.figures["down_loss"] == pytest.approx(loss.item(), rel=1e-12)
    for name in leaves:
        torch.testing.assert_close(ours[name], leaves[name].grad, rtol=1e-9, atol=1e-15)


def test_several_tasks_count_by_the_mean_of_their_losses():
    world, other = World(), World(seed=5, labelled=9)
    pool, labelled = world.sides()
    tasks = [
        meta_gradient.Downstream(labelled, world.labels),
        meta_gradient.Downstream(other.sides()[1], other.labels),
        meta_gradient.Downstream(labelled, world.labels.flip(0)),
    ]
    weights = world.scores(world.scorer).log_softmax(0)

    def found(*chosen):
        return meta_gradient.meta_step(
            world.params, world.moments, weights, pool, chosen, world.scale, RATE, SETTINGS,
        )  # fmt: skip

    together, alone = found(*tasks), [found(task) for task in tasks]
    for what in ("by_log_weight", "by_scale"):
        mean = torch.stack([getattr(one, what) for one in alone]).mean(0)
        torch.testing.assert_close(getattr(together, what), mean, rtol=1e-10, atol=1e-15)
    for figure in ("down_loss", "down_accuracy"):
        assert together.figures[figure] == pytest.approx(np.mean([one.figures[figure] for one in alone]))
    assert all(torch.equal(together.params[name], alone[0].params[name]) for name in together.params)
    assert found() is None


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_running_the_towers_in_parts_changes_nothing(parts):
    world = World()
    whole, by_whole = world.ours()
    parted, by_parts = world.ours(parts)
    for name in by_whole:
        torch.testing.assert_close(by_whole[name], by_parts[name], rtol=1e-10, atol=1e-16)
    for name in whole.params:
        torch.testing.assert_close(whole.params[name], parted.params[name], rtol=1e-12, atol=0)


def test_the_step_is_adamw_and_the_temperature_stays_in_its_range():
    world = World()
    found, _ = world.ours()
    weights = world.scores(world.scorer).softmax(0)
    params = {name: value.clone().requires_grad_() for name, value in world.params.items()}
    world.loss_up(params, weights).backward()
    expected = world.after({name: value.grad for name, value in params.items()})
    for name in expected:
        torch.testing.assert_close(found.params[name], expected[name].detach(), rtol=1e-10, atol=1e-13)
    for start, bound in ((9.0, math.log(100)), (-3.0, 2.0)):
        world.params["logit_scale"] = torch.tensor(start, dtype=torch.float64)
        assert float(world.ours()[0].params["logit_scale"]) == pytest.approx(bound)


def test_entries_that_never_had_a_gradient_decay_and_do_not_move():
    world = World(count=0)
    world.moments = adamw.fresh(world.params)
    for side in (0, 1):
        world.pool[side][:, 2] = 0
    found, by_scorer = world.ours()
    for side in ("image", "text"):
        before = world.params[f"{side}.in"][:, 2]
        torch.testing.assert_close(found.params[f"{side}.in"][:, 2], before * (1 - RATE * SETTINGS.weight_decay))
        assert not torch.equal(found.params[f"{side}.in"][:, 1], world.params[f"{side}.in"][:, 1])
    assert all(torch.isfinite(value).all() and value.abs().sum() > 0 for value in by_scorer.values())


def test_a_batch_of_one_teaches_the_scorer_nothing_and_one_of_none_is_skipped():
    one = World(batch=1)
    found, by_scorer = one.ours()
    assert found.figures["up_loss"] == 0
    assert all((value == 0).all() for value in by_scorer.values())
    none = World(batch=0)
    pool, labelled = none.sides()
    arguments = none.scale, RATE, SETTINGS
    downstream = [meta_gradient.Downstream(labelled, none.labels)]
    assert (
        meta_gradient.meta_step(none.params, none.moments, none.scores(none.scorer), pool, downstream, *arguments)
        is None
    )
    unlabelled = World(labelled=0)
    pool, labelled = unlabelled.sides()
    downstream = [meta_gradient.Downstream(labelled, unlabelled.labels)]
    weights = unlabelled.scores(unlabelled.scorer).log_softmax(0)
    assert meta_gradient.meta_step(unlabelled.params, unlabelled.moments, weights, pool, downstream, *arguments) is None


@pytest.mark.parametrize("where", ["pool", "images", "moments"])
def test_a_step_that_is_not_finite_is_skipped(where):
    world = World()
    if where == "pool":
        world.pool[0][1, 1] = float("nan")
    elif where == "images":
        world.images[0, 0] = float("inf")
    else:
        world.moments.second["text.out"][0, 0] = float("nan")
    pool, labelled = world.sides()
    weights = world.scores(world.scorer).log_softmax(0)
    downstream = [meta_gradient.Downstream(labelled, world.labels)]
    arguments = world.scale, RATE, SETTINGS
    assert meta_gradient.meta_step(world.params, world.moments, weights, pool, downstream, *arguments) is None


def test_extreme_scores_do_not_overflow():
    world = World()
    world.scorer["w"] *= 1000
    found, by_scorer = world.ours()
    assert all(math.isfinite(value) for value in found.figures.values())
    assert all(torch.isfinite(value).all() for value in by_scorer.values())


def test_the_learning_rate_climbs_and_falls():
    rates = [adamw.learning_rate_at(step, 100, 10, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == 2.0
    assert all(a > b > 0 for a, b in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(1.0)
