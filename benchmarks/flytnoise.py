"""What gives columns of noise weight in M-FLYT: the pool that they happen to fit, or the steps of the optimiser.

python -m benchmarks.flytnoise [--sizes 1000 4000 16000] [--pools 2] [--seeds 3] [--steps 600]

A world of which the truth is known: images and texts are two rotations of concepts, and a third of the pool has texts
of other concepts. One column is a hint of what is clean (AUC about 0.76, as a CLIP score has on ``benchmarks.flyt``),
three are noise. The same pool is learnt from with several training seeds: what the weights of noise have in common over
these comes from the pool, the rest from training. Weights are those of the last step, or their mean over the last half.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from transforms.lib.flyt import mix_weights, reference_model, task_batches, training_loop

DIM, CLASSES, BATCH, LABELLED, COLUMNS = 24, 64, 256, 1280, 4


def unit(values: torch.Tensor) -> torch.Tensor:
    """Returns rows of norm 1."""
    return torch.nn.functional.normalize(values, dim=-1)


class World:
    """A pool, and a labelled set of the same concepts.

    Args:
      n: samples of the pool.
      pool: seed of everything but the training.
      seed: of the training: the start of the reference, the labelled batches and those of the pool.
    """

    def __init__(self, n: int, pool: int, seed: int) -> None:
        g = torch.Generator().manual_seed(pool)
        turns = [torch.linalg.qr(torch.randn(DIM, DIM, generator=g))[0] for _ in range(2)]
        concepts = torch.randn(CLASSES, DIM, generator=g)

        def seen(which: torch.Tensor, side: int) -> torch.Tensor:
            return unit((concepts[which] + 0.5 * torch.randn(len(which), DIM, generator=g)) @ turns[side])

        labels = torch.arange(LABELLED) % CLASSES
        texts = torch.stack([seen(torch.arange(CLASSES), 1) for _ in range(3)], 1)
        task = task_batches.Embedded("", seen(labels, 0), labels, texts)
        which = torch.randint(CLASSES, (n,), generator=g)
        clean = torch.rand(n, generator=g) > 1 / 3
        said = torch.where(clean, which, torch.randint(CLASSES, (n,), generator=g))
        self.image, self.text = (seen(w, side).numpy().astype(np.float16) for side, w in enumerate((which, said)))
        hint = clean.float() + torch.randn(n, generator=g)
        columns = torch.cat([hint[:, None], torch.randn(n, COLUMNS - 1, generator=g)], 1)
        self.columns = (columns - columns.mean(0)) / columns.std(0)
        self.seed = seed
        reference = reference_model.Projections(DIM, 3.0, seed)
        self.feed = task_batches.Frozen(reference, [task], task_batches.Draws(seed, BATCH))

    def batches(self) -> Iterator[training_loop.TrainingBatch]:
        """Yields batches for ever, each pass over the pool in an order of its own."""
        random, step, order = np.random.default_rng([self.seed, 1]), 0, np.zeros(0, int)
        while True:
            if len(order) < BATCH:
                order = random.permutation(len(self.image))
            rows, order = order[:BATCH], order[BATCH:]
            sides = self.feed.upstream(self.image[rows], self.text[rows], [], [])
            yield training_loop.TrainingBatch(self.columns[rows], sides, self.feed.downstream(step))
            step += 1


def learn(world: World, settings: training_loop.RunSettings) -> np.ndarray[Any, Any]:
    """Returns the weights after every step, ``[steps, columns]``."""
    state = training_loop.begin(world.feed.reference.start(), mix_weights.start(COLUMNS))
    found = []
    for step, batch in zip(range(settings.steps), world.batches(), strict=False):
        if step and step % settings.restart_every == 0:
            fresh = training_loop.begin(world.feed.reference.start(step // settings.restart_every), state.scorer)
            state = state._replace(reference=fresh.reference, reference_moments=fresh.reference_moments)
        state, _ = training_loop.advance(state, batch, mix_weights.apply, settings)
        found.append(state.scorer[mix_weights.WEIGHT][0].detach().numpy().copy())
    return np.array(found)


def row(name: str, weights: np.ndarray[Any, Any]) -> str:
    """Returns a line of the table of weights ``[pools, seeds, columns]``, noise as a share of the hint's weight."""
    share = weights[..., 1:] / weights[..., :1]
    common = share.mean(axis=1)
    left = share - common[:, None]
    seeds = share.shape[1]
    own = (left**2).sum(axis=1).mean() / (seeds - 1)
    pool = max(0.0, float((common**2).mean() - own / seeds))
    cells = (weights[..., 0].mean(), np.sqrt((share**2).mean()), np.abs(share).max(), np.sqrt(pool), np.sqrt(own))
    return f"| {name} | " + " | ".join(f"{value:.3f}" for value in cells) + " |"


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 16000], help="samples of the pool")
    parser.add_argument("--pools", type=int, default=2, help="pools of each size")
    parser.add_argument("--seeds", type=int, default=3, help="trainings on each pool")
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate of the mix")
    told = parser.parse_args()
    torch.set_num_threads(1)
    settings = training_loop.RunSettings(
        steps=told.steps, warmup=10, learning_rate=5e-3, scoring_learning_rate=told.rate, scoring_eps=1e-12,
        restart_every=30,
    )  # fmt: skip
    print("| pool, weights | hint's weight | noise, root mean square | largest | of the pool | of training |")
    print("|---|---|---|---|---|---|", flush=True)
    for size in told.sizes:
        runs = [
            learn(World(size, *seeds), settings) for seeds in itertools.product(range(told.pools), range(told.seeds))
        ]
        weights = np.array(runs).reshape(told.pools, told.seeds, told.steps, COLUMNS)
        print(row(f"{size:,}, last", weights[:, :, -1]))
        print(row(f"{size:,}, mean of the last half", weights[:, :, told.steps // 2 :].mean(axis=2)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
