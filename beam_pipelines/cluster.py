"""Find clusters of embeddings by k-means, or assign to given centroids, and write them as a column set.

winnow cluster --output out --k 100
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam

from beam_pipelines.config.cluster import ClusterConfig
from beam_pipelines.planning import cluster, column_sets, plan_facts, target_files, workspace
from beam_pipelines.running import driver
from transforms.assign import AssignClusters, FindTargetClusters, TargetPart
from transforms.cluster import FitCentroids, publish_given
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.pool_table import Pool
from transforms.packimages import PackImages
from transforms.rows import FileRow
from transforms.score import ScoreShards
from transforms.shards import ListRefs, ListShards
from transforms.storage import filesystem


def build(pipeline: beam.Pipeline, refs: Pool, plan: cluster.ClusterPlan) -> None:
    """Adds the whole job to ``pipeline``; runs nothing."""
    settings = plan.settings
    shards = pipeline | "Shards" >> ListRefs(refs)
    if plan.finished:
        fitted = pipeline | "Finished" >> beam.Create(plan.finished).with_output_types(FileRow)
    elif settings.given[0]:
        fitted = pipeline | "Given" >> beam.Create([settings]) | "Publish" >> beam.Map(publish_given)
    else:
        fitted = shards | "Fit" >> FitCentroids(settings, plan.stamp)
    centroids = fitted | "Centroids" >> beam.Filter(lambda row: row.path.endswith(".safetensors"))
    assigned = shards | "Assign" >> AssignClusters(settings, centroids)
    files = [fitted, *assigned.files]
    if plan.target:
        parts = targets(pipeline, plan.target)
        files.append(parts | "FindTargets" >> FindTargetClusters(settings, centroids))
    section = (
        files
        | "Files" >> beam.Flatten()
        | MakeSection(f"cluster {settings.name}", plan.facts, assigned.counts, root=settings.root)
    )
    section | "WriteManifest" >> WriteManifest(settings.root)


def targets(pipeline: beam.Pipeline, plan: target_files.TargetPlan) -> beam.PCollection[TargetPart]:
    """Adds the scoring of target images that have no embeddings yet; returns the embeddings of all of them."""
    if plan.scoring is None:
        return pipeline | "Target" >> beam.Create(plan.parts) | "SpreadTarget" >> beam.Reshuffle()
    shards = [pipeline | "ListTarget" >> ListShards(plan.shards), pipeline | "Pack" >> PackImages(plan.images)]
    scored = shards | "TargetShards" >> beam.Flatten() | "EmbedTarget" >> ScoreShards(plan.scoring)
    scoring = plan.scoring
    return scored | "TargetParts" >> beam.Map(lambda row: target_files.part_of(row.ref.name, scoring))


def plan(config: ClusterConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the embeddings, the centroids and the target, and what is finished already."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    sets = problems.collect(column_sets.stored_sets, config.output, refs) if refs else None
    clustering = cluster.plan_cluster(config, problems, sets, refs) if sets and refs else None
    name = config.column_set()
    writes = workspace.OwnedSets("cluster", [name])
    record = problems.collect(workspace.check_output, config, f"cluster {name}", writes) if refs else None
    if problems or clustering is None or refs is None or record is None:
        return None
    settings = clustering.settings

    def finish() -> tuple[str, dict[str, Any]]:
        for folder in ("fit", "target/images"):
            filesystem.delete([info.uri for info in filesystem.children(settings.uri(folder))])
        counts = json.loads(filesystem.read_bytes(settings.uri("sizes.json")))
        del counts["sizes"]
        words = f"{counts['samples']} samples in {counts['clusters']} clusters of {counts['smallest']} to"
        return f"{settings.name}: {words} {counts['largest']}; {counts['without_cluster']} in none", counts

    column = ".".join(settings.column)
    summary = {
        "shards": len(refs),
        "column": column,
        "clusters": settings.k,
        "to_fit": not (clustering.finished or settings.given[0]),
    }
    return driver.Work(
        summary,
        lambda: workspace.write_run(config.output, record),
        lambda pipeline: build(pipeline, refs, clustering),
        finish,
        holds=(f"cluster {name}",),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("cluster", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
