"""The plan of ``cluster``: the column of embeddings, the centroids, the target, and what is finished already."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pyarrow as pa

from beam_pipelines.config.cluster import ClusterConfig
from beam_pipelines.planning import column_sets
from beam_pipelines.planning.column_sets import choose
from beam_pipelines.planning.plan_facts import Problems, device_for, version
from beam_pipelines.planning.target_files import TargetPlan, find_target
from transforms.lib import stamps
from transforms.lib.clusters import vector_files
from transforms.lib.clusters.nearest import Nearest
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.outputs import file_rows
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.rows import FileRow
from transforms.storage import filesystem
from transforms.workers.cluster_data import ClusterSettings

_PER_CLUSTER = 256  # samples to fit on, the default of faiss (max_points_per_centroid)
_AT_LEAST = 20_000


@dataclasses.dataclass(frozen=True)
class ClusterPlan:
    """What ``cluster`` is going to do.

    Attributes:
      settings: for the workers.
      stamp: of the fit.
      finished: the centroids and the record of their fit, where an earlier run wrote them; empty to fit them.
      target: the target images; None without ``--target``.
      facts: for the manifest.
    """

    settings: ClusterSettings
    stamp: str
    finished: tuple[FileRow, ...]
    target: TargetPlan | None
    facts: dict[str, Any]


def find_column(config: ClusterConfig, refs: Pool, sets: dict[str, list[str]]) -> tuple[str, str]:
    """Returns the embedding column to cluster, as (column set, column).

    Raises:
      ConfigError: ``--column`` names none, or is missing and there is not exactly one of images.
    """
    store = Store(config.output)
    schemas = {owner: store.schema(owner, refs[0].name) for owner in sets}
    every = [
        f"{owner}.{field.name}"
        for owner, schema in schemas.items()
        for field in schema
        if pa.types.is_fixed_size_list(field.type)
    ]
    images = [name for name in every if name.partition(".")[2] == "image"]
    what, hint = "column of embeddings", "`winnow score` adds one"
    name = choose("--column", config.column, every, what=what, hint=hint, defaults=images)
    owner, _, column = name.partition(".")
    return owner, column


def given_centroids(uri: str, dim: int, k: int) -> tuple[str, int]:
    """Reads the centroids of a file; returns the sha256 of the file and how many centroids it has.

    Args:
      uri: of the file.
      dim: dimensions of the embeddings.
      k: how many centroids there must be; 0 for any number.

    Raises:
      InputError: the centroids cannot be used, or have another number or other dimensions.
    """
    path = filesystem.fetch(uri)
    centroids = vector_files.read_vectors(path, uri, "--centroids")
    if centroids.shape[1] != dim:
        raise InputError(
            f"--centroids {uri} has {centroids.shape[1]} dimensions, the embeddings {dim}; use their own model"
        )
    if k and len(centroids) != k:
        raise InputError(f"--k {k}, but --centroids {uri} has {len(centroids)}; leave out --k")
    try:
        Nearest(centroids, "inner")
    except InputError as error:
        raise InputError(f"--centroids {uri}: {error}") from None
    return stamps.sha256_of(path), len(centroids)


def finished(settings: ClusterSettings, stamp: str) -> tuple[FileRow, ...]:
    """Returns the files of an earlier fit with this stamp; empty without one, or if its centroids changed since."""
    fit = filesystem.read_if_exists(settings.uri("fit.json"))
    data = filesystem.read_if_exists(settings.uri("centroids.safetensors"))
    if fit is None or data is None:
        return ()
    record = json.loads(fit)
    rows = [
        file_rows.of_bytes(settings.path(name), content)
        for name, content in (("centroids.safetensors", data), ("fit.json", fit))
    ]
    return tuple(rows) if (record["stamp"], record["sha256"]) == (stamp, rows[0].sha256) else ()


def plan_cluster(
    config: ClusterConfig, problems: Problems, sets: dict[str, list[str]], refs: Pool
) -> ClusterPlan | None:
    """Finds the column among ``sets`` (column set -> columns) and reads all files; None when something is wrong."""
    device = device_for(config.device, problems)
    column = problems.collect(find_column, config, refs, sets)
    if column is None:
        return None
    dim = Store(config.output).schema(column[0], refs[0].name).field(column[1]).type.list_size
    given: tuple[str, int] | None = ("", config.clusters())
    if config.centroids:
        given = problems.collect(given_centroids, config.centroids, dim, config.k)
    if given is None:
        return None
    settings = ClusterSettings(
        config.output,
        config.column_set(),
        column,
        given[1],
        config.metric,
        config.rule(),
        rounds=config.rounds,
        tolerance=config.tolerance,
        sample=config.sample or max(_PER_CLUSTER * given[1], _AT_LEAST),
        seed=config.seed,
        device=device,
        given=(config.centroids, given[0]) if given[0] else ("", ""),
    )
    target = problems.collect(find_target, config.target, settings, dim) if config.target else None
    if problems:
        return None
    read = sorted({columns.INDEX, column[0]})
    inputs = [] if given[0] else column_sets.made_from(config.output, refs, read)
    stamp = stamps.stamp(inputs=inputs, **settings.made_by())
    facts = {"configuration": config.recorded(), "made_by": settings.made_by(), "version": version()}
    return ClusterPlan(settings, stamp, () if given[0] else finished(settings, stamp), target, facts)
