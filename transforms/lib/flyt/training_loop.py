"""FLYT's training loop: one meta-gradient a step, resumable, and equal for equal seeds."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transforms.lib.errors import InputError
from transforms.lib.flyt import adamw, meta_gradient, reference_model

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params

SCALE = "downstream_logit_scale"
CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"
_PARTIAL = f".{CHECKPOINT}.partial"


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """How a scorer is trained; the defaults are the paper's (its training script's).

    Attributes:
      steps: virtual steps in all.
      warmup: steps that lead up to the peak of both learning rates.
      learning_rate: peak of the reference's and of the downstream scale's; a reference that is not updated has it at
        every step, since the published script schedules it only where it is.
      scoring_learning_rate: peak of the scorer's.
      weight_decay: of the matrices of both.
      scoring_eps: of the scorer's AdamW.
      restart_every: steps after which the reference, and its moments, start anew; 0 for never, as in the paper, whose
        pool is so large that no sample is seen twice. A pool of a few hundred is learnt by heart in some hundred steps,
        and then teaches nothing.
      update_reference: False keeps the reference and the downstream scale where they started; their moments advance all
        the same.
      checkpoint_every: steps between checkpoints.
    """

    steps: int = 5000
    warmup: int = 100
    learning_rate: float = 5e-5
    scoring_learning_rate: float = 1e-3
    weight_decay: float = 0.2
    scoring_eps: float = 1e-6
    restart_every: int = 0
    update_reference: bool = True
    checkpoint_every: int = 100


class TrainingBatch(NamedTuple):
    """One step's data.

    Attributes:
      seen: what the scorer reads of a batch of the pool; whatever its function takes.
      upstream: the batch as the reference sees it.
      downstream: a labelled batch of each task.
    """

    seen: Any
    upstream: meta_gradient.Sides
    downstream: Sequence[meta_gradient.Downstream]


class TrainingState(NamedTuple):
    """Everything that a step changes.

    Attributes:
      step: the next one.
      reference: parameters, and the downstream scale ``SCALE``, which its AdamW trains, without a clamp.
      reference_moments: of its AdamW.
      scorer: parameters.
      scorer_moments: of its AdamW.
    """

    step: int
    reference: Params
    reference_moments: adamw.AdamWState
    scorer: Params
    scorer_moments: adamw.AdamWState


Score = Callable[["Params", Any], "torch.Tensor"]


def begin(reference: Params, scorer: Params) -> TrainingState:
    """Returns the state before the first step."""
    learned = _with_scale(reference)
    return TrainingState(0, learned, adamw.fresh(learned), scorer, adamw.fresh(scorer))


def _with_scale(reference: Params) -> Params:
    """Returns the parameters of a fresh reference with the downstream scale, where that starts."""
    import torch

    scale = torch.tensor(meta_gradient.DOWNSTREAM_SCALE).to(reference[meta_gradient.LOGIT_SCALE])
    return {**reference, SCALE: scale}


def advance(
    state: TrainingState, batch: TrainingBatch, score: Score, settings: RunSettings
) -> tuple[TrainingState, dict[str, Any]]:
    """Takes one step: a virtual step of the reference, and a step of the scorer along the meta-gradient.

    Args:
      state: before; not changed.
      batch: of this step.
      score: (parameters, ``batch.seen``) -> scores ``[batch]``, with a graph.
      settings: how.

    Returns:
      the state after, and the step's figures: ``up_loss``, ``down_loss``, ``down_accuracy``, ``effective`` (share of
      the batch that the weights amount to, by their entropy), and ``skipped`` (1 where something was not finite or a
      batch was empty, so that nothing but the step counter changed).
    """
    import torch

    rates = [
        adamw.learning_rate_at(state.step, settings.steps, settings.warmup, peak)
        for peak in (settings.learning_rate, settings.scoring_learning_rate)
    ]
    if not settings.update_reference:
        rates[0] = settings.learning_rate
    figures: dict[str, Any] = {"step": state.step, "learning_rate": rates[0], "skipped": 1}
    skipped = state._replace(step=state.step + 1), figures
    leaves = {name: value.detach().requires_grad_() for name, value in state.scorer.items()}
    log_weights = score(leaves, batch.seen).log_softmax(0)
    constants = adamw.AdamW(weight_decay=settings.weight_decay)
    others, own = adamw.parted(state.reference_moments, SCALE)
    scale = {SCALE: state.reference[SCALE]}
    params = {name: value for name, value in state.reference.items() if name != SCALE}
    with reference_model.plain_attention():
        found = meta_gradient.meta_step(
            params, others, log_weights, batch.upstream, batch.downstream, scale[SCALE], rates[0], constants
        )
    if found is None:
        return skipped
    surrogate = (log_weights * found.by_log_weight).sum()
    grads = dict(zip(leaves, torch.autograd.grad(surrogate, list(leaves.values())), strict=True))
    if not all(bool(torch.isfinite(grad).all()) for grad in grads.values()):
        return skipped
    scoring = constants._replace(eps=settings.scoring_eps)
    scorer, moments = adamw.step(state.scorer, grads, state.scorer_moments, rates[1], scoring)
    scale, own = adamw.step(scale, {SCALE: found.by_scale}, own, rates[0], constants)
    weights = log_weights.detach().exp()
    effective = float(torch.exp(-(weights * log_weights.detach()).sum())) / len(weights)
    figures |= {**found.figures, "effective": effective, "skipped": 0}
    reference = {**found.params, **scale} if settings.update_reference else state.reference
    return TrainingState(state.step + 1, reference, adamw.joined(found.moments, own), scorer, moments), figures


def run(
    state: TrainingState,
    start: Callable[[int], Params],
    batches: Iterator[TrainingBatch],
    score: Score,
    settings: RunSettings,
    folder: Path,
    stamp: str,
    report: Callable[[dict[str, Any]], None],
) -> TrainingState:
    """Trains to the last step, with a line of ``metrics.jsonl`` a step and a checkpoint every so many.

    Args:
      state: to start from: ``begin`` or ``load``.
      start: times that the reference started before -> its parameters.
      batches: those of ``state.step`` and after.
      score: as in ``advance``.
      settings: how.
      folder: to write to; exists.
      stamp: of everything that the run depends on; a checkpoint with another one is not continued.
      report: gets each step's figures.

    Returns:
      the last state.
    """
    with (folder / METRICS).open("a") as metrics:
        while state.step < settings.steps:
            if settings.restart_every and state.step and state.step % settings.restart_every == 0:
                anew = _with_scale(start(state.step // settings.restart_every))
                state = state._replace(reference=anew, reference_moments=adamw.fresh(anew))
            state, figures = advance(state, next(batches), score, settings)
            metrics.write(_line(figures))
            report(figures)
            if state.step % settings.checkpoint_every == 0 or state.step == settings.steps:
                metrics.flush()
                save(state, folder, stamp)
    return state


def save(state: TrainingState, folder: Path, stamp: str) -> None:
    """Writes the checkpoint, whole or not at all, in place of an older one."""
    from safetensors.torch import save

    groups = {
        "reference": state.reference, "reference_first": state.reference_moments.first,
        "reference_second": state.reference_moments.second, "scorer": state.scorer,
        "scorer_first": state.scorer_moments.first, "scorer_second": state.scorer_moments.second,
    }  # fmt: skip
    tensors = {
        f"{group}/{name}": value.cpu().contiguous() for group, held in groups.items() for name, value in held.items()
    }
    steps = {"reference": state.reference_moments.steps, "scorer": state.scorer_moments.steps}
    # One entry: safetensors keeps no order of several.
    facts = json.dumps({"stamp": stamp, "step": state.step, **steps})
    partial = folder / _PARTIAL
    partial.write_bytes(save(tensors, {"winnow": facts}))
    os.replace(partial, folder / CHECKPOINT)


def is_free(folder: Path) -> bool:
    """Whether a run may begin in a folder: it is absent, empty, or holds what a run left that was killed at once."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(
        path.name == _PARTIAL or (path.name == METRICS and not path.stat().st_size) for path in folder.iterdir()
    )


