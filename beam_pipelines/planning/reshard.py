"""The plan of ``reshard``: how large the output shards are, and the face boxes to blur."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.config import captions
from beam_pipelines.config.reshard import ReshardConfig
from beam_pipelines.planning.plan_facts import Problems, narrow, version
from transforms.lib import registry
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.reshard.carried import Carried
from transforms.lib.reshard.json_fields import AddedField
from transforms.outputs import manifest
from transforms.rows import Shard, ShardRef
from transforms.storage import filesystem
from transforms.workers.face_boxes import FaceBoxes
from transforms.workers.write_shard import ReshardSettings


@dataclasses.dataclass(frozen=True)
class ReshardPlan:
    """What ``reshard`` is going to do."""

    settings: ReshardSettings
    facts: dict[str, Any]


def plan_reshard(
    config: ReshardConfig,
    shards: Sequence[Shard] | Sequence[ShardRef],
    problems: Problems,
    schemas: Mapping[str, pa.Schema],
    selection: str,
) -> ReshardPlan:
    """Returns the settings and facts, equal whichever job reshards; checks that face boxes and columns are there.

    Args:
      config: of the job.
      shards: of the pool; empty where something is wrong with it.
      problems: what is wrong is added to them.
      schemas: column set -> schema, of the sets that the pool has or that the same run makes.
      selection: ID of the selection whose copies are written.
    """
    config = narrow(config, ReshardConfig)
    added = problems.collect(added_fields, config.add_to_json, schemas) if shards and config.add_to_json else None
    if added:
        full = ",".join(f"{field.name}={field.owner}.{field.column}" for field in added)
        config = dataclasses.replace(config, add_to_json=full)  # names that other columns cannot make unclear later
    settings = dataclasses.replace(reshard_settings(config, selection), added=added or ())
    if shards and reads_columns(config):
        settings = dataclasses.replace(settings, beside=scores_of(schemas))
    if settings.boxes and shards:
        boxes = problems.collect(settings.boxes.checked, [shard.name for shard in shards])
        settings = dataclasses.replace(settings, boxes=boxes)
    facts = {"configuration": config.recorded(), "selection": selection, "version": version()}
    return ReshardPlan(settings, facts)


def reads_columns(config: ReshardConfig) -> bool:
    """Returns whether columns go into the output: into the json of samples, or beside them."""
    form = registry.FORMATS.get(config.format)
    return bool(config.add_to_json or (form and form.facts.get("holds_columns")))


def scores_of(schemas: Mapping[str, pa.Schema]) -> tuple[AddedField, ...]:
    """Returns the scores that a form with columns holds: column ``score`` of each set, as ``SET_score``."""
    owners = [owner for owner, schema in sorted(schemas.items()) if "score" in schema.names]
    return tuple(AddedField(f"{owner}_score", owner, "score") for owner in owners)


def added_fields(given: str, schemas: Mapping[str, pa.Schema]) -> tuple[AddedField, ...]:
    """Returns the columns that ``--add_to_json`` means.

    Args:
      given: COLUMN or FIELD=COLUMN, separated by commas.
      schemas: column set -> schema.

    Raises:
      ConfigError: a name that no column has or more than one, a column of embeddings, or a field that is named twice.
    """
    every = {**schemas, "decisions": columns.DECISIONS_SCHEMA}
    parts = [part.strip().partition("=") for part in given.split(",")]
    fields = {field: column or field for field, _, column in parts}
    problems = [f"--add_to_json {given}: a name is empty; write COLUMN or FIELD=COLUMN"] if "" in fields else []
    if len(fields) < len(parts):
        problems.append(f"--add_to_json {given}: a field is named twice; write OTHER=COLUMN")
    try:
        places = columns.resolve([*fields.values()], {owner: schema.names for owner, schema in every.items()})
    except ConfigError as error:
        raise ConfigError([*problems, *(f"--add_to_json: {line}" for line in error.problems)]) from None
    for column, (owner, name) in places.items():
        if pa.types.is_fixed_size_list(every[owner].field(name).type):
            problems.append(f"--add_to_json {column}: it holds embeddings, which are no value of a json field")
    if problems:
        raise ConfigError(problems)
    return tuple(AddedField(field, *places[column]) for field, column in fields.items())


def reshard_settings(config: ReshardConfig, selection: str) -> ReshardSettings:
    """Returns the settings of the workers; ``selection`` is the ID of the one that is written."""
    return ReshardSettings(
        config.output,
        samples_per_shard=config.samples_per_shard,
        max_shard_bytes=config.max_shard_bytes,
        seed=config.shuffle_seed,
        shuffle=config.shuffle,
        spread_remainder=config.spread_remainder,
        format=config.format,
        coalesce_bytes=config.coalesce_bytes,
        check=config.check,
        boxes=FaceBoxes(config.blur_faces) if config.blur_faces else None,
        captions=captions.written_word(config.captions),
        carried=Carried(tuple(sorted({*config.carry.lower().split(",")} - {""})), config.image_name, config.image_type),
        selection=selection,
    )


def check_unscored(output: str) -> None:
    """Checks that an output folder holds no scored pool, whose index an index without decoded images would replace.

    Raises:
      InputError: it holds one.
    """
    if manifest.read(output).models:
        raise InputError(f"--output {output} holds a scored pool already; leave --input out, or name another folder")


def check_shards(output: str, refs: Sequence[ShardRef]) -> None:
    """Checks that a pool has shards to copy from; a pool of imported metadata has none.

    Raises:
      InputError: it has none.
    """
    if refs and "import-datacomp" in manifest.read(output).sections:
        raise InputError(
            f"--output {output}: this pool has no shards, only metadata; to copy what `winnow select` kept, name "
            f"another --output, give --input with the tars, and --subset {filesystem.join(output, 'subset.npy')}"
        )
