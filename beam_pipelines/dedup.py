"""Find duplicates in a scored pool, in an earlier pool, or in an evaluation set, into a column set.

winnow dedup --output out --by exact
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.dedup import DedupConfig
from beam_pipelines.planning import column_sets, dedup, plan_facts, workspace
from beam_pipelines.running import driver
from transforms.dedup import Deduplicate, MatchTargets
from transforms.outputs import manifest
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import ref_of
from transforms.shards import ListNumbered, ListRefs
from transforms.workers.dedup_shard import DedupSettings, Numbered


def build(pipeline: beam.Pipeline, plan: dedup.DedupPlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    settings = plan.settings
    if isinstance(settings, DedupSettings):
        shards = [pipeline | "Shards" >> ListNumbered(plan.own)]
        if plan.earlier is not None:
            shards.append(pipeline | "EarlierShards" >> ListNumbered(plan.earlier, len(plan.own)))
        both = shards[0] if len(shards) == 1 else shards | "AllShards" >> beam.Flatten()
        numbered = both | "Refs" >> beam.Map(lambda row: (row[0], ref_of(row[1]))).with_output_types(Numbered)
        done = numbered | "Deduplicate" >> Deduplicate(settings, plan.dim)
    else:
        refs = pipeline | "Shards" >> ListRefs(plan.own)
        done = refs | "Match" >> MatchTargets(settings)
    section = done.files | "Manifest" >> MakeSection(
        f"dedup {settings.name}", plan.facts, done.counts, root=settings.root
    )
    section | "WriteManifest" >> WriteManifest(settings.root)


def plan(config: DedupConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the columns to compare, and the shards that are not done yet."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    sets = problems.collect(column_sets.stored_sets, config.output, refs) if refs else None
    grouping = dedup.plan_dedup(config, problems, sets, refs) if sets and refs else None
    section = f"dedup {config.column_set()}"
    writes = workspace.OwnedSets("dedup", [config.column_set()])
    record = problems.collect(workspace.check_output, config, section, writes) if refs else None
    if problems or refs is None or grouping is None or record is None:
        return None
    again = not column_sets.is_made(config.output, refs, section, config.column_set(), grouping.facts["stamps"])

    def finish() -> tuple[str, dict[str, Any]]:
        counts = manifest.read(config.output).section(section).counts
        what = "matches" if config.by == "contamination" else "duplicates"
        words = f"{counts['duplicates']} {what} among {counts['compared']} of {counts['samples']} samples"
        return f"{config.column_set()}: {words}", counts

    summary = {
        "shards": len(grouping.own),
        "earlier_shards": len(grouping.earlier or ()),
    }
    return driver.Work(
        summary,
        lambda: workspace.write_run(config.output, record if again else {**record, "sets": ()}),
        lambda pipeline: build(pipeline, grouping) if again else None,
        finish,
        holds=(section,),
        details=grouping.left,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("dedup", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
