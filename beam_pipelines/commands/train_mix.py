"""Train the weights of a mix of scores by the loss of a reference model that learns from them (M-FLYT).

winnow train-mix --pool out --output my-mix --downstream labelled --score tinyclip.score --score other.score
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.config.train import TrainMixConfig
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import driver
from beam_pipelines.training import flyt_training


def plan(config: TrainMixConfig, problems: Problems) -> driver.Work | None:
    """Finds the pool, its scores and embeddings, and the labelled pictures."""
    inputs = flyt_training.check(config, problems, sorted(config.score))
    if problems or inputs is None:
        return None
    return driver.Work(flyt_training.summary(inputs), lambda: None, None, lambda: train(config, inputs))


def train(config: TrainMixConfig, inputs: flyt_training.TrainingInputs) -> tuple[str, dict[str, Any]]:
    """Trains the mix and writes it; returns a line for people, and the weights with the run's figures."""
    from transforms.lib.flyt import mix_weights

    scorer = flyt_training.TrainedScorer(
        mix_weights.start(len(inputs.scores)),
        mix_weights.apply,
        lambda rows, survey: [mix_weights.standardised(rows.arrays, survey.mean, survey.std)],
    )
    trained = flyt_training.train(config, inputs, scorer)
    survey = trained.survey
    weights = mix_weights.save(Path(config.output), inputs.scores, trained.params, survey.mean, survey.std)
    shown = {name: round(value, 6) for name, value in weights.items()}
    return flyt_training.sentence(config, trained), {"output": config.output, **trained.figures, "weights": shown}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("train-mix", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
