"""The loop on a world small enough to know the answer: some samples are aligned, others are not."""

import numpy as np
import pytest
import torch
import yaml

from transforms.lib.flyt import meta_gradient, mix_weights, reference_model, task_batches, training_loop

DIM, CLASSES = 12, 8


def unit(values):
    return torch.nn.functional.normalize(values, dim=-1)


class World:
    """Images and texts are two rotations of concepts; of a third of the pool the texts are of another concept."""

    def __init__(self, n=600):
        g = torch.Generator().manual_seed(0)
        turns = [torch.linalg.qr(torch.randn(DIM, DIM, generator=g))[0] for _ in range(2)]
        concepts = torch.randn(CLASSES, DIM, generator=g)

        def seen(which, side):
            return unit((concepts[which] + 0.3 * torch.randn(len(which), DIM, generator=g)) @ turns[side])

        which = torch.randint(CLASSES, (n,), generator=g)
        self.clean = torch.arange(n) % 3 > 0
        said = torch.where(self.clean, which, torch.randint(CLASSES, (n,), generator=g))
        self.image, self.text = (seen(w, side).numpy().astype(np.float16) for side, w in enumerate((which, said)))
        labels = torch.arange(160) % CLASSES
        texts = torch.stack([seen(torch.arange(CLASSES), 1) for _ in range(3)], 1)
        reference = reference_model.Projections(DIM, 3.0, 0)
        task = task_batches.Embedded("", seen(labels, 0), labels, texts)
        self.feed = task_batches.Frozen(reference, [task], task_batches.Draws(0, 64))
        noise = torch.randn(n, 3, generator=g)
        hint = self.clean.float() + 0.5 * torch.randn(n, generator=g)
        columns = torch.cat([hint[:, None], noise], 1)
        self.columns = (columns - columns.mean(0)) / columns.std(0)

    def batches(self, first=0):
        step = first
        while True:
            rows = np.random.default_rng(step).permutation(len(self.image))[:128]
            sides = self.feed.upstream(self.image[rows], self.text[rows], [], [])
            yield training_loop.TrainingBatch(self.columns[rows], sides, self.feed.downstream(step))
            step += 1


def begin(world):
    return training_loop.begin(world.feed.reference.start(), mix_weights.start(4))


def test_the_informative_column_gets_the_weight_and_noise_almost_none(tmp_path):
    world = World()
    settings = training_loop.RunSettings(
        steps=300, warmup=20, learning_rate=5e-3, scoring_learning_rate=1e-2, scoring_eps=1e-12, restart_every=50
    )
    state = training_loop.run(
        begin(world),
        world.feed.reference.start,
        world.batches(),
        mix_weights.apply,
        settings,
        tmp_path,
        "s",
        lambda _: None,
    )
    weights = state.scorer[mix_weights.WEIGHT][0]
    assert weights[0] > 0.3
    assert weights[1:].abs().max() < 0.25 * weights[0]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 300


def test_a_step_that_is_not_finite_changes_the_counter_alone():
    world = World(60)
    state = begin(world)
    batch = next(world.batches())
    broken = batch._replace(seen=batch.seen * float("nan"))
    after, figures = training_loop.advance(state, broken, mix_weights.apply, training_loop.RunSettings(steps=10))
    assert figures["skipped"] == 1
    assert after.step == 1
    assert after.scorer_moments.steps == after.reference_moments.steps == 0
    assert all(torch.equal(value, state.scorer[name]) for name, value in after.scorer.items())
    assert all(torch.equal(value, state.reference[name]) for name, value in after.reference.items())


def test_a_reference_that_is_not_updated_stays_while_its_moments_advance():
    world = World(60)
    settings = training_loop.RunSettings(steps=10, warmup=1, update_reference=False)
    state = begin(world)
    after, _ = training_loop.advance(state, next(world.batches()), mix_weights.apply, settings)
    assert all(torch.equal(value, state.reference[name]) for name, value in after.reference.items())
    assert after.reference_moments.steps == 1
    assert after.reference_moments.first[training_loop.SCALE] != 0
    assert float(after.reference[training_loop.SCALE]) == pytest.approx(meta_gradient.DOWNSTREAM_SCALE)


