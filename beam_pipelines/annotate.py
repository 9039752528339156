"""Annotate a scored pool: add column sets such as the language of each caption; no image is read.

winnow annotate --output out --columns language,caption
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.annotate import AnnotateConfig
from beam_pipelines.planning import annotate, column_sets, plan_facts, workspace
from beam_pipelines.running import driver
from transforms.annotate import AnnotateShards
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.shards import ListRefs


def build(pipeline: beam.Pipeline, refs: Pool, plan: annotate.AnnotatePlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> ListRefs(refs)
    files = shards | "Annotate" >> AnnotateShards(plan.settings) | "Files" >> beam.FlatMap(lambda row: row.files)
    sections = [
        files
        | f"Of_{name}" >> beam.Filter(lambda row, wanted: row[0] == wanted, name)
        | f"FilesOf_{name}" >> beam.Map(lambda row: row[1])
        | f"Manifest_{name}" >> MakeSection(f"annotate/{name}", facts, root=plan.settings.root)
        for name, facts in plan.facts.items()
    ]
    sections | "Sections" >> beam.Flatten() | "WriteManifest" >> WriteManifest(plan.settings.root)


def plan(config: AnnotateConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the columns of the pool, and the models and files of the annotators."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    sets = problems.collect(column_sets.stored_sets, config.output, refs) if refs else None
    annotation = annotate.plan_annotate(config, problems, sets or {}, refs or [])
    writes = workspace.OwnedSets(
        "annotate", config.wanted(), "--columns", "leave it out, or delete it to have it made here"
    )
    record = problems.collect(workspace.check_output, config, "annotate", writes) if refs else None
    if problems or annotation is None or refs is None or record is None:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        names = sorted(annotation.facts)
        return f"{len(refs)} shards are annotated; columns: {', '.join(names)}", {"shards": len(refs), "columns": names}

    return driver.Work(
        annotate.summary(annotation, refs),
        lambda: workspace.write_run(config.output, record),
        lambda pipeline: build(pipeline, refs, annotation),
        finish,
        details=lambda: annotate.left(annotation, refs),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("annotate", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
