"""Curate a pool: score every sample, select by a recipe, write better shards.

winnow curate --input 'pool/*.tar' --output out --recipe dfn --keep_fraction 0.3

Every row that moves is one shard. Images are read twice, once to score and once to copy what was kept.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam

from beam_pipelines import driver, planning, workspace
from beam_pipelines.config import CurateConfig, ReshardConfig, ScoreConfig, SelectConfig
from transforms.fit import FitRecipe
from transforms.manifest import MakeSection, WriteManifest
from transforms.report import ReportFacts, WriteReport
from transforms.reshard import ReshardCopies
from transforms.score import ScoreShards
from transforms.select import WriteDecisions
from transforms.shards import ListShards


class CuratePlan(NamedTuple):
    """The plans of the three jobs that ``curate`` is."""

    score: planning.ScorePlan
    select: planning.SelectPlan
    reshard: planning.ReshardPlan
    report: ReportFacts


def build(pipeline: beam.Pipeline, plan: CuratePlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    # 1. Tars -> columns.
    scored = pipeline | "List" >> ListShards(plan.score.shards) | "Score" >> ScoreShards(plan.score.settings)
    refs = scored | "Refs" >> beam.Map(lambda row: row.ref)

    # 2. Columns -> a few global numbers -> copies, and books that close.
    states = refs | "Fit" >> FitRecipe(plan.select.settings.recipe, plan.select.settings.reader)
    selection = refs | "Decide" >> WriteDecisions(plan.select.settings, states)

    # 3. Copies -> equal shards.
    resharded = selection.sources | "Reshard" >> ReshardCopies(plan.reshard.settings, selection.books)
    report = selection.books | "Report" >> WriteReport(plan.report, selection.summary)

    # 4. What was done, with the sha256 of every file.
    score_files = scored | "ScoreFiles" >> beam.FlatMap(lambda row: row.files)
    select_files = (selection.files, report) | "SelectFiles" >> beam.Flatten()
    sections = (
        score_files | "ScoreSection" >> MakeSection("score", plan.score.facts),
        select_files | "SelectSection" >> MakeSection("select", plan.select.facts, selection.summary),
        resharded.files | "ReshardSection" >> MakeSection("reshard", plan.reshard.facts),
    ) | "Sections" >> beam.Flatten()
    sections | "Manifest" >> WriteManifest(plan.score.settings.root)


def plan(config: CurateConfig, problems: planning.Problems) -> driver.Work | None:
    """Finds out what there is to do."""
    scoring = planning.plan_score(planning.narrow(config, ScoreConfig), problems)
    sets = planning.model_sets(scoring) if scoring else {}
    selecting = planning.plan_select(planning.narrow(config, SelectConfig), problems, sets)
    resharding = planning.plan_reshard(planning.narrow(config, ReshardConfig))
    record = problems.collect(workspace.check_output, config, "curate") if config.output else None
    if problems or scoring is None or selecting is None or record is None:
        return None
    report = selecting.report(" ".join(sorted(config.input)))
    whole = CuratePlan(scoring, selecting, resharding, report)

    def prepare() -> None:
        workspace.write_run(config.output, record)
        workspace.write_pool(config.output, scoring.shards)

    steps = [step.sentence() for step in selecting.settings.recipe.steps]
    return driver.Work(
        {**planning.score_summary(scoring), "steps": steps},
        prepare,
        lambda pipeline: build(pipeline, whole),
        lambda: workspace.outcome(config.output),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("curate", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
