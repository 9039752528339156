"""Make a pool of DataComp's published metadata: columns to select by, without any shard.

winnow import-datacomp --input metadata --output out
winnow select --output out --recipe clip_score --set top_fraction.column=clip_l14_similarity_score
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.imports import DATACOMP_SETS, MetadataConfig
from beam_pipelines.planning import plan_facts, workspace
from beam_pipelines.running import driver
from transforms.import_datacomp import ImportMetadata, MetadataSettings, MetaFile, check_files, find_files
from transforms.lib import stamps
from transforms.lib.errors import InputError
from transforms.outputs import manifest, takedowns
from transforms.outputs.manifest import MakeSection, WriteManifest

JOB = "import-datacomp"


def sets_of(config: MetadataConfig, files: Sequence[MetaFile]) -> tuple[str, ...]:
    """Returns the column sets of embeddings to make.

    Raises:
      InputError: some files have embeddings and others lack them.
    """
    lacking = [file.uri for file in files if not file.npz]
    if config.embeddings == "none" or (len(lacking) == len(files) and not config.embeddings):
        return ()
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(files)} metadata files have no .npz beside them ({lacking[0]} ...); "
            "download the rest, or use --embeddings none"
        )
    return config.wanted() or DATACOMP_SETS


def build(
    pipeline: beam.Pipeline, files: Sequence[MetaFile], settings: MetadataSettings, facts: dict[str, Any]
) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    spread = pipeline | "Files" >> beam.Create(list(files)) | "Spread" >> beam.Reshuffle()
    written, counts = spread | "Import" >> ImportMetadata(settings)
    section = written | "Manifest" >> MakeSection(JOB, facts, counts, root=settings.root)
    section | "WriteManifest" >> WriteManifest(settings.root)


def plan(config: MetadataConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the metadata, and checks the footer of every Parquet file and the headers of every npz file."""
    files = problems.collect(find_files, config.input) if config.input else None
    sets = problems.collect(sets_of, config, files) if files else None
    if files and sets is not None and not problems:
        problems.collect(check_files, files, sets)
    writes = workspace.OwnedSets(
        JOB, ["datacomp", *(sets or ())], "--embeddings", "delete it, or name another --output"
    )
    record = problems.collect(workspace.check_output, config, JOB, writes) if config.output else None
    if problems or files is None or sets is None or record is None:
        return None
    settings = MetadataSettings(config.output, sets, config.copy, takedowns.standing(config.output))
    shards = [file.shard for file in files]
    pool = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    facts = {"configuration": config.recorded(), "stamps": {"pool": pool}, "version": plan_facts.version()}

    def prepare() -> None:
        workspace.write_run(config.output, record)
        workspace.write_pool(config.output, shards)

    def finish() -> tuple[str, dict[str, Any]]:
        counts = manifest.read(config.output).section(JOB).counts
        names = ", ".join(["index", "datacomp", *sets])
        return f"{counts['samples']:,} samples in {counts['shards']} shards; columns: {names}", counts

    def left() -> dict[str, int]:
        return {"to_import": sum(bool(settings.missing(file)) for file in files)}

    summary = {
        "shards": len(files),
        "embeddings": list(sets),
    }
    return driver.Work(summary, prepare, lambda pipeline: build(pipeline, files, settings, facts), finish, details=left)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main(JOB, plan, argv)


if __name__ == "__main__":
    sys.exit(main())
