"""Learn the weights of a mix of scores by what it teaches a reference model (M-FLYT); plain torch, no Beam inside.

winnow train-mix --pool out --output my-mix --downstream labelled --score tinyclip.score --score other.score
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.config.train import TrainMixConfig
from beam_pipelines.planning import training
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import local


def plan(config: TrainMixConfig, problems: Problems) -> training.Found | None:
    """Finds out what there is to learn from."""
    return training.check(config, problems, sorted(config.score))


def work(config: TrainMixConfig, found: training.Found) -> dict[str, Any]:
    """Trains the mix and writes it; returns the weights and the run's figures."""
    from transforms.lib.flyt import mix_weights

    scorer = training.TrainedScorer(
        mix_weights.start(len(found.scores)),
        mix_weights.apply,
        lambda rows, survey: [mix_weights.standardised(rows.arrays, survey.mean, survey.std)],
    )
    trained = training.train(config, found, scorer)
    survey = trained.survey
    weights = mix_weights.save(Path(config.output), found.scores, trained.params, survey.mean, survey.std)
    return {**trained.figures, "weights": {name: round(value, 6) for name, value in weights.items()}}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code: 0 done, 2 the request is wrong."""
    return local.main("train-mix", argv, plan, work)


if __name__ == "__main__":
    sys.exit(main())