def test_the_downstream_scale_takes_the_steps_of_the_reference_and_is_not_clamped():
    world = World(60)
    settings = training_loop.RunSettings(steps=10, warmup=1, learning_rate=0.5, scoring_learning_rate=1e-9)
    state = begin(world)
    after, figures = training_loop.advance(state, next(world.batches()), mix_weights.apply, settings)
    moved = float(after.reference[training_loop.SCALE]) - meta_gradient.DOWNSTREAM_SCALE
    assert figures["learning_rate"] == 0.5
    assert abs(moved) == pytest.approx(0.5, rel=1e-3)  # a first step of AdamW is the learning rate
    high = state._replace(reference={**state.reference, training_loop.SCALE: torch.tensor(6.0)})
    kept, _ = training_loop.advance(high, next(world.batches()), mix_weights.apply, settings)
    assert abs(float(kept.reference[training_loop.SCALE]) - 6) == pytest.approx(0.5, rel=1e-3)
    assert set(after.scorer) == {mix_weights.WEIGHT}


def test_a_reference_that_is_not_updated_keeps_its_learning_rate():
    world = World(60)
    settings = training_loop.RunSettings(steps=10, warmup=5, learning_rate=5e-5, update_reference=False)
    _, figures = training_loop.advance(begin(world), next(world.batches()), mix_weights.apply, settings)
    assert figures["learning_rate"] == 5e-5


def test_draws_are_a_function_of_seed_and_step():
    draws = task_batches.Draws(3, 5)
    rows, picked = draws.of(7, "", 20, 4, 9)
    again = draws.of(7, "", 20, 4, 9)
    assert torch.equal(rows, again[0])
    assert torch.equal(picked, again[1])
    assert len(set(rows.tolist())) == 5
    assert not torch.equal(rows, draws.of(8, "", 20, 4, 9)[0])
    assert not torch.equal(rows, task_batches.Draws(4, 5).of(7, "", 20, 4, 9)[0])
    assert len(draws.of(0, "", 3, 4, 9)[0]) == 3


def test_curves_leave_out_skipped_steps():
    row = {"up_loss": 1.0, "down_loss": 2.0, "down_accuracy": 0.5, "effective": 0.1, "skipped": 0}
    history = [{**row, "step": n, "up_loss": float(n)} for n in range(10)] + [{"step": 10, "skipped": 1}]
    assert [point["up_loss"] for point in training_loop.smoothed(history, 5)] == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert training_loop.smoothed(history[-1:]) == []


def test_a_mix_is_written_as_a_step_of_a_recipe(tmp_path):
    params = {mix_weights.WEIGHT: torch.tensor([[0.25, -1.5]])}
    weights = mix_weights.save(tmp_path, ["a.score", "b.score"], params, {"a.score": 1.0}, {"a.score": 2.0})
    step = yaml.safe_load((tmp_path / "mix.yaml").read_text())
    assert step == {"mix": {"weights": weights, "standardise": True, "as": "mflyt_score"}}
    arrays = {"a": np.array([1.0, 3.0]), "b": np.array([5.0, 5.0])}
    found = mix_weights.standardised(arrays, {"b": 4.0, "a": 2.0}, {"b": 2.0, "a": 1.0})
    np.testing.assert_allclose(found, [[0.5, -1], [0.5, 1]])


@pytest.mark.parametrize("restart", [0, 3])
def test_random_starts_differ_by_seed_and_restart(restart):
    starts = [reference_model.Projections(DIM, 3.0, seed).start(restart)["image"] for seed in (0, 0, 1)]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert not torch.equal(starts[0], reference_model.Projections(DIM, 3.0, 0).start(restart + 1)["image"])
