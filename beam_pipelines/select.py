"""Select by a recipe: fit it on the columns of a scored pool, write decisions, books, subset and report.

winnow select --output out --recipe clip_score --set top_fraction.fraction=0.2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines.config.select import SelectJobConfig
from beam_pipelines.planning import column_sets, dedup, making, plan_facts, select, workspace
from beam_pipelines.running import driver, wiring
from transforms.outputs.manifest import WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.selections import section_of, stale
from transforms.reporting.compose import ReportFacts
from transforms.shards import ListRefs


def build(pipeline: beam.Pipeline, refs: Pool, plan: select.SelectPlan, facts: ReportFacts) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> ListRefs(refs)
    selected = wiring.select(shards, plan, facts, len(refs))
    _ = selected.sections | "Sections" >> beam.Flatten() | "WriteManifest" >> WriteManifest(plan.settings.root)


def missing(config: SelectJobConfig, sets: dict[str, list[str]]) -> list[making.Call]:
    """Returns the jobs that make the columns which the recipe reads and the pool lacks.

    Raises:
      ConfigError: some cannot be made without a word of the user.
    """
    problems = plan_facts.Problems()
    recipe = select.recipe_of(config, problems)
    if recipe is None:
        return []  # the plan says why
    names = making.lacking(recipe.inputs(), sets)
    pool = making.pool_flags(workspace.pool_flags(config.output)) if names else {}
    return making.calls_for(names, sets, pool, config.output, recipe.hints())


def plan(config: SelectJobConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the columns of the pool and those that the recipe reads."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    sets = problems.collect(column_sets.stored_sets, config.output, refs) if refs else None
    if refs and sets and config.dedup_against == "kept_images":
        problems.collect(dedup.check_images, config.output, "--output", refs, "exact")
    if refs and sets and config.make_columns and (calls := problems.collect(missing, config, sets)):
        return driver.Work({"first": [f"winnow {call.job}" for call in calls]}, first=tuple(calls))
    if problems:
        return None
    selecting = select.plan_select(config, problems, sets or {}, len(refs or ()))
    record = problems.collect(workspace.check_output, config, section_of(config.name)) if refs else None
    if problems or selecting is None or refs is None or record is None:
        return None

    def prepare() -> None:
        workspace.write_run(config.output, record)
        selecting.prepare()
        if selecting.crawl:
            selecting.crawl.prepare(config.output)

    def facts() -> ReportFacts:
        held = stale(config.output, selecting.settings.selection)
        return selecting.report(workspace.pool_of(config.output), stale=held)

    return driver.Work(
        {"shards": len(refs), "steps": [step.sentence() for step in selecting.settings.recipe.steps]},
        prepare,
        lambda pipeline: build(pipeline, refs, selecting, facts()),
        lambda: workspace.outcome(config.output, config.name),
        spread=True,
        holds=(section_of(config.name),),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("select", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
