"""The plan and the training of ``train-mix`` and ``train-flyt``: pool, labelled pictures, then step by step."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from numpy.typing import NDArray

from beam_pipelines.config.train import MetaConfig
from beam_pipelines.planning import column_sets, labelled, workspace
from beam_pipelines.planning.column_sets import choose_set
from beam_pipelines.planning.plan_facts import Problems, version
from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.devices import devices
from transforms.lib.errors import ConfigError
from transforms.lib.flyt import embedded_tasks, reference_model, task_batches, training_loop
from transforms.lib.models import clip, spec
from transforms.lib.training import curves
from transforms.outputs import manifest
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import filesystem
from transforms.workers.pool_batches import PoolBatch, PoolBatches, Survey

VERSION = 4  # raise when the same run would give other weights
_PLACES = {"pool", "column_set", "downstream", "label_field", "class_names", "prompts"}  # stamped by content


class TrainingInputs(NamedTuple):
    """What a run learns from, once nothing is wrong with the request.

    Attributes:
      refs: the shards of the pool.
      where: ``image``, ``text`` and every score -> (column set, column).
      scores: the names of the scores among them.
      spec: the model that made the embeddings.
      tasks: what the reference is to get right, one or more.
    """

    refs: Sequence[ShardRef]
    where: dict[str, tuple[str, str]]
    scores: list[str]
    spec: spec.ModelSpec
    tasks: list[labelled.LabelledSource]


class TrainedScorer(NamedTuple):
    """The scorer that a run trains.

    Attributes:
      start: its parameters before the first step.
      score: as in ``training_loop.run``.
      see: a batch of the pool -> the arrays that ``score`` reads: one array, or several for a tuple of tensors.
      with_images: ``see`` reads images and captions.
    """

    start: dict[str, Any]
    score: training_loop.Score
    see: Callable[[PoolBatch, Survey], Sequence[NDArray[Any]]]
    with_images: bool = False


class Trained(NamedTuple):
    """What a run gives: the scorer's parameters, the survey of the pool, and figures for the JSON line."""

    params: dict[str, Any]
    survey: Survey
    figures: dict[str, Any]


def check(config: MetaConfig, problems: Problems, scores: Sequence[str] = ()) -> TrainingInputs | None:
    """Finds the pool's columns, the model that made them, the labelled pictures and the prompts.

    Args:
      config: of the job.
      problems: gets a line for everything that is wrong.
      scores: names of the columns to mix.

    Returns:
      the inputs of the training; None when something is wrong.
    """
    if config.output:
        _check_folder(config.output, problems)
    refs = problems.collect(workspace.read_pool, config.pool) if config.pool else None
    sets = problems.collect(column_sets.stored_sets, config.pool, refs) if refs else None
    where = problems.collect(columns.resolve, scores, sets) if sets else None
    if refs and sets and where:
        _check_scores(config, problems, where, sets, refs[0].name)
    source = problems.collect(choose_set, "--column_set", config.column_set, sets, ("image", "text")) if sets else None
    spec = _spec(config, problems, source) if source else None
    tasks = labelled.find(config, problems)
    if config.device == "cuda":
        problems.collect(devices.device_of, config.device)
    if problems or refs is None or where is None or source is None or spec is None:
        return None
    where |= {"image": (source, "image"), "text": (source, "text")}
    where["caption"] = (columns.INDEX, "caption")
    return TrainingInputs(refs, where, list(scores), spec, tasks)


def summary(inputs: TrainingInputs) -> dict[str, Any]:
    """Returns what ``--dry_run`` prints about a training."""
    return {"shards": len(inputs.refs), "model": dataclasses.asdict(inputs.spec), "version": version()}


def sentence(config: MetaConfig, trained: Trained) -> str:
    """Returns the line for people at the end of a run."""
    return f"trained for {trained.figures['steps']} steps: {config.output}"


