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

from beam_pipelines import driver, planning, workspace
from beam_pipelines.config import ImportConfig
from transforms import manifest, storage
from transforms.imports import ImportScores, ImportSettings
from transforms.lib import columns, modelspec, scoretable
from transforms.lib.errors import InputError
from transforms.manifest import MakeSection, WriteManifest
from transforms.rows import FeatureRef


def find_tables(patterns: Sequence[str]) -> list[str]:
    """Returns local paths of the tables that patterns match, sorted.

    Raises:
      InputError: a pattern matches nothing.
    """
    matched = storage.match(patterns)
    lacking = [pattern for pattern, found in zip(patterns, matched, strict=True) if not found]
    if lacking:
        raise InputError([f"--input {pattern!r} matches no file; check the address" for pattern in lacking])
    return sorted({storage.fetch(info.uri) for found in matched for info in found})


def check_name(config: ImportConfig) -> None:
    """Checks that no model has made, and Winnow does not need, the column set that is to be written.

    Raises:
      InputError: it is taken.
    """
    models = manifest.read(config.output).get("score", {}).get("stamps", {}).get("models", {})
    if config.name in (columns.INDEX, "decisions", *models):
        raise InputError(f"--name {config.name} is a column set that Winnow makes; choose another")


def settings_of(config: ImportConfig, paths: list[str]) -> ImportSettings:
    """Returns what is to be imported.

    Raises:
      InputError: a table cannot be read or lacks columns.
    """
    found = [scoretable.score_columns(scoretable.schema_of(path), config.by, config.columns) for path in paths]
    if len({tuple(sorted(names)) for names in found}) > 1:
        raise InputError("the tables have different columns of numbers; name those to import by --columns")
    sources = tuple(sorted(modelspec.sha256_of(path) for path in paths))
    lookup = storage.join(config.output, "imports", f"{config.name}.npy")
    made = tuple(sorted(found[0]))
    return ImportSettings(config.output, config.name, config.by, made, sources, lookup, config.min_coverage)


def build(pipeline: beam.Pipeline, refs: list[FeatureRef], settings: ImportSettings, facts: dict[str, Any]) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> beam.Create(refs).with_output_types(FeatureRef) | beam.Reshuffle()
    files, coverage = shards | "Import" >> ImportScores(settings)
    section = files | "Manifest" >> MakeSection(f"import-scores {settings.name}", facts, coverage)
    section | "WriteManifest" >> WriteManifest(settings.root)


def plan(config: ImportConfig, problems: planning.Problems) -> driver.Work | None:
    """Finds out what the tables hold; sorts them unless every shard is done."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    if refs:
        problems.collect(workspace.stored_sets, config.output, refs)
    paths = problems.collect(find_tables, config.input) if config.input else None
    if config.output:
        problems.collect(check_name, config)
    settings = problems.collect(settings_of, config, paths) if paths and not problems else None
    record = problems.collect(workspace.check_output, config, f"import-scores {config.name}") if refs else None
    if problems or refs is None or settings is None or record is None:
        return None
    todo = sum(settings.finished(ref) is None for ref in refs)
    rows = problems.collect(scoretable.read_table, paths, config.by, settings.columns) if todo else None
    if problems:
        return None

    def prepare() -> None:
        workspace.write_run(config.output, record)
        if rows is not None:
            sink = io.BytesIO()
            np.save(sink, rows, allow_pickle=False)
            storage.write_atomic(settings.lookup, sink.getbuffer())

    def finish() -> tuple[str, dict[str, Any]]:
        if storage.exists(settings.lookup):
            storage.delete([settings.lookup])
        counts = manifest.read(config.output)[f"import-scores {config.name}"]["counts"]
        lacking = f"{counts['missing']} of {counts['samples']} samples lack a value"
        return f"{config.name}: {', '.join(settings.columns)}; {lacking}", counts

    facts = {"configuration": config.recorded(), "stamps": {"tables": settings.sources}, "version": planning.version()}
    summary = {"shards": len(refs), "to_import": todo, "columns": list(settings.columns)}
    return driver.Work(summary, prepare, lambda pipeline: build(pipeline, refs, settings, facts), finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("import-scores", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
