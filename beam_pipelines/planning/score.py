"""The plan of ``score``: shards, models and settings; and of the index that ``reshard`` makes of new shards."""

from __future__ import annotations

import dataclasses
import os.path
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from beam_pipelines.config import captions
from beam_pipelines.config.base import names_in
from beam_pipelines.config.reshard import ReshardJobConfig
from beam_pipelines.config.score import BATCH_SIZES, PRECISION_OF, ScoreConfig
from beam_pipelines.planning import workspace
from beam_pipelines.planning.plan_facts import Problems, device_for, version
from transforms import shards as pools
from transforms.lib import addresses, stamps
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError
from transforms.lib.inference import gpu_decode
from transforms.lib.models import resolve, scorer, spec
from transforms.lib.samples import index_row, tfio_formats
from transforms.outputs import pool_table, takedowns
from transforms.outputs.pool_table import Pool
from transforms.rows import Shard, ShardRef
from transforms.storage import filesystem
from transforms.workers.score_shard import ScoreSettings, missing_sets

_AT_ONCE = 16  # shards that are looked at


@dataclasses.dataclass(frozen=True)
class ScorePlan:
    """What ``score`` is going to do."""

    shards: list[Shard]
    settings: ScoreSettings
    facts: dict[str, Any]

    @property
    def refs(self) -> list[ShardRef]:
        """The shards as the stages after scoring take them."""
        return [ShardRef(shard.name, shard.uri, shard.size) for shard in self.shards]

    @property
    def pool(self) -> Pool:
        """The table from which workers read the shards."""
        return pool_table.planned(self.settings.root, self.shards)

    def left(self) -> dict[str, Any]:
        """Returns how many shards are to be scored and how many are done; looks at the files of each."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            todo = sum(map(bool, threads.map(lambda shard: missing_sets(self.settings, shard), self.shards)))
        return {"to_score": todo, "done": len(self.shards) - todo}


def _found(text: str, variant: str, notes: list[str]) -> spec.ModelSpec:
    parsed = resolve.parse_model(text)
    if parsed.kind == scorer.KIND:
        if variant == "gpu":
            raise ConfigError(f"--preprocess gpu: the scorer {parsed.source} needs images in memory; use fast")
        return scorer.spec_of(parsed, variant)
    model, found = resolve.find(parsed, fetch=filesystem.fetch, variant=variant)
    notes += [found.note] if found.note else []
    return model


def _models(config: ScoreConfig, problems: Problems) -> tuple[spec.ModelSpec, ...]:
    """Returns the models of ``--model`` that can be used; notes the others, and names that are given twice."""
    resolved = [problems.collect(_found, text, config.preprocess, problems.notes) for text in config.model]
    models = tuple(model for model in resolved if model is not None)
    for name, count in Counter(model.name for model in models).items():
        if count > 1:
            problems.append(f"--model: {count} models are called {name}; write --model OTHER=SPEC")
    return models


def _check_gpu_decoding(config: ScoreConfig, device: str, problems: Problems) -> None:
    """Notes why ``--preprocess gpu`` cannot work; ``device`` is what ``--device`` means on this machine."""
    if "cuda" not in (device, config.device):
        problems.append("--preprocess gpu needs a GPU: give --device cuda too, or use --preprocess fast")
    elif device == "cuda" and not problems.elsewhere:
        problems.collect(gpu_decode.check, device)


def plan_score(config: ScoreConfig, problems: Problems) -> ScorePlan | None:
    """Finds shards and models; returns None when something is wrong."""
    shards = problems.collect(pools.find_shards, config.input, tell=problems.notes.append) if config.input else None
    if shards:
        may_lose = config.max_unreadable_fraction > 0
        problems.collect(pools.check_images, shards, member=config.image_member.lower(), may_lose=may_lose)
        problems.extend(own_shards(shards, config.output))
    settings = settings_of(config, problems)
    if problems or shards is None or settings is None:
        return None
    return ScorePlan(shards, settings, facts_of(config, settings, shards))


def settings_of(config: ScoreConfig, problems: Problems) -> ScoreSettings | None:
    """Finds the models, and returns the settings of the workers; None when something is wrong."""
    models = _models(config, problems)
    if captions.read_word(config.captions) == "best" and models and all(model.part for model in models):
        problems.append("--captions best needs a network with a score: give a --model that is no text: or image: alone")
    device = device_for(config.device, problems)
    if config.tfio_python and not problems.elsewhere:
        problems.collect(tfio_formats.check, config.tfio_python)
    if config.preprocess == "gpu":
        _check_gpu_decoding(config, device, problems)
    precision = PRECISION_OF[device] if config.precision == "auto" else config.precision
    if problems:
        return None
    others = config.tfio_python or ("" if problems.elsewhere else tfio_formats.python_here())
    rules = index_row.ReadRules(
        config.caption_field,
        config.max_pixels,
        config.max_sample_bytes,
        config.tar_limits,
        others=others,
        variant=config.preprocess,
        uid_field=config.uid_field,
        sample_digest=config.sample_digest,
        opt_out_fields=names_in(config.opt_out_fields),
        image_member=config.image_member.lower(),
        caption_member=config.caption_member.lower(),
        captions=captions.read_word(config.captions),
        caption_optional=bool(models) and all(model.part in ("image", scorer.PART) for model in models),
    )
    return ScoreSettings(
        config.output,
        models,
        rules,
        batch_size=config.batch_size or BATCH_SIZES[device],
        device=device,
        precision=precision,
        threads=config.threads,
        decode_threads=config.decode_threads,
        standing=problems.collect(takedowns.standing, config.output) or (),
        max_unreadable=config.max_unreadable_fraction,
    )


def facts_of(config: ScoreConfig, settings: ScoreSettings, shards: Sequence[Shard]) -> dict[str, Any]:
    """Returns what the manifest says of the job."""
    pool = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    made_by = {model.name: dataclasses.asdict(model) for model in settings.models}
    scored_with = {"device": settings.device, "precision": settings.precision, "batch_size": settings.batch_size}
    return {
        "configuration": config.recorded(),
        "scored_with": {model.name: scored_with for model in settings.models},
        "stamps": {"pool": pool, "models": made_by},
        "version": version(),
    }


def own_shards(shards: Sequence[Shard], output: str) -> list[str]:
    """Returns the problem with an input that lies in the output's own ``shards/``, which this run would replace."""
    if not output:
        return []
    local = filesystem.is_local(output)
    own = filesystem.join(_real(output) if local else output, "shards", "")
    inside = [shard for shard in shards if (_real(shard.uri) if local else shard.uri).startswith(own)]
    if not inside:
        return []
    return [
        f"--input matches {len(inside)} shards of --output's own folder shards/, where this run writes (the first is "
        f"{inside[0].uri}); narrow the pattern, or name another --output"
    ]


