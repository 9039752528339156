"""What there is to verify: the files of the manifest, the settings of the shards, and what the driver finds itself."""

from __future__ import annotations

import dataclasses
import tempfile
from typing import NamedTuple

from beam_pipelines.config.reading import VerifyConfig
from beam_pipelines.config.reshard import ReshardConfig
from beam_pipelines.planning import column_sets, plan_facts, reshard, workspace
from transforms.lib.errors import InputError
from transforms.outputs import inventory, ledger, manifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.selections import Selection, section_of, stale, stale_line
from transforms.rows import FileRow
from transforms.storage import filesystem
from transforms.verify import CheckOutput, Found, VerifyOutputs
from transforms.workers.write_shard import ReshardSettings


class Outputs(NamedTuple):
    """What jobs left behind.

    Attributes:
      files: that the manifest lists.
      settings: of ``reshard``; None where it did not run.
    """

    files: list[FileRow]
    settings: ReshardSettings | None


def read_outputs(output: str, selection: Selection) -> Outputs:
    """Reads the manifest.

    Raises:
      InputError: there is no manifest, or its last job did not end.
    """
    known = manifest.read(output)
    if selection.name and section_of(selection.name) not in known.sections:
        raise InputError(f"--output {output} is not finished; run `winnow select`, or `winnow curate`, to the end")
    if "reshard" not in known.sections:
        return Outputs(known.files, None)
    earlier = {"captions": "keep", "carry": "all", "image_name": "keep"}  # what versions without these flags did
    config = ReshardConfig(output=output, **{**earlier, **known.section("reshard").configuration})
    settings = reshard.reshard_settings(config, selection.id)
    if not config.add_to_json:
        return Outputs(known.files, settings)
    schemas = column_sets.stored_schemas(output, workspace.read_pool(output))
    return Outputs(known.files, dataclasses.replace(settings, added=reshard.added_fields(config.add_to_json, schemas)))


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


def checks_of(
    config: VerifyConfig, selection: Selection, refs: Pool, known: Outputs, problems: plan_facts.Problems
) -> VerifyOutputs:
    """Returns the checks, with what is found before any file is read: missing entries, run.json, stale shards.

    Args:
      config: of the job.
      selection: whose decisions are checked.
      refs: the shards of the pool.
      known: what jobs left behind.
      problems: gets a note where the output cannot hold the report.
    """
    held = stale(config.output, selection.id)
    listed = {file.path for file in known.files}
    unlisted = inventory.extra(config.output, listed, {ref.name for ref in refs}, selection.id)
    lines = [f"{path} is not listed in the manifest: no job wrote it, or its entry was removed" for path in unlisted]
    try:
        workspace.check_run(config.output)
    except InputError as error:
        lines += error.problems
    checking = None
    if known.settings and held is None:
        ledgers = any(path.startswith(f"{ledger.FOLDER}/") for path in listed)
        checking = CheckOutput(
            config.output, known.settings.contents, known.settings.format, config.compare_input, ledgers
        )
    found = Found(report_uri(config, problems), tuple(lines), "" if held is None else stale_line(held, selection.id))
    return VerifyOutputs(selection, None, checking, config.accept_holes, config.compare_dropped, found)
