"""Curate a pool: score every sample, select by a recipe, write better shards.

winnow curate --input 'pool/*.tar' --output out --recipe dfn --keep_fraction 0.3

Each element of the pipeline is one shard. Images are read twice: to score, and to copy what was kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines.config.curate import CurateConfig
from beam_pipelines.config.score import ScoreConfig
from beam_pipelines.config.select import SelectConfig
from beam_pipelines.planning import crawl, plan_facts, reshard, score, select, workspace
from beam_pipelines.running import driver, wiring
from transforms.lib.inference import timing
from transforms.lib.report import tar_remarks
from transforms.outputs import crawls
from transforms.outputs.selections import section_of


def plan(config: CurateConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Plans all stages, and checks that an earlier crawl allows this one."""
    scoring = score.plan_score(plan_facts.narrow(config, ScoreConfig), problems)
    sets = score.model_sets(scoring) if scoring else {}
    shards = len(scoring.shards) if scoring else 0
    selecting = select.plan_select(plan_facts.narrow(config, SelectConfig), problems, sets, shards, scoring)
    schemas = score.model_schemas(scoring) if scoring else {}
    selection = selecting.settings.selection if selecting else ""
    resharding = reshard.plan_reshard(config, scoring.shards if scoring else [], problems, schemas, selection)
    writes = score.sets_of(scoring)
    record = problems.collect(workspace.check_output, config, "curate", writes) if config.output else None
    if config.crawl_id and record is not None:
        problems.collect(crawls.predecessor, config.output, config.compare_with)
    if problems or scoring is None or selecting is None or record is None:
        return None
    report = selecting.report(" ".join(sorted(config.input)))
    publish = crawl.publishing(config) if config.crawl_id else None
    stages = wiring.WholePlan(scoring, selecting, resharding, report, publish)
    done = selecting.crawl is not None and selecting.crawl.done(config.output)

    def prepare() -> None:
        workspace.write_run(config.output, {**record, "sets": ()} if done else record)
        workspace.write_pool(config.output, scoring.shards)
        if not done:
            selecting.prepare()
        if selecting.crawl and not done:
            selecting.crawl.prepare(config.output)

    def build(pipeline: beam.Pipeline) -> None:
        if done and publish:
            wiring.publish_alone(pipeline, publish)
        else:
            wiring.build(pipeline, stages)

    steps = [step.sentence() for step in selecting.settings.recipe.steps]
    return driver.Work(
        {**score.score_summary(scoring), "steps": steps},
        prepare,
        build,
        lambda: workspace.outcome(config.output, config.name),
        lambda counters: "\n".join(filter(None, (tar_remarks.sentence(counters), timing.sentence(counters)))),
        details=scoring.left,
        holds=("curate", "score", section_of(config.name), "reshard"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("curate", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
