"""Score the samples of one tar: decode each image once, give it to every model, and reject bad samples."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from transforms.lib.arrays import Bool, Float32
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.notices import note_placeholders
from transforms.lib.devices.staging import PixelBatch, Pixels
from transforms.lib.errors import Reason
from transforms.lib.inference import best_caption
from transforms.lib.inference.prefetch import Decode, prefetch_samples
from transforms.lib.inference.timing import Clock, Stopwatch
from transforms.lib.models.preprocessing import Preprocess
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar.shard_samples import RawSample

Result = Callable[[], tuple[Float32, float]]
"""Waits for float32 ``[n, dim]``, unit norm, and for the seconds that a GPU worked and that were not counted yet."""

_AHEAD = 64  # samples being prepared while a model works
_UNSEEN = -1  # number of an image of which the view cannot be made
TOKENIZED = 256  # captions that are tokenized by the pool at once


class Model(Protocol):
    """What scoring needs of a model; ``clip.ClipModel`` is one."""

    dim: int
    view: Preprocess
    part: str

    @property
    def depth(self) -> int:
        """Batches that may be started before the first one's embeddings are fetched."""

    def batch_of(self, pixels: Sequence[Pixels]) -> PixelBatch:
        """Returns what ``start_images`` takes, of the pixels of single images; models of one view may share it."""

    def start_images(self, pixels: PixelBatch) -> Result:
        """Starts embedding n images."""

    def tokens(self, texts: Sequence[str]) -> Any:
        """Returns the tokens of captions; safe to call from several threads."""

    def start_tokens(self, tokens: Any, turn: threading.Lock) -> Result:
        """Starts embedding the captions of a list of what ``tokens`` gave; holds ``turn`` while it queues or works."""


@dataclasses.dataclass(frozen=True)
class ScoredShard:
    """The rows of one shard.

    Attributes:
      index: table of ``INDEX_SCHEMA``, one row per sample in tar order, rejected ones included.
      sets: column set -> table of its model's ``score_schema``, row-aligned with the index.
      clock: where the time went.
      repeated: samples whose image bytes an earlier sample of the shard had too.
      unseen: column set -> samples that are valid, and whose image its model can make nothing of, where there are any.
    """

    index: pa.Table
    sets: dict[str, pa.Table]
    clock: Clock
    repeated: int
    unseen: dict[str, int]


class _Texts:
    """The different captions of a shard, tokenized by the pool while images are embedded."""

    def __init__(self, models: Mapping[str, Model], pool: Executor) -> None:
        self._models, self._pool = models, pool
        self._numbers: dict[str, int] = {}
        self._fresh: list[str] = []
        self._tokens: dict[str, list[Future[Any]]] = {name: [] for name in models}
        self._started: dict[str, Result] = {}
        self.where: list[int] = []

    def add(self, caption: str) -> None:
        if caption not in self._numbers:
            self._numbers[caption] = len(self._numbers)
            self._fresh.append(caption)
        self.where.append(self._numbers[caption])
        if len(self._fresh) == TOKENIZED:
            self.flush()

    def add_all(self, captions: Iterable[str]) -> None:
        """Adds captions, one after another."""
        for caption in captions:
            self.add(caption)

    def flush(self) -> None:
        for name, model in self._models.items() if self._fresh else ():
            self._tokens[name].append(self._pool.submit(model.tokens, list(self._fresh)))
        self._fresh.clear()

    def start(self, turn: threading.Lock, clock: Clock) -> None:
        """Starts embedding the captions that were added."""
        self.flush()
        with Stopwatch(clock, "model"):
            for name, model in self._models.items():
                tokens = [future.result() for future in self._tokens[name]]
                self._started[name] = model.start_tokens(tokens, turn)

    def embedded(self, name: str, clock: Clock) -> Float32:
        """Returns float32 ``[samples, dim]`` of the captions that were added, once they are started."""
        with Stopwatch(clock, "model"):
            found, busy = self._started[name]()
        clock.busy += busy
        return found[self.where]