def _check_folder(output: str, problems: Problems) -> None:
    folder = Path(output)
    if (folder / training_loop.CHECKPOINT).is_file():
        problems.collect(training_loop.stamp_of, folder)
    elif not training_loop.is_free(folder):
        problems.append(f"--output {output} exists and holds no run of this job; name a new folder")
    else:
        problems.collect(filesystem.check_writable, output)


def _check_scores(
    config: MetaConfig, problems: Problems, where: Mapping[str, tuple[str, str]], sets: dict[str, list[str]], shard: str
) -> None:
    """Notes the scores that are no number per sample, by the schema of one shard."""
    store = Store(config.pool)
    schemas = {owner: store.schema(owner, shard) for owner in sets}
    scores = [f"{owner}.{field.name}" for owner in sets for field in schemas[owner] if pa.types.is_floating(field.type)]
    for name, (owner, column) in where.items():
        kind = schemas[owner].field(column).type
        if not pa.types.is_floating(kind) and not pa.types.is_integer(kind):
            problems.append(
                f"--score {name} is no number per sample ({kind}), and a mix needs numbers; there are "
                f"{', '.join(scores) or 'none'}; `winnow score` and `winnow import-scores` add some"
            )


def _spec(config: MetaConfig, problems: Problems, source: str) -> spec.ModelSpec | None:
    made_by = manifest.read(config.pool).models.get(source)
    if made_by is not None:
        return spec.ModelSpec(**made_by)
    problems.append(
        f"--column_set {source}: the manifest of --pool {config.pool} does not say which model made it; run "
        "`winnow score` there again with every --model in one command (what is done is skipped)"
    )
    return None


def train(config: MetaConfig, inputs: TrainingInputs, scorer: TrainedScorer) -> Trained:
    """Trains, or continues, to the last step.

    Raises:
      ConfigError: the data cannot be trained on, or the folder holds another run.
    """
    import torch

    torch.set_num_threads(config.threads or devices.cpu_count())
    devices.keep_freed_memory()
    pool = PoolBatches(
        Store(config.pool), inputs.refs, inputs.where, config.batch_size, config.shards_at_once, config.seed,
        scorer.with_images or config.reference == "towers",
    )  # fmt: skip
    survey = pool.survey(inputs.scores)
    tasks = [labelled.read(source) for source in inputs.tasks]
    stamp = _stamp(config, inputs, survey, tasks)
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    earlier = training_loop.stamp_of(folder)
    if earlier not in (None, stamp):
        raise ConfigError(f"--output {config.output} holds a run with other settings or data; name a new folder")
    line, counts = labelled.sources_of(tasks)
    print(f"{sum(survey.counts.values())} samples of the pool, {line}", file=sys.stderr)
    feed = _feed(config, inputs, tasks)

    def start(restart: int) -> dict[str, Any]:
        return {name: value.to(config.device) for name, value in feed.reference.start(restart).items()}

    state = training_loop.begin(start(0), {name: value.to(config.device) for name, value in scorer.start.items()})
    if earlier is not None:
        state = _continued(config)
    else:
        training_loop.save(state, folder, stamp)
    names = {field.name for field in dataclasses.fields(training_loop.RunSettings)}
    settings = training_loop.RunSettings(**{name: getattr(config, name) for name in names})
    batches = _batches(config, pool, survey, feed, scorer, state.step)
    state = training_loop.run(state, start, batches, scorer.score, settings, folder, stamp, _progress(config.steps))
    return Trained(state.scorer, survey, {**_finish(folder, state.step), **counts})


def _stamp(config: MetaConfig, inputs: TrainingInputs, survey: Survey, tasks: list[task_batches.Task]) -> str:
    """Returns the digest of settings and data, which determine the weights; paths do not count."""
    settings = {name: value for name, value in config.recorded().items() if name not in _PLACES}
    return stamps.stamp(
        version=VERSION, kind=config.kind, settings=settings, columns=inputs.where, pool=survey.stamp,
        shards=survey.counts, model=inputs.spec.weights_sha256, tasks=[_digest(task) for task in tasks],
    )  # fmt: skip