def stamp_of(folder: Path) -> str | None:
    """Returns the stamp of a folder's checkpoint, None where there is none.

    Raises:
      InputError: it is damaged.
    """
    return str(_facts(folder)["stamp"]) if (folder / CHECKPOINT).is_file() else None


def _facts(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / CHECKPOINT, "pt") as file:
            facts = json.loads((file.metadata() or {})["winnow"])
        return {name: facts[name] for name in ("stamp", "step", "reference", "scorer")}
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"--output {folder}: {CHECKPOINT} is damaged ({error}); copy it again, or name a new folder to start anew"
        ) from None


def load(folder: Path, device: str = "cpu") -> TrainingState:
    """Reads a folder's checkpoint, and cuts ``metrics.jsonl`` to the steps before it.

    Raises:
      InputError: the checkpoint is damaged.
    """
    from safetensors.torch import load_file

    facts = _facts(folder)
    groups: dict[str, Params] = {}
    for name, value in load_file(folder / CHECKPOINT, device=device).items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    moments = {
        what: adamw.AdamWState(facts[what], groups[f"{what}_first"], groups[f"{what}_second"])
        for what in ("reference", "scorer")
    }
    rows = [row for row in history(folder) if row["step"] < facts["step"]]
    (folder / METRICS).write_text("".join(_line(row) for row in rows))
    return TrainingState(facts["step"], groups["reference"], moments["reference"], groups["scorer"], moments["scorer"])


def history(folder: Path) -> list[dict[str, Any]]:
    """Returns the figures of every step that ``metrics.jsonl`` has; none where there is no such file.

    What it lacks, because it was deleted or its last line was cut, is lost to the curves alone.
    """
    path = folder / METRICS
    return list(filter(None, map(_row, path.read_text("utf-8", "replace").splitlines()))) if path.is_file() else []


def _line(figures: dict[str, Any]) -> str:
    return json.dumps(figures) + "\n"


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"step", "skipped"} <= row.keys() else None


def smoothed(history: Sequence[dict[str, Any]], points: int = 200) -> list[dict[str, float]]:
    """Returns at most so many points of a curve, each the mean of a stretch of steps that were not skipped."""
    done = [row for row in history if not row["skipped"]]
    width = math.ceil(len(done) / points) or 1
    stretches = [done[first : first + width] for first in range(0, len(done), width)]
    names = ("step", "up_loss", "down_loss", "down_accuracy", "effective")
    return [{name: sum(row[name] for row in stretch) / len(stretch) for name in names} for stretch in stretches]
