"""Verify a finished output: files against the manifest, decisions against books, shards against the input.

winnow verify --output out
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.reading import VerifyConfig
from beam_pipelines.planning import plan_facts, selections, verify, workspace
from beam_pipelines.running import driver
from transforms.outputs.pool_table import Pool
from transforms.reshard import PlanAgain
from transforms.shards import ListRefs
from transforms.storage import filesystem
from transforms.verify import VerifyOutputs
from transforms.workers.write_shard import ReshardSettings


def build(pipeline: beam.Pipeline, refs: Pool, settings: ReshardSettings | None, checks: VerifyOutputs) -> None:
    """Adds the whole job to ``pipeline``; runs nothing.

    Args:
      pipeline: of the job.
      refs: the shards of the pool.
      settings: of the output shards; None when nothing was resharded, or from another selection.
      checks: all else.
    """
    shards = pipeline | "Refs" >> ListRefs(refs)
    if settings:
        outputs = shards | "Outputs" >> PlanAgain(settings)
        checks = dataclasses.replace(checks, outputs=outputs)
    _ = shards | "Check" >> checks


def plan(config: VerifyConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the files and the shards to check."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    found = problems.collect(selections.find, config.output, config.selection, refs) if refs else None
    known = problems.collect(verify.read_outputs, config.output, found) if found else None
    if problems or refs is None or found is None or known is None:
        return None
    checks = verify.checks_of(config, found, refs, known, problems)
    settings = known.settings if checks.check_output else None  # None where shards are of another selection
    report = checks.found.report

    def finish() -> tuple[str, dict[str, Any]]:
        counts = json.loads(filesystem.read_bytes(report))
        text = "verified: {files} files, {input_shards} input and {output_shards} output shards, {samples} samples"
        return f"{text.format(**counts)}\n{found.words}", counts

    summary = {"files": len(known.files), "input_shards": len(refs)}
    return driver.Work(
        summary,
        lambda: None,
        lambda pipeline: build(pipeline, refs, settings, checks),
        finish,
        holds=(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("verify", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
