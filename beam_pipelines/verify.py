"""Verify a finished output: files against the manifest, decisions against books, shards against the input.

winnow verify --output out
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.reading import VerifyConfig
from beam_pipelines.config.reshard import ReshardConfig
from beam_pipelines.planning import column_sets, plan_facts, reshard, selections, workspace
from beam_pipelines.running import driver
from transforms.lib.errors import InputError
from transforms.outputs import inventory, ledger, manifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.selections import Selection, section_of, stale, stale_line
from transforms.reshard import PlanAgain
from transforms.rows import FileRow
from transforms.shards import ListRefs
from transforms.storage import filesystem
from transforms.verify import CheckOutput, Found, VerifyOutputs
from transforms.workers.write_shard import ReshardSettings


def read_outputs(output: str, selection: Selection) -> tuple[list[FileRow], ReshardSettings | None]:
    """Reads the files that the manifest lists, and the settings of ``reshard``, None where it did not run.

    Raises:
      InputError: there is no manifest, or its last job did not end.
    """
    known = manifest.read(output)
    if selection.name and section_of(selection.name) not in known.sections:
        raise InputError(f"--output {output} is not finished; run `winnow select`, or `winnow curate`, to the end")
    if "reshard" not in known.sections:
        return known.files, None
    earlier = {"captions": "keep", "carry": "all", "image_name": "keep"}  # what versions without these flags did
    config = ReshardConfig(output=output, **{**earlier, **known.section("reshard").configuration})
    settings = reshard.reshard_settings(config, selection.id)
    if not config.add_to_json:
        return known.files, settings
    schemas = column_sets.stored_schemas(output, workspace.read_pool(output))
    return known.files, dataclasses.replace(settings, added=reshard.added_fields(config.add_to_json, schemas))


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


def report_uri(config: VerifyConfig, problems: plan_facts.Problems) -> str:
    """Returns where the report goes: where the user says, else into the output folder, if that can be written to."""
    if config.report:
        return config.report
    try:
        filesystem.check_writable(config.output)
    except InputError:
        report = filesystem.join(tempfile.mkdtemp(prefix="winnow-verify-"), "verify.json")
        problems.notes.append(f"--output {config.output} is read-only; the report goes to {report}")
        return report
    return filesystem.join(config.output, "verify.json")


def plan(config: VerifyConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the files and the shards to check."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    found = problems.collect(selections.find, config.output, config.selection, refs) if refs else None
    known = problems.collect(read_outputs, config.output, found) if found else None
    if problems or refs is None or found is None or known is None:
        return None
    files, settings = known
    checking = None
    held = stale(config.output, found.id)
    listed = {file.path for file in files}
    unlisted = inventory.extra(config.output, listed, {ref.name for ref in refs}, found.id)
    lines = [f"{path} is not listed in the manifest: no job wrote it, or its entry was removed" for path in unlisted]
    try:
        workspace.check_run(config.output)
    except InputError as error:
        lines += error.problems
    if settings and held is None:
        ledgers = any(path.startswith(f"{ledger.FOLDER}/") for path in listed)
        checking = CheckOutput(config.output, settings.contents, settings.format, config.compare_input, ledgers)
    report = report_uri(config, problems)
    noticed = Found(report, tuple(lines), "" if held is None else stale_line(held, found.id))
    holes, dropped = config.accept_holes, config.compare_dropped
    checks = VerifyOutputs(found, None, checking, holes, dropped, noticed)

    def finish() -> tuple[str, dict[str, Any]]:
        counts = json.loads(filesystem.read_bytes(report))
        text = "verified: {files} files, {input_shards} input and {output_shards} output shards, {samples} samples"
        return f"{text.format(**counts)}\n{found.words}", counts

    summary = {"files": len(files), "input_shards": len(refs)}
    return driver.Work(
        summary,
        lambda: None,
        lambda pipeline: build(pipeline, refs, settings if checking else None, checks),
        finish,
        holds=(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("verify", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
