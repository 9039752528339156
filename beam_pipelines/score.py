"""Score a pool: read every shard once, write its index and each model's scores and embeddings.

winnow score --input 'pool/*.tar' --output out --model tinyclip
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.score import ScoreConfig
from beam_pipelines.planning import plan_facts, score, workspace
from beam_pipelines.running import driver
from transforms.lib.inference import timing
from transforms.lib.report import rejections, tar_remarks
from transforms.outputs import rejected_samples
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.score import ScoreShards
from transforms.shards import ListPool


def build(pipeline: beam.Pipeline, plan: score.ScorePlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    scored = pipeline | "List" >> ListPool(plan.pool) | "Score" >> ScoreShards(plan.settings)
    files = scored | "Files" >> beam.FlatMap(lambda row: row.files)
    section = files | "Manifest" >> MakeSection("score", plan.facts, root=plan.settings.root)
    section | "WriteManifest" >> WriteManifest(plan.settings.root)


def plan(config: ScoreConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the shards and the models."""
    scoring = score.plan_score(config, problems)
    writes = score.sets_of(scoring)
    record = problems.collect(workspace.check_output, config, "score", writes) if config.output else None
    if problems or scoring is None or record is None:
        return None

    def prepare() -> None:
        workspace.write_run(config.output, record)
        workspace.write_pool(config.output, scoring.shards)

    def finish() -> tuple[str, dict[str, Any]]:
        sets = ", ".join(model.name for model in scoring.settings.models)
        return f"{len(scoring.shards)} shards are scored; columns: {sets}", {"shards": len(scoring.shards)}

    def remark(counters: Mapping[str, int]) -> str:
        rejected = rejections.sentence(counters)
        if rejected:
            names = [shard.name for shard in scoring.shards]
            details = rejected_samples.first_details(config.output, names, rejections.EXPLAINED)
            rejected = "\n".join([rejected, *rejections.hints(details)])
        return "\n".join(filter(None, (rejected, tar_remarks.sentence(counters), timing.sentence(counters))))

    def add(pipeline: beam.Pipeline) -> None:
        build(pipeline, scoring)

    return driver.Work(score.score_summary(scoring), prepare, add, finish, remark, details=scoring.left)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("score", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
