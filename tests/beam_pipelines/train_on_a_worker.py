"""Run train-filter's step in a Beam pipeline, as a worker of another runner does, and then plan it a second time."""

import sys

import apache_beam as beam

from beam_pipelines import train_filter
from beam_pipelines.config.train_filter import TrainConfig
from beam_pipelines.planning.plan_facts import Problems
from beam_pipelines.running import beam_options, options


def main() -> None:
    """Train from the flags given, and print what a second plan with the same flags finds in the way."""
    config = options.parse("train-filter", sys.argv[1:]).config
    assert isinstance(config, TrainConfig)
    work = train_filter.plan(config, Problems(elsewhere=True))
    assert work is not None
    assert work.build is not None
    with beam.Pipeline(options=beam_options.pipeline_options([])) as pipeline:
        work.build(pipeline)
    problems = Problems(elsewhere=True)
    assert train_filter.plan(config, problems) is None
    print(problems)


if __name__ == "__main__":
    main()