def _continued(config: MetaConfig) -> training_loop.TrainingState:
    folder = Path(config.output)
    state = training_loop.load(folder, config.device)
    lacking = state.step - len(training_loop.history(folder))
    remark = f"; {training_loop.METRICS} lacks {lacking} of them, and so will the curves" if lacking else ""
    print(f"continuing at step {state.step} of {config.steps}{remark}", file=sys.stderr)
    return state


def _digest(task: task_batches.Task) -> list[str]:
    """Returns a task's name, and digests of its pictures, labels and prompts."""
    pictures = hashlib.sha256(b"".join(hashlib.sha256(image).digest() for image in task.labelled.images)).hexdigest()
    return [task.name, pictures, stamps.stamp(labels=task.labelled.labels, of=task.labelled.names, in_=task.templates)]


def _feed(
    config: MetaConfig, inputs: TrainingInputs, tasks: list[task_batches.Task]
) -> task_batches.Frozen | task_batches.Whole:
    def load() -> clip.ClipModel:
        return clip.load(inputs.spec, device=config.device, threads=config.threads or None, fetch=filesystem.fetch)

    draws = task_batches.Draws(config.seed, config.downstream_batch_size)
    if config.reference == "towers":
        model = load()
        reference = reference_model.Towers(model.network, config.part_size)
        threads = ThreadPoolExecutor(devices.cpu_count(), "winnow-decode")
        return task_batches.Whole(reference, model, tasks, draws, threads, config.device)
    cache = labelled.CacheFolder(config.cache or filesystem.join(config.pool, "labelled"))
    embedder = embedded_tasks.Embedder(inputs.spec, config.device, load, cache)
    seed = config.seed if config.reference_start == "random" else None
    projections = reference_model.Projections(inputs.spec.dim, embedder.logit_scale(), seed)
    return task_batches.Frozen(projections, [embedder.embed(task) for task in tasks], draws)


def _batches(
    config: MetaConfig, pool: PoolBatches, survey: Survey, feed: task_batches.Feed, scorer: TrainedScorer, first: int
) -> Iterator[training_loop.TrainingBatch]:
    import torch

    for step, rows in enumerate(pool.batches(survey, first), first):
        arrays = rows.arrays
        sides = feed.upstream(arrays["image"], arrays["text"], rows.images, arrays["caption"].tolist())
        parts = tuple(torch.from_numpy(part).to(config.device) for part in scorer.see(rows, survey))
        seen = parts if len(parts) > 1 else parts[0]
        yield training_loop.TrainingBatch(seen, sides, feed.downstream(step))


def _progress(steps: int) -> Callable[[dict[str, Any]], None]:
    """Returns what prints a line every tenth of the run."""

    def show(figures: dict[str, Any]) -> None:
        if (figures["step"] + 1) % max(1, steps // 10) == 0 and not figures["skipped"]:
            shown = ", ".join(f"{name} {figures[name]:.4f}" for name in ("up_loss", "down_loss", "down_accuracy"))
            print(f"step {figures['step'] + 1} of {steps}: {shown}", file=sys.stderr)

    return show


def _finish(folder: Path, steps: int) -> dict[str, Any]:
    """Draws the curves; returns the figures of the last tenth of the run."""
    history = training_loop.history(folder)
    points = training_loop.smoothed(history)
    if points:
        drawn = curves.draw(
            points, len(points) - 1, left=("up_loss", "down_loss"), right=("down_accuracy", "effective"),
            right_from=0.0, along="step",
        )  # fmt: skip
        (folder / "curves.svg").write_text(drawn)
    last = training_loop.smoothed(history[-max(1, len(history) // 10) :], 1)
    figures = {name: round(value, 6) for name, value in (last[0] if last else {}).items() if name != "step"}
    skipped = sum(row["skipped"] for row in history)
    return {**figures, "steps": steps, "skipped": skipped}
