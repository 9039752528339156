"""The training of ``train-filter``: projections over locked towers, or whole towers on pairs that stream by."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beam_pipelines.config.train_filter import TrainConfig
from beam_pipelines.training.filter_data import FilterData
from transforms.lib import stamps
from transforms.lib.devices import devices
from transforms.lib.errors import ConfigError
from transforms.storage import filesystem, pool_files

if TYPE_CHECKING:
    from transforms.lib.training import network_folder, tower_data, training_pairs
    from transforms.lib.training.world import World

VERSION = 1  # raise when the same run of towers would give other weights
_PLACES = {"input", "class_names", "prompts", "model"}  # stamped by what they hold


def projections(config: TrainConfig, data: FilterData, folder: Path) -> dict[str, Any]:
    """Trains the projections of a network and writes its folder; returns the held-out figures."""
    from transforms.lib.tar import shard_samples
    from transforms.lib.training import network_folder, training_pairs, training_run
    from transforms.lib.training import projections as fitting

    network = _opened(config, "cpu")

    def pairs() -> Iterator[training_pairs.Pair]:
        for shard in data.shards:
            with pool_files.open_shard(shard.uri) as tar:
                yield from training_pairs.read_pairs(shard_samples.read_samples(tar), config.caption_field)

    settings = fitting.FitSettings(**_fields(config, fitting.FitSettings))
    result = training_run.run_projections(network, pairs(), config.holdout_fraction, settings)
    print(f"{result.pairs} pairs in {len(data.shards)} shards", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    facts = {**config.recorded(), "pairs": result.pairs, "held out": result.held}
    return network_folder.save(network, folder, result.history, result.best, facts, result.control_auc)


def towers(config: TrainConfig, data: FilterData, folder: Path) -> dict[str, Any]:
    """Trains every weight of a network and writes its folder, or goes on; returns the held-out figures.

    Raises:
      ConfigError: too few pairs for a batch, or the folder holds another run.
    """
    from transforms.lib.training import network_folder, pair_stream, tower_checkpoint, tower_data, tower_step, world
    from transforms.lib.training import towers as training
    from transforms.lib.training.augment import Augmentation

    here = world.joined(config.device)
    network = _opened(config, config.device)
    hold = tower_data.HoldOut(config.holdout_fraction, config.seed)
    assert config.batch_size
    assert config.crop_scale
    lanes = pair_stream.lanes_of(len(data.sources), config.batch_size)
    if lanes % here.size:
        raise ConfigError(
            f"{here.size} processes cannot share {len(data.sources)} shards and --batch_size {config.batch_size} "
            f"equally; start {lanes} or fewer, a power of two, or give more shards"
        )
    look: tower_data.Survey = here.told(
        tower_data.survey(data.sources, data.read, hold, config.held_out_pairs, not config.steps)
        if here.first
        else None
    )
    settings = _schedule(config, look)
    step = tower_step.Towers(
        network.model.network, network.model.normalise, config.device,
        tower_step.StepSettings(config.part_size, config.precision, config.clip_norm), here,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    stamp = _stamp(config, data, network)
    if (earlier := tower_checkpoint.stamp_of(folder)) not in (None, stamp):
        raise ConfigError(f"--output {config.output} holds a run with other settings or data; name a new folder")
    if here.first:
        counted = "" if look.pairs is None else f"{round(look.pairs)} pairs per pass, "
        print(
            f"{counted}{len(look.held)} held out, {settings.steps} steps{'; going on' if earlier else ''}",
            file=sys.stderr,
        )
    augmentation = Augmentation(config.crop_scale, config.mirror, data.templates)
    mixing = pair_stream.StreamSettings(config.seed, lanes, max(1, config.shuffle_pairs // lanes))
    made: list[tower_data.StreamedBatches] = []

    def batches(places: Mapping[int, pair_stream.Place]) -> tower_data.StreamedBatches:
        made.append(tower_data.StreamedBatches(
            network.model, augmentation, config.batch_size or 1, data.sources, mixing, hold.trained(data.read), here,
            places, config.threads or devices.cpu_count(),
        ))  # fmt: skip
        return made[0]

    def measure() -> dict[str, float]:
        size = config.part_size or min(256, config.batch_size or 256)
        return tower_data.measure(step, network.model, look.held, data.templates, size, config.seed)

    before = measure()["auc"] if here.first else float("nan")
    history, best = training.fit(step, batches, measure, settings, folder, stamp, _progress(settings.steps, here))
    left_out = sum(made[0].left_out.values())
    facts = {**config.recorded(), "held out": len(look.held)}
    if not here.first:
        return {}
    figures = network_folder.save(network, folder, history, best, facts, before)
    (folder / tower_checkpoint.CHECKPOINT).unlink()
    return {**figures, "left_out": left_out}


def _opened(config: TrainConfig, device: str) -> network_folder.Network:
    import torch

    from transforms.lib.training import network_folder

    torch.set_num_threads(config.threads or devices.cpu_count())
    devices.keep_freed_memory()
    torch.manual_seed(config.seed)  # a bare architecture starts from random weights
    return network_folder.open_network(config.model, device=devices.device_of(device), fetch=filesystem.fetch)


def _fields(config: TrainConfig, kind: Any) -> dict[str, Any]:
    return {
        field.name: getattr(config, field.name) for field in dataclasses.fields(kind) if hasattr(config, field.name)
    }


def _schedule(config: TrainConfig, look: tower_data.Survey) -> Any:
    """Returns the settings of the run, with its steps.

    Raises:
      ConfigError: a batch is more than the pairs of a pass.
    """
    from transforms.lib.training import towers as training

    per_step = (config.batch_size or 1) * config.accumulate
    values = _fields(config, training.TowerSettings)
    steps, every = config.steps or 0, config.validate_every
    if look.pairs is not None:
        if look.pairs < per_step:
            raise ConfigError(
                f"--batch_size {config.batch_size} with --accumulate {config.accumulate} is more than the "
                f"{round(look.pairs)} pairs to train on; take at most {max(1, int(look.pairs) // config.accumulate)}"
            )
        if not steps:
            a_pass = int(look.pairs // per_step)
            steps, every = (config.epochs or 1) * a_pass, every or a_pass
    if config.warmup and config.warmup >= steps:
        raise ConfigError(f"--warmup must be less than the {steps} steps of this run, got {config.warmup}")
    return training.TowerSettings(**{**values, "steps": steps, "validate_every": every or max(1, steps // 10)})


def _stamp(config: TrainConfig, data: FilterData, network: network_folder.Network) -> str:
    """Returns the digest of settings and data, which determine the weights; paths do not count."""
    digest = hashlib.sha256()
    for name, value in sorted(network.model.network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(-1).numpy().tobytes())
    settings = {name: value for name, value in config.recorded().items() if name not in _PLACES}
    shards = [[source.name, shard.size] for source, shard in zip(data.sources, data.shards, strict=True)]
    return stamps.stamp(
        version=VERSION, settings=settings, shards=shards, start=digest.hexdigest(), templates=data.templates,
        classes={name: list(one) for name, one in data.classes.items()},
    )  # fmt: skip


def _progress(steps: int, here: World) -> Callable[[int, Mapping[str, float]], None]:
    """Returns what prints a line every tenth of the run."""

    def show(step: int, figures: Mapping[str, float]) -> None:
        if here.first and "train/loss" in figures and step % max(1, steps // 10) == 0:
            print(f"step {step} of {steps}: loss {figures['train/loss']:.4f}", file=sys.stderr)

    return show
