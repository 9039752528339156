"""What ``--target`` of ``cluster`` names: embeddings in a file, a scored pool, or images without embeddings yet."""

from __future__ import annotations

import dataclasses

from beam_pipelines.planning import column_sets, workspace
from transforms import packimages
from transforms import shards as pools
from transforms.assign import TargetPart
from transforms.lib import addresses
from transforms.lib.clusters import vector_files
from transforms.lib.errors import InputError
from transforms.lib.inputs import input_kinds
from transforms.lib.models.spec import ModelSpec
from transforms.lib.samples.index_row import ImageRules
from transforms.outputs import manifest
from transforms.outputs.store import Store
from transforms.rows import Shard
from transforms.storage import filesystem
from transforms.workers.cluster_data import ClusterSettings
from transforms.workers.score_shard import ScoreSettings, missing_sets

_TARS = input_kinds.kind_named("tar").suffixes
_ROWS = 65_536  # rows of a file that one worker assigns


@dataclasses.dataclass(frozen=True)
class TargetPlan:
    """The target images of a clustering.

    Attributes:
      parts: the embeddings that exist.
      scoring: how the images without embeddings are embedded; None where all have some.
      shards: of images to embed, or that an earlier run embedded.
      images: image files that are packed into shards first.
    """

    parts: tuple[TargetPart, ...] = ()
    scoring: ScoreSettings | None = None
    shards: tuple[Shard, ...] = ()
    images: tuple[packimages.ImageGroup, ...] = ()


def find_target(uri: str, settings: ClusterSettings, dim: int) -> TargetPlan:
    """Returns the target images that ``--target`` names.

    Args:
      uri: the value of the flag.
      settings: of the clustering.
      dim: dimensions of the embeddings.

    Raises:
      InputError: it names nothing that can be used.
    """
    if uri.endswith((".npy", ".safetensors", ".pt")):
        vectors = vector_files.read_vectors(filesystem.fetch(uri), uri, "--target")
        _check_width(uri, vectors.shape[1], dim)
        starts = range(0, len(vectors), _ROWS)
        return TargetPlan(tuple(TargetPart(uri, "", at, min(at + _ROWS, len(vectors))) for at in starts))
    if filesystem.exists(filesystem.join(uri, "pool.parquet")):
        return TargetPlan(_scored(uri, settings.column, dim))
    scoring = scoring_of(settings)
    if uri.endswith(_TARS) or uri.startswith("@"):
        return TargetPlan((), scoring, _shards([uri]))
    if any(info.uri.endswith(_TARS) for info in filesystem.children(uri)):
        return TargetPlan((), scoring, _shards([filesystem.join(addresses.escaped(uri), "**")]))
    groups = packimages.find_images(uri, settings.uri("target", "images"))
    done = {group for group in groups if not missing_sets(scoring, group.shard)}
    todo = tuple(group for group in groups if group not in done)
    return TargetPlan((), scoring, tuple(sorted(group.shard for group in done)), todo)


def _shards(patterns: list[str]) -> tuple[Shard, ...]:
    shards = pools.find_shards(patterns, "--target")
    pools.check_images(shards, "--target")
    return tuple(shards)


def _check_width(uri: str, width: int, dim: int) -> None:
    if width != dim:
        raise InputError(f"--target {uri} has {width} dimensions, the embeddings {dim}; embed it with the same model")


def _scored(uri: str, column: tuple[str, str], dim: int) -> tuple[TargetPart, ...]:
    refs = workspace.read_pool(uri)
    if column[0] not in column_sets.stored_sets(uri, refs):
        raise InputError(f"--target {uri} has no column set {column[0]}; score its images with the same --model")
    store = Store(uri)
    _check_width(uri, store.schema(column[0], refs[0].name).field(column[1]).type.list_size, dim)
    return tuple(TargetPart(store.uri(column[0], ref.name), column[1], 0, 0) for ref in refs)


def scoring_of(settings: ClusterSettings) -> ScoreSettings:
    """Returns the settings by which the clustered embeddings were scored, to score the target images alike.

    Raises:
      InputError: they are no embeddings of images, or the manifest does not list them among those of ``winnow score``.
    """
    owner, part = settings.column
    known = manifest.read(settings.root)
    made_by = known.models.get(owner)
    if part != "image" or made_by is None:
        raise InputError(
            f"--target: target images cannot be embedded, since {owner}.{part} is no image embedding of `winnow score` "
            "in this --output; give their embeddings as .npy"
        )
    scored_with = known.scored_with.get(owner, {})
    model = ModelSpec(**{**made_by, "part": "image"})
    rules = ImageRules(variant=model.variant)
    kept = {name: scored_with[name] for name in ("batch_size", "precision") if name in scored_with}
    return ScoreSettings(settings.uri("target"), (model,), rules, device=settings.device, **kept)


def part_of(shard: str, scoring: ScoreSettings) -> TargetPart:
    """Returns the embeddings of a shard of target images, once it is scored."""
    return TargetPart(Store(scoring.root).uri(scoring.models[0].name, shard), "image", 0, 0)