def _real(path: str) -> str:
    return os.path.realpath(addresses.without_scheme(path))


def plan_index(config: ReshardJobConfig, problems: Problems) -> ScorePlan | None:
    """Finds the shards of a pool that is only copied; its index is made first.

    Images are decoded only where faces are to be blurred: then an image that cannot be decoded is rejected now.
    """
    shards = problems.collect(pools.find_shards, config.input, tell=problems.notes.append)
    if shards is None:
        return None
    problems.extend(own_shards(shards, config.output))
    limits = config.tar_limits
    rules = index_row.ReadRules(
        max_sample_bytes=config.max_sample_bytes,
        tar=dataclasses.replace(limits, max_member_bytes=max(limits.max_member_bytes, config.max_sample_bytes)),
        look=bool(config.blur_faces) or config.image_type != "keep",
        uid_field=config.uid_field,
    )
    pool = stamps.stamp(shards=sorted(shard.stamp for shard in shards))
    facts = {"configuration": config.recorded(), "stamps": {"pool": pool, "models": {}}, "version": version()}
    standing = problems.collect(takedowns.standing, config.output) if config.output else None
    lost = config.max_unreadable_fraction
    settings = ScoreSettings(config.output, (), rules, standing=standing or (), max_unreadable=lost)
    return ScorePlan(shards, settings, facts)


def model_schemas(plan: ScorePlan) -> dict[str, pa.Schema]:
    """Returns column set -> schema as they will be after scoring."""
    schemas = {model.name: columns.score_schema(model.dim, model.part) for model in plan.settings.models}
    return {columns.INDEX: columns.INDEX_SCHEMA, **schemas}


def sets_of(plan: ScorePlan | None) -> workspace.OwnedSets:
    """Returns the column sets that the models are to write; none where there is no plan."""
    names = [model.name for model in plan.settings.models] if plan else []
    return workspace.OwnedSets("score", names, "--model", "write --model OTHER=SPEC")


def model_sets(plan: ScorePlan) -> dict[str, list[str]]:
    """Returns column set -> columns as they will be after scoring."""
    return {name: schema.names for name, schema in model_schemas(plan).items()}


def score_summary(plan: ScorePlan) -> dict[str, Any]:
    """Returns what ``--dry_run`` prints about scoring, but what is left to do."""
    return {
        "shards": len(plan.shards),
        "bytes": sum(shard.size for shard in plan.shards),
        "device": plan.settings.device,
        "precision": plan.settings.precision,
        "models": {model.name: dataclasses.asdict(model) for model in plan.settings.models},
    }
