"""The trainings of an evaluation: every arm with every seed, tested, and the table after each."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from beam_pipelines.config.train import EvaluateConfig
from beam_pipelines.evaluating import arms
from beam_pipelines.evaluating.pool_pixels import Pairs, PoolPixels
from beam_pipelines.planning import labelled, workspace
from transforms.lib import stamps
from transforms.lib.arrays import Int64
from transforms.lib.devices import devices
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.evaluation import networks, pretraining, results, table, tasks
from transforms.lib.models import building, clip
from transforms.lib.models.locate import Located
from transforms.lib.samples import images
from transforms.lib.tar import shard_samples
from transforms.lib.training import network_folder, training_pairs
from transforms.outputs.store import Store
from transforms.rows import Shard
from transforms.storage import pool_files

VERSION = 1  # raise when the same run would give other weights
RESULT = "result.json"


class Bench(NamedTuple):
    """What every training of a run shares.

    Attributes:
      config: the flags.
      found: configuration of the network.
      view: the network's view of pictures, and its normalisation; its weights mean nothing.
      pairs: of the pool that some arm holds.
      tasks: the evaluation sets.
      tested_on: digest of the evaluation sets.
    """

    config: EvaluateConfig
    found: Located
    view: clip.ClipModel
    pairs: Pairs
    tasks: list[tasks.Task]
    tested_on: str


def run(config: EvaluateConfig, found: Located, work: arms.Plan, elsewhere: Sequence[table.Row]) -> list[table.Row]:
    """Trains and tests every arm with every seed, seed after seed, and writes the table after each.

    Returns:
      the rows of the table.

    Raises:
      ConfigError: an evaluation set, a selection or the pool cannot be used; before any training.
    """
    import torch

    torch.set_num_threads(config.threads or devices.cpu_count())
    devices.keep_freed_memory()
    folder = Path(config.output)
    view = clip.wrap(networks.build(found, 0), building.tokenizer(found), found.config, device=config.device)
    asked = [_classes(source, view) for source in work.classification]
    asked += [_captions(source, view) for source in work.retrieval]
    copies = arms.copies(work, config.batch_size)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / arms.RECORD).is_file():
        (folder / arms.RECORD).write_text(json.dumps(arms.trained_by(config), indent=1) + "\n")
    bench = Bench(config, found, view, _pairs(folder, view, found, work, copies), asked, _digest(asked))
    flat = _flat(work, copies)
    counts = {name: arms.sizes(rows) for name, rows in copies.items()}
    runs: dict[str, dict[str, results.Figures]] = {arm.name: {} for arm in work.arms}
    rows: list[table.Row] = []
    for seed, arm in itertools.product(range(config.seed, config.seed + config.seeds), work.arms):
        runs[arm.name][str(seed)] = _one(bench, folder / "arms" / arm.name / f"seed-{seed}", flat[arm.name], seed)
        rows = [table.Row(name, *counts[name], of) for name, of in runs.items() if of] + list(elsewhere)
        write(config, rows)
        _say(arm.name, seed, runs[arm.name][str(seed)], config)
    return rows


def _say(arm: str, seed: int, figures: results.Figures, config: EvaluateConfig) -> None:
    first = ", ".join(f"{name} {100 * figures[name]:.2f} %" for name in _headline(list(figures)))
    print(f"{arm}, seed {seed}: {first}", file=sys.stderr, flush=True)


def _headline(names: Sequence[str]) -> list[str]:
    """Returns the figure of each task that is drawn: accuracy of classes, reciprocal rank of captions."""
    return [name for name in names if name.endswith((".acc1", ".mrr", "average.all"))]


def _flat(work: arms.Plan, copies: dict[str, dict[str, Int64]]) -> dict[str, Int64]:
    """Returns arm -> copies of every prepared pair, in the order of ``Pairs``."""
    arrays = {name: np.concatenate([rows[ref.name] for ref in work.refs]) for name, rows in copies.items()}
    wanted = np.any([rows > 0 for rows in arrays.values()], axis=0)
    return {name: rows[wanted] for name, rows in arrays.items()}


def _pairs(
    folder: Path, view: clip.ClipModel, found: Located, work: arms.Plan, copies: dict[str, dict[str, Int64]]
) -> Pairs:
    root = work.arms[0].pool
    prepared = PoolPixels(Store(root), work.refs, folder / "prepared", view.pixels, view.tokenize)
    wanted = {ref.name: np.any([rows[ref.name] > 0 for rows in copies.values()], axis=0) for ref in work.refs}
    return prepared.prepare(wanted, stamps.stamp(pool=workspace.pool_stamp(root), config=found.config))


def _classes(source: labelled.LabelledSource, view: clip.ClipModel) -> tasks.Task:
    read = arms.classes_of(source)
    pixels = np.stack([view.pixels(images.decode(data)) for data in read.images])
    prompts = [line.replace("{}", name) for name in read.names for line in source.templates]
    tokens = np.asarray(view.tokenize(prompts), np.int32)
    return tasks.Task(source.name, pixels, tokens, labels=np.array(read.labels, np.int64), classes=len(read.names))


def _captions(source: arms.RetrievalSource, view: clip.ClipModel) -> tasks.Task:
    found = [pair for shard in source.shards for pair in _captioned(shard)]
    if len({pair.caption for pair in found}) < 2:
        raise InputError(f"--retrieval {source.name}: {len(found)} pictures with fewer than two captions; give more")
    texts, right = tasks.right_captions([pair.caption for pair in found])
    pixels = np.stack([view.pixels(images.decode(pair.image)) for pair in found])
    return tasks.Task(source.name, pixels, np.asarray(view.tokenize(texts), np.int32), right=right)


def _captioned(shard: Shard) -> list[training_pairs.Pair]:
    with pool_files.open_shard(shard.uri) as tar:
        return [pair for pair in training_pairs.read_pairs(shard_samples.read_samples(tar)) if pair.caption.strip()]


def _digest(asked: Sequence[tasks.Task]) -> str:
    parts = {task.name: [stamps.sha256(np.ascontiguousarray(a).tobytes()) for a in _arrays(task)] for task in asked}
    return stamps.stamp(tasks=parts)


def _arrays(task: tasks.Task) -> list[Any]:
    answers = task.right if task.labels is None else task.labels
    return [task.pixels, task.tokens, answers]


def _one(bench: Bench, folder: Path, copies: Int64, seed: int) -> dict[str, float]:
    """Trains one model, or goes on with it, and tests it; what is there already is not done again.

    Raises:
      ConfigError: the folder holds a model of another selection.
    """
    config = bench.config
    settings = pretraining.TrainingSettings(
        seed, config.samples_seen, config.batch_size, config.learning_rate, config.warmup, config.weight_decay,
        crop=config.crop, checkpoint_every=config.checkpoint_every,
    )  # fmt: skip
    chosen = stamps.sha256(bench.pairs.tokens[copies > 0].tobytes() + copies[copies > 0].tobytes())
    made_of = stamps.stamp(
        version=VERSION, flags=arms.trained_by(config), seed=seed, network=bench.found.config, of=chosen
    )
    earlier = _result(folder)
    if earlier.get("stamp", made_of) != made_of:
        raise ConfigError(f"{folder} holds a model of another selection; call this --arm otherwise, or delete it")
    if earlier.get("tested_on") == bench.tested_on:
        return dict(earlier["figures"])
    folder.mkdir(parents=True, exist_ok=True)
    training = _trained(bench, folder, copies, settings, made_of, done=bool(earlier))
    figures = tasks.measure(training.network, bench.tasks, bench.view.normalise, config.device)
    result = {"stamp": made_of, "tested_on": bench.tested_on, "figures": figures, "losses": training.losses}
    if earlier:
        result["losses"] = earlier["losses"]
    partial = folder / f"{RESULT}.partial"
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(folder / RESULT)
    (folder / pretraining.CHECKPOINT).unlink(missing_ok=True)
    return figures


def _result(folder: Path) -> dict[str, Any]:
    path = folder / RESULT
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _trained(
    bench: Bench, folder: Path, copies: Int64, settings: pretraining.TrainingSettings, stamp: str, *, done: bool
) -> pretraining.Training:
    from safetensors.torch import load_file

    network = networks.build(bench.found, settings.seed).to(bench.config.device)
    training = pretraining.Training(network, settings, folder)
    weights = folder / "open_clip_model.safetensors"
    if done and weights.is_file():
        network.load_state_dict(load_file(weights))
        network.eval()
        return training
    if training.resume(stamp):
        print(f"continuing {folder} at step {training.step} of {settings.steps}", file=sys.stderr)
    training.run(
        bench.pairs.pixels, bench.pairs.tokens, copies, bench.view.normalise, stamp, device=bench.config.device
    )
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    network_folder.write_network(folder, bench.found.config, bench.found.text_files(), state)
    return training


def write(config: EvaluateConfig, rows: Sequence[table.Row]) -> tuple[str, dict[str, Any]]:
    """Writes the table in every form; returns a line for people, and the means for the JSON line."""
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    settings = arms.trained_by(config) | {"threads": config.threads, "device": config.device}
    sentence = (
        f"Every model: {config.model}, {config.samples_seen:,} samples seen in batches of {config.batch_size}, "
        f"learning rate {config.learning_rate:g}."
    )
    drawn = _headline(table.figures_of(rows))
    files = {
        "evaluation.json": table.as_json(rows, settings),
        "evaluation.csv": table.as_csv(rows),
        "evaluation.md": table.as_markdown(rows),
        "evaluation.html": table.as_html(rows, sentence, drawn),
    }
    for name, text in files.items():
        (folder / f"{name}.partial").write_text(text)
        (folder / f"{name}.partial").replace(folder / name)
    means = {row.name: {n: round(one.mean, 6) for n, one in row.summary().items() if n in drawn} for row in rows}
    return f"{len(rows)} arms: {folder / 'evaluation.html'}", {"output": config.output, "arms": means}