class _Images:
    """The different images of a shard in one view, embedded in batches by every network with that view."""

    def __init__(self, models: Mapping[str, Model], size: int, turn: threading.Lock, clock: Clock) -> None:
        self._models, self._size, self._turn, self._clock = models, size, turn, clock
        self._depth = max(model.depth for model in models.values())
        self._batch: list[Pixels] = []
        self._started: deque[dict[str, Result]] = deque()
        self._found: dict[str, list[Float32]] = {name: [] for name in models}
        self._number: dict[int, int] = {}
        self._count = 0
        self._where: list[int] = []

    def add(self, row: int, duplicate_of: int, pixels: Pixels | None) -> None:
        """Adds a sample: its pixels, None where the view cannot be made; or the row of an equal image, else -1."""
        if duplicate_of < 0:
            self._number[row] = _UNSEEN if pixels is None else self._count
        self._where.append(self._number[row if duplicate_of < 0 else duplicate_of])
        if duplicate_of >= 0 or pixels is None:
            return
        self._count += 1
        self._batch.append(pixels)
        if len(self._batch) == self._size:
            self.flush()

    def flush(self) -> None:
        if not self._batch:
            return
        seen = next(iter(self._models.values())).batch_of(self._batch)  # all models are on one device
        self._batch.clear()
        with Stopwatch(self._clock, "model"):
            with self._turn:
                self._started.append({name: model.start_images(seen) for name, model in self._models.items()})
            if len(self._started) == self._depth:
                self._fetch()

    def _fetch(self) -> None:
        for name, result in self._started.popleft().items():
            embedded, busy = result()
            self._found[name].append(embedded)
            self._clock.busy += busy

    def seen(self) -> Bool:
        """Returns bool ``[samples]``: of which samples that were added the view could be made."""
        seen: Bool = np.array(self._where, np.int64) != _UNSEEN
        return seen

    def embedded(self, name: str) -> Float32:
        """Returns float32 ``[samples, dim]`` of the samples that were added, in that order; zero where not seen."""
        with Stopwatch(self._clock, "model"):
            while self._started:
                self._fetch()
        nothing = np.zeros((1, self._models[name].dim), np.float32)
        return np.concatenate([*self._found[name], nothing])[self._where]  # _UNSEEN is the last one


