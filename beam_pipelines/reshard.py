"""Write the decided copies as equal WebDataset shards.

winnow reshard --output out --samples_per_shard 1000
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines import driver, planning, workspace
from beam_pipelines.config import ReshardConfig
from transforms.manifest import MakeSection, WriteManifest
from transforms.reshard import ReadSources, ReshardCopies
from transforms.rows import FeatureRef


def build(pipeline: beam.Pipeline, refs: list[FeatureRef], plan: planning.ReshardPlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> beam.Create(refs).with_output_types(FeatureRef) | beam.Reshuffle()
    sources = shards | "Sources" >> ReadSources(plan.settings.root)
    resharded = sources | "Reshard" >> ReshardCopies(plan.settings)
    section = resharded.files | "Manifest" >> MakeSection("reshard", plan.facts)
    section | "WriteManifest" >> WriteManifest(plan.settings.root)


def plan(config: ReshardConfig, problems: planning.Problems) -> driver.Work | None:
    """Finds out which decisions there are."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    if refs:
        problems.collect(workspace.check_decisions, config.output, refs)
    record = problems.collect(workspace.check_output, config, "reshard") if refs else None
    if problems or refs is None or record is None:
        return None
    resharding = planning.plan_reshard(config)
    return driver.Work(
        {"shards": len(refs)},
        lambda: workspace.write_run(config.output, record),
        lambda pipeline: build(pipeline, refs, resharding),
        lambda: workspace.outcome(config.output),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("reshard", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
