"""Write the decided copies as equal WebDataset shards; or those that a subset file lists.

winnow reshard --output out --samples_per_shard 1000
winnow reshard --input 'pool/*.tar' --subset published.npy --output out2
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import apache_beam as beam

from beam_pipelines.config.reshard import ReshardJobConfig
from beam_pipelines.planning import column_sets, plan_facts, reshard, score, select, selections, workspace
from beam_pipelines.running import driver, wiring
from transforms.lib.columnstore import columns
from transforms.lib.recipes.accounts import Books
from transforms.lib.report import tar_remarks
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.reshard import ReadSources, ReshardCopies
from transforms.shards import ListRefs


def build(pipeline: beam.Pipeline, refs: Pool, plan: reshard.ReshardPlan, copies: int) -> None:
    """Adds the whole job to ``pipeline``; runs nothing.

    Args:
      pipeline: of the job.
      refs: the shards of the pool.
      plan: of the output shards.
      copies: how many the selection has.
    """
    shards = pipeline | "Shards" >> ListRefs(refs)
    sources = shards | "Sources" >> ReadSources(plan.settings.store)
    resharded = sources | "Reshard" >> ReshardCopies(plan.settings, Books(copies=copies))
    section = resharded.files | "Manifest" >> MakeSection("reshard", plan.facts, root=plan.settings.root)
    section | "WriteManifest" >> WriteManifest(plan.settings.root)


def plan(config: ReshardJobConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the copies: those that ``select`` decided, or those that a subset file lists."""
    if config.subset or config.input:
        return plan_subset(config, problems)
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    if refs:
        problems.collect(reshard.check_shards, config.output, refs)
    found = problems.collect(selections.find, config.output, config.selection, refs) if refs else None
    if found:
        problems.collect(found.check)
    record = problems.collect(workspace.check_output, config, "reshard") if refs else None
    schemas = (
        problems.collect(column_sets.stored_schemas, config.output, refs)
        if refs and reshard.reads_columns(config)
        else None
    )
    resharding = reshard.plan_reshard(config, refs or [], problems, schemas or {}, found.id if found else "")
    if problems or refs is None or record is None or found is None:
        return None
    problems.notes.append(f"{found.words}: {found.copies:,} copies")
    return driver.Work(
        {"shards": len(refs), "selection": found.id},
        lambda: workspace.write_run(config.output, record),
        lambda pipeline: build(pipeline, refs, resharding, found.copies),
        lambda: workspace.outcome(config.output, config.selection),
    )


def plan_subset(config: ReshardJobConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the subset file and the shards to copy from: those of a scored pool, or new ones."""
    index = score.plan_index(config, problems) if config.input else None
    refs = problems.collect(workspace.read_pool, config.output) if config.output and not config.input else None
    if refs:
        problems.collect(reshard.check_shards, config.output, refs)
    selecting = select.plan_subset(config, problems, index) if config.subset and (index or refs) else None
    record = problems.collect(workspace.check_output, config, "reshard") if config.output else None
    if index and record:
        problems.collect(reshard.check_unscored, config.output)
    shards = index.shards if index else refs or []
    schemas = {columns.INDEX: columns.INDEX_SCHEMA} if index else None
    if refs and reshard.reads_columns(config):
        schemas = problems.collect(column_sets.stored_schemas, config.output, refs)
    selection = selecting.settings.selection if selecting else ""
    resharding = reshard.plan_reshard(config, shards, problems, schemas or {}, selection)
    source = index or refs
    if problems or source is None or selecting is None or record is None:
        return None
    facts = selecting.report(" ".join(sorted(config.input)) or workspace.pool_of(config.output))
    stages = wiring.WholePlan(source, selecting, resharding, facts)

    def prepare() -> None:
        workspace.write_run(config.output, record)
        if index:
            workspace.write_pool(config.output, index.shards)
        selecting.prepare()

    return driver.Work(
        {"shards": len(shards)},
        prepare,
        lambda pipeline: wiring.build(pipeline, stages),
        lambda: workspace.outcome(config.output),
        tar_remarks.sentence,
        holds=("reshard", "select"),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("reshard", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