def score_samples(
    samples: Iterable[RawSample],
    models: Mapping[str, Model],
    rules: ReadRules,
    pool: Executor,
    batch_size: int,
    turn: threading.Lock | None = None,
    start: Decode | None = None,
) -> ScoredShard:
    """Scores the samples of one shard with every model on one decode.

    Images with equal bytes are embedded once, and so are equal captions. Batches are cut from the different valid
    images in tar order, so they are a function of the shard alone, whatever the workers and the other models. At
    most 64 samples, or as many batches as may be started if that is more, are prepared ahead.

    The index depends on the samples and the rules alone, but for the rule ``best``: there the first model with a score
    picks each caption, and all models read what it picked. An image that one model cannot use (too narrow to
    resize to its input) has no score and no image embedding, NaN and zero, in the set of that model alone.

    Args:
      samples: in tar order; read on a thread of their own.
      models: column set -> model; may be empty, then only the index is made.
      rules: what to read and what to reject.
      pool: runs the decoding; threads suffice, the decoders release the GIL.
      batch_size: images given to a model at once.
      turn: held while a model works on a CPU, or is queued for a GPU, so that threads which share one take turns.
      start: starts decoding an image elsewhere than in the pool, on a GPU.
    """
    turn, clock = turn or threading.Lock(), Clock()
    seeing = {name: model for name, model in models.items() if model.part != "text"}
    reading = {name: model for name, model in models.items() if model.part in ("", "text")}
    views = list({model.view.name: model.view for model in seeing.values()}.values())
    by_view = {view.name: {n: m for n, m in seeing.items() if m.view.name == view.name} for view in views}
    images = [_Images(same, batch_size, turn, clock) for same in by_view.values()]
    texts = _Texts(reading, pool)
    chooser = next((name for name, model in models.items() if not model.part), "") if rules.captions == "best" else ""
    rows: list[dict[str, Any]] = []
    choices: list[list[str]] = []
    repeated = 0
    ahead = max([_AHEAD, *(batch_size * model.depth for model in seeing.values())])
    fed = prefetch_samples(samples, rules, views, pool, ahead, clock, start)
    with contextlib.closing(fed):
        for sample in fed:
            rows.append(sample.row)
            if models and sample.row["status"] == columns.OK:
                repeated += sample.duplicate_of >= 0
                for number, view in enumerate(images):
                    view.add(
                        len(rows) - 1, sample.duplicate_of, None if sample.duplicate_of >= 0 else sample.pixels[number]
                    )
                choices.append(sample.choices or [str(sample.row["caption"])])
                if not chooser:
                    texts.add(choices[-1][0])
    for view in images:
        view.flush()
    views_of = {name: images[list(by_view).index(model.view.name)] for name, model in seeing.items()}
    valid = np.array([row["status"] == columns.OK for row in rows], bool)
    if chooser and valid.any():
        every = _Texts({chooser: models[chooser]}, pool)
        every.add_all(itertools.chain.from_iterable(choices))
        every.start(turn, clock)
        good = [row for row in rows if row["status"] == columns.OK]
        best_caption.choose(good, choices, views_of[chooser].embedded(chooser), every.embedded(chooser, clock))
        texts.add_all(row["caption"] for row in good)
    note_placeholders(rows)
    if valid.any():
        texts.start(turn, clock)
    sets, unseen = {}, {}
    for name, model in models.items():
        found, seen = {}, np.ones(int(valid.sum()), bool)
        if name in reading and valid.any():
            found["text"] = texts.embedded(name, clock)
        if name in seeing and valid.any():
            found["image"], seen = views_of[name].embedded(name), views_of[name].seen()
        if not seen.all():
            unseen[name] = int((~seen).sum())
        sets[name] = _score_set(model, valid, seen, found)
    return ScoredShard(pa.Table.from_pylist(rows, schema=columns.INDEX_SCHEMA), sets, clock, repeated, unseen)


def _score_set(model: Model, valid: Bool, seen: Bool, found: Mapping[str, Float32]) -> pa.Table:
    """Returns a model's column set.

    Args:
      model: that made it.
      valid: bool ``[n]``, samples with m True.
      seen: bool ``[m]``, valid samples whose image it could take.
      found: ``image`` and ``text``, or one of them, -> float32 ``[m, dim]``.
    """
    made = {part: np.zeros((len(valid), model.dim), np.float32) for part in ("image", "text")}
    for part, embedded in found.items():
        made[part][valid] = embedded
    if model.part == "score":
        numbers = np.full(len(valid), np.nan, np.float32)
        numbers[np.flatnonzero(valid)[seen]] = made["image"][valid][seen, 0]
        return pa.Table.from_arrays([pa.array(numbers)], schema=columns.score_schema(1, model.part))
    if model.part:
        return columns.embedding_table(model.part, made[model.part])
    score = np.full(len(valid), np.nan, np.float32)
    scored = np.flatnonzero(valid)[seen]
    score[scored] = np.clip(np.einsum("nd,nd->n", made["image"][scored], made["text"][scored]), -1, 1)
    return columns.score_table(score, made["image"], made["text"])


def rejected_reasons(index: pa.Table) -> dict[str, int]:
    """Returns reason -> samples of an index table."""
    status, count = np.unique(index["status"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    counts = dict(zip(status.tolist(), count.tolist(), strict=True))
    return {reason.value: counts[reason.value] for reason in Reason if reason.value in counts}
