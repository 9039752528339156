"""The plan of ``dedup``: the columns to compare, the earlier pool or the evaluation set, and the shards to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from beam_pipelines.config.dedup import DedupConfig
from beam_pipelines.planning import column_sets, workspace
from beam_pipelines.planning.column_sets import ColumnSets, choose_set
from beam_pipelines.planning.plan_facts import Problems, version
from transforms.dedup import MatchSettings
from transforms.lib import stamps
from transforms.lib.arrays import numpy_type
from transforms.lib.clusters.vector_files import read_target
from transforms.lib.columnstore import columns
from transforms.lib.dedup import contamination
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.stats import quantiles
from transforms.outputs import manifest
from transforms.outputs.pool_table import Pool
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem
from transforms.workers.dedup_data import VERSION
from transforms.workers.dedup_shard import DedupSettings, count_identities

MAX_PARTS = 4096  # with more parts, a message would hold more overhead than data
_OPEN = 16  # shards that are read at the same time


@dataclasses.dataclass(frozen=True)
class DedupPlan:
    """What ``dedup`` is going to do.

    Attributes:
      settings: for the workers.
      own: the shards of the pool; they have the first numbers.
      earlier: those of the earlier pool, which have the next; None without one.
      dim: of the embeddings; 0 when none are read.
      facts: for the manifest.
    """

    settings: DedupSettings | MatchSettings
    own: Pool
    earlier: Pool | None
    dim: int
    facts: dict[str, Any]

    def left(self) -> dict[str, int]:
        """Returns how many shards lack the column set; looks at the files of each."""
        settings = self.settings
        if isinstance(settings, DedupSettings):
            return {"to_do": sum(settings.finished(ref) is None for ref in self.own)}
        store = Store(settings.root)
        stored = ((store.facts(settings.name, ref.name).get("stamp"), settings.stamp(ref)) for ref in self.own)
        return {"to_do": sum(have != wanted for have, wanted in stored)}


def embeddings(config: DedupConfig, sets: ColumnSets) -> tuple[str, str]:
    """Returns the column of image embeddings, as (column set, column). Errors as ``choose_set``."""
    return choose_set("--model", config.model, sets, ("score", "image")), "image"


def earlier_pool(config: DedupConfig, settings: DedupSettings) -> Pool:
    """Returns the shards of the earlier pool, after checking that they can be compared.

    Raises:
      InputError: it lacks columns, or its clusters have other centroids.
    """
    try:
        refs = workspace.read_pool(config.against)
        sets = column_sets.stored_sets(config.against, refs)
    except InputError as error:
        raise InputError([line.replace("--output", "--against") for line in error.problems]) from error
    lacking = [name for name in settings.reads() if name not in sets]
    if lacking:
        names = ", ".join(lacking)
        raise InputError(f"--against {config.against} has no column set {names}; make it there, called as here")
    if settings.by == "phash" and "phash" not in sets[columns.INDEX]:
        raise InputError(f"--against {config.against} has no perceptual hashes; score it again")
    if settings.by in ("exact", "phash"):
        check_images(config.against, "--against", refs, settings.by)
    if settings.by == "semantic":
        digests = [centroids_of(root, settings.clusters) for root in (config.output, config.against)]
        if digests[0] != digests[1] or not digests[0]:
            raise InputError(
                f"the clusters {settings.clusters} of --output and --against are not known to have the same centroids; "
                f"run `winnow cluster --centroids` on --output with those of {config.against}"
            )
    return refs


def check_images(root: str, flag: str, refs: Sequence[ShardRef], by: str) -> None:
    """Checks that some sample of a pool has the digest by which ``dedup`` compares; reads shards until one has.

    Args:
      root: the output folder of the pool.
      flag: that names it, for the message.
      refs: its shards.
      by: ``exact`` (sha256 of the image) or ``phash`` (perceptual hash).

    Raises:
      InputError: no sample has one, since the index was written without decoding the images.
    """
    samples = 0
    with ThreadPoolExecutor(_OPEN) as pool:
        for at in range(0, len(refs), _OPEN):
            counted = list(pool.map(lambda ref: count_identities(Store(root), ref, by), refs[at : at + _OPEN]))
            samples += sum(valid for valid, _ in counted)
            if any(comparable for _, comparable in counted):
                return
    if samples:
        what = {"exact": "a sha256 of its image", "phash": "a perceptual hash"}[by]
        raise InputError(
            f"{flag} {root}: no sample has {what}, since its index was made for copying only or of imported metadata; "
            "run `winnow score` on its shards in another folder"
        )


def centroids_of(root: str, clusters: str) -> str:
    """Returns the sha256 of the centroids of a clustering by the manifest; empty where it lists none."""
    files = manifest.read(root).section(f"cluster {clusters}").files
    return next((file.sha256 for file in files if file.path.endswith("centroids.safetensors")), "")


def plan_matches(config: DedupConfig, sets: ColumnSets, refs: Pool) -> DedupPlan:
    """Plans a comparison with the embeddings of an evaluation set.

    Raises:
      ConfigError: it cannot be used, or there are no embeddings to compare it with.
    """
    embedding = embeddings(config, sets)
    path = filesystem.fetch(config.against_embeddings)
    target = read_target(path, config.against_embeddings, contamination.FLAG)
    dim = Store(config.output).schema(embedding[0], refs[0].name).field(embedding[1]).type.list_size
    if target.shape[1] != dim:
        raise ConfigError(
            f"{contamination.FLAG} {config.against_embeddings} has {target.shape[1]} dimensions, "
            f"{embedding[0]}.image {dim}; embed it with that model"
        )
    digest = stamps.sha256_of(path)
    name = config.column_set()
    settings = MatchSettings(config.output, name, config.against_embeddings, digest, embedding, config.threshold)
    inputs = column_sets.made_from(config.output, refs, (columns.INDEX, embedding[0]))
    made = stamps.stamp(version=VERSION, inputs=inputs, embedding=embedding, threshold=config.threshold)
    facts = {**_facts(config), "stamps": {"target": digest, "made": made}}
    return DedupPlan(settings, refs, None, dim, facts)


def plan_groups(config: DedupConfig, sets: ColumnSets, refs: Pool) -> DedupPlan:
    """Plans groups of duplicates within the pool, and with the earlier pool.

    Raises:
      ConfigError: something is missing.
    """
    settings = DedupSettings(
        config.output,
        config.column_set(),
        config.by,
        len(refs),
        order=config.survivor(),
        seed=config.seed,
        radius=config.radius,
        epsilon=config.epsilon,
        chains=config.chains,
    )
    if config.by == "phash" and "phash" not in sets[columns.INDEX]:
        raise InputError(f"--output {config.output} has no perceptual hashes; run `winnow score` again")
    if config.by in ("exact", "phash"):
        check_images(config.output, "--output", refs, config.by)
    dim = 0
    if config.by == "semantic":
        clusters = choose_set("--clusters", config.clusters, sets, ("cluster", "similarity"), "winnow cluster")
        settings = dataclasses.replace(settings, clusters=clusters, embedding=embeddings(config, sets))
        schema = Store(config.output).schema(settings.embedding[0], refs[0].name)
        dim = schema.field(settings.embedding[1]).type.list_size
    if config.score:
        place = columns.resolve([config.score], sets)[config.score]
        settings = dataclasses.replace(settings, score=place)
    earlier = earlier_pool(config, settings) if config.against else None
    count = len(refs) + len(earlier or ())
    settings = dataclasses.replace(settings, earlier=config.against, parts=min(count, MAX_PARTS))
    inputs = column_sets.made_from(config.output, refs, settings.reads_of_own())
    inputs += column_sets.made_from(config.against, earlier, settings.reads()) if earlier is not None else []
    settings = settings.stamped(inputs)
    return DedupPlan(settings, refs, earlier, dim, {**_facts(config), "stamps": {"made": settings.stamp}})


def _facts(config: DedupConfig) -> dict[str, Any]:
    return {"configuration": config.recorded(), "version": version()}


def plan_dedup(config: DedupConfig, problems: Problems, sets: ColumnSets, refs: Pool) -> DedupPlan | None:
    """Returns the plan; None after noting what is wrong."""
    plan = problems.collect(plan_matches if config.by == "contamination" else plan_groups, config, sets, refs)
    if plan and isinstance(plan.settings, DedupSettings) and plan.settings.score:
        owner, column = plan.settings.score
        kind = Store(config.output).schema(owner, refs[0].name).field(column).type
        if quantiles.is_wide(numpy_type(kind)):
            problems.notes.append(f"{config.score} holds {kind}; copies are ranked as float32, where close ones tie")
    return plan
