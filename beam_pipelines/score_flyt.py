"""Score a pool by a FLYT head: reads embeddings of the column store and adds a score; no image is read.

winnow score-flyt --output out --head my-flyt
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

from beam_pipelines.config.train import ScoreFlytConfig
from beam_pipelines.planning import column_sets, plan_facts, workspace
from beam_pipelines.running import driver
from transforms.lib import stamps
from transforms.lib.flyt import scoring_head
from transforms.outputs import manifest
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.score_flyt import HeadSettings, ScoreByHead, is_done
from transforms.shards import ListRefs
from transforms.storage import filesystem


def build(pipeline: beam.Pipeline, refs: Pool, settings: HeadSettings, facts: dict[str, Any]) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    shards = pipeline | "Shards" >> ListRefs(refs)
    files = shards | "Score" >> ScoreByHead(settings) | "Files" >> beam.Map(lambda row: row.file)
    section = files | "Manifest" >> MakeSection(f"score-flyt.{settings.name}", facts, root=settings.root)
    section | "WriteManifest" >> WriteManifest(settings.root)


def find_head(
    config: ScoreFlytConfig, problems: plan_facts.Problems, sets: dict[str, list[str]], shard: str
) -> HeadSettings | None:
    """Returns the settings, after checking that the head fits the embeddings, by the schema of one shard."""
    store = Store(config.output)
    folder = Path(filesystem.fetch(config.head))
    head = problems.collect(scoring_head.read_config, folder, config.head)
    if not re.fullmatch(r"[a-z0-9_]+", config.name):
        problems.append(f"--name {config.name!r} must be lower-case letters, digits and _")
    if head is None:
        return None
    problems.collect(scoring_head.load, folder, config.head)
    named = config.column_set or head.column_set
    source = problems.collect(column_sets.choose_set, "--column_set", named, sets, ("image",))
    if source is None:
        return None
    made_by = manifest.read(config.output).models.get(source)
    known = head.embeddings.get("weights_sha256")
    if made_by and known and made_by["weights_sha256"] != known:
        problems.append(
            f"--column_set {source} was made by weights {made_by['weights_sha256'][:12]}, the head was trained on "
            f"those of {known[:12]}; score the pool with that model"
        )
    width = store.schema(source, shard).field("image").type.list_size
    if width != head.dim:
        problems.append(f"--head {config.head} reads embeddings of {head.dim} dimensions, {source} has {width}")
    digest = stamps.sha256_of(os.path.join(folder, scoring_head.WEIGHTS))
    return HeadSettings(config.output, config.head, digest, source, config.name, config.threads)


def plan(config: ScoreFlytConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the shards and the head, and checks that they fit."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    sets = problems.collect(column_sets.stored_sets, config.output, refs) if refs else None
    settings = find_head(config, problems, sets, refs[0].name) if config.head and sets and refs else None
    writes = workspace.OwnedSets("score-flyt", [config.name])
    record = problems.collect(workspace.check_output, config, "score-flyt", writes) if refs else None
    if problems or refs is None or settings is None or record is None:
        return None
    head = {"weights_sha256": settings.weights_sha256, "source": settings.source}
    facts = {"configuration": config.recorded(), "head": head, "version": plan_facts.version()}

    def left() -> dict[str, Any]:
        todo = sum(not is_done(settings, ref.name) for ref in refs)
        return {"to_score": todo, "done": len(refs) - todo}

    return driver.Work(
        {"shards": len(refs), "column": f"{settings.name}.score"},
        lambda: workspace.write_run(config.output, record),
        lambda pipeline: build(pipeline, refs, settings, facts),
        lambda: (f"{len(refs)} shards have {settings.name}.score", {"shards": len(refs)}),
        details=left,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("score-flyt", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
