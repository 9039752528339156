"""Bring scores of other tools into the column store, from Parquet or CSV tables by uid or key.

winnow import-scores --input scores.parquet --output out --by uid --name others
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np

from beam_pipelines.config.imports import ImportConfig
from beam_pipelines.planning import column_sets, import_scores, plan_facts, workspace
from beam_pipelines.running import driver
from transforms.import_scores import ImportScores, ImportSettings
from transforms.lib.columnstore import columns
from transforms.lib.importers import score_table
from transforms.outputs import manifest
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.shards import ListRefs
from transforms.storage import filesystem


def build(pipeline: beam.Pipeline, refs: Pool, settings: ImportSettings, facts: dict[str, Any]) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> ListRefs(refs)
    files, coverage = shards | "Import" >> ImportScores(settings, len(refs))
    section = files | "Manifest" >> MakeSection(f"import-scores {settings.name}", facts, coverage, root=settings.root)
    section | "WriteManifest" >> WriteManifest(settings.root)


def plan(config: ImportConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the columns of the tables; reads and sorts the tables unless every shard is done."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    if refs:
        problems.collect(column_sets.stored_sets, config.output, refs)
    paths = problems.collect(import_scores.find_tables, config.input) if config.input else None
    schemas = problems.collect(import_scores.schemas_of, paths) if paths and not problems else None
    settings = problems.collect(import_scores.settings_of, config, paths, schemas) if schemas else None
    section = f"import-scores {config.name}"
    writes = workspace.OwnedSets("import-scores", [config.name])
    record = problems.collect(workspace.check_output, config, section, writes) if refs else None
    if problems or refs is None or settings is None or record is None:
        return None
    left_out = import_scores.left_out(schemas or [], settings)
    index = column_sets.made_from(config.output, refs, [columns.INDEX])
    made_by = {"tables": list(settings.sources), "made": settings.made_from(index)}
    again = not column_sets.is_made(config.output, refs, section, config.name, made_by)
    tell = problems.notes.append
    rows = problems.collect(score_table.read_table, paths, config.by, settings.columns, tell) if again else None
    if problems:
        return None

    def prepare() -> None:
        workspace.write_run(config.output, record if again else {**record, "sets": ()})
        if rows is not None:
            sink = io.BytesIO()
            np.save(sink, rows, allow_pickle=False)
            filesystem.write_atomic(settings.lookup, sink.getbuffer())

    def finish() -> tuple[str, dict[str, Any]]:
        if filesystem.exists(settings.lookup):
            filesystem.delete([settings.lookup])
        counts = manifest.read(config.output).section(section).counts
        lacking = f"{counts['missing']} of {counts['samples']} samples lack a value"
        unnamed = f"; left out: {', '.join(name or 'a column without a name' for name in left_out)}" if left_out else ""
        return f"{config.name}: {', '.join(settings.columns)}; {lacking}{unnamed}", counts

    facts = {
        "configuration": config.recorded(),
        "stamps": made_by,
        "version": plan_facts.version(),
    }
    summary = {"shards": len(refs), "columns": list(settings.columns), "left_out": left_out}
    return driver.Work(
        summary,
        prepare,
        lambda pipeline: build(pipeline, refs, settings, facts) if again else None,
        finish,
        holds=(section,),
        details=lambda: {"to_import": sum(settings.finished(ref) is None for ref in refs)},
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("import-scores", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
