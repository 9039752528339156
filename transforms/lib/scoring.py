"""From the samples of one tar to its rows: decode once, feed every model, reject what is bad."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib import columns
from transforms.lib.clock import Clock, Stopwatch
from transforms.lib.errors import Reason
from transforms.lib.feeding import Decode, Fed, feed
from transforms.lib.pixelviews import View
from transforms.lib.reading import ReadRules
from transforms.lib.staging import Batch, Pixels
from transforms.lib.tarshard import RawSample

Result = Callable[[], tuple[NDArray[np.float32], float]]
"""Waits for float32 ``[n, dim]``, unit norm, and for the seconds that a GPU worked and that were not counted yet."""

_AHEAD = 64  # samples being prepared while a model works
TOKENIZED = 256  # captions that are tokenized by the pool at once


class Model(Protocol):
    """What scoring asks of a model; ``lib.clip.ClipModel`` is one."""

    dim: int
    view: View
    part: str

    @property
    def depth(self) -> int:
        """Batches that may be started before the first one's embeddings are fetched."""

    def batch_of(self, pixels: Sequence[Pixels]) -> Batch:
        """Returns what ``start_images`` takes, of the pixels of single images; models of one view may share it."""

    def start_images(self, pixels: Batch) -> Result:
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
    """

    index: pa.Table
    sets: dict[str, pa.Table]
    clock: Clock
    repeated: int


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

    def embedded(self, name: str, clock: Clock) -> NDArray[np.float32]:
        """Returns float32 ``[samples, dim]`` of the captions that were added, once they are started."""
        with Stopwatch(clock, "model"):
            found, busy = self._started[name]()
        clock.busy += busy
        return found[self.where]


class _Images:
    """The different images of a shard, embedded batch by batch."""

    def __init__(
        self, models: Mapping[str, Model], views: Sequence[View], size: int, turn: threading.Lock, clock: Clock
    ) -> None:
        self._models, self._size, self._turn, self._clock = models, size, turn, clock
        self._depth = max([model.depth for model in models.values()], default=1)
        self._view = {name: [view.name for view in views].index(model.view.name) for name, model in models.items()}
        self._batch: list[list[Pixels]] = []
        self._started: deque[dict[str, Result]] = deque()
        self._found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in models}
        self._number: dict[int, int] = {}
        self.where: list[int] = []

    def add(self, row: int, fed: Fed) -> None:
        if fed.twin >= 0:
            self.where.append(self._number[fed.twin])
            return
        self._number[row] = len(self._number)
        self.where.append(self._number[row])
        self._batch.append(fed.pixels)
        if len(self._batch) == self._size:
            self.flush()

    def flush(self) -> None:
        if not self._batch or not self._models:
            self._batch.clear()
            return
        gather = next(iter(self._models.values())).batch_of  # all models are on one device
        seen = [gather(pixels) for pixels in zip(*self._batch, strict=True)]
        self._batch.clear()
        with Stopwatch(self._clock, "model"):
            with self._turn:
                started = {name: model.start_images(seen[self._view[name]]) for name, model in self._models.items()}
            self._started.append(started)
            if len(self._started) == self._depth:
                self._fetch()

    def _fetch(self) -> None:
        for name, result in self._started.popleft().items():
            embedded, busy = result()
            self._found[name].append(embedded)
            self._clock.busy += busy

    def embedded(self, name: str) -> NDArray[np.float32]:
        """Returns float32 ``[samples, dim]`` of the images that were added, in that order."""
        with Stopwatch(self._clock, "model"):
            while self._started:
                self._fetch()
        return np.concatenate(self._found[name])[self.where]


def score_samples(
    samples: Iterable[RawSample],
    shard: str,
    models: Mapping[str, Model],
    rules: ReadRules,
    pool: Executor,
    batch_size: int,
    turn: threading.Lock | None = None,
    start: Decode | None = None,
) -> ScoredShard:
    """Scores the samples of one shard with every model on one decode.

    Images with equal bytes are embedded once, and so are equal captions. Batches are cut from the different valid
    images in tar order, so they are a function of the shard alone, whatever the workers. At most 64 samples, or as many
    batches as may be started if that is more, are prepared ahead.

    Args:
      samples: in tar order; read on a thread of their own.
      shard: name of the shard, part of hashed uids.
      models: column set -> model; may be empty, then only the index is made.
      rules: what to read and what to reject.
      pool: runs the decoding; threads suffice, the decoders release the GIL.
      batch_size: images given to a model at once.
      turn: held while a model works on a CPU, or is queued for a GPU, so that threads which share one take turns.
      start: starts decoding an image elsewhere than in the pool, on a GPU.
    """
    turn, clock = turn or threading.Lock(), Clock()
    seeing = {name: model for name, model in models.items() if model.part != "text"}
    reading = {name: model for name, model in models.items() if model.part != "image"}
    views = list({model.view.name: model.view for model in seeing.values()}.values())
    images, texts = _Images(seeing, views, batch_size, turn, clock), _Texts(reading, pool)
    rows: list[dict[str, Any]] = []
    repeated = 0
    ahead = max([_AHEAD, *(batch_size * model.depth for model in seeing.values())])
    fed = feed(samples, shard, rules, views, pool, ahead, clock, start)
    with contextlib.closing(fed):
        for sample in fed:
            rows.append(sample.row)
            if models and sample.row["status"] == columns.OK:
                repeated += sample.twin >= 0
                images.add(len(rows) - 1, sample)
                texts.add(str(sample.row["caption"]))
    images.flush()
    valid = np.array([row["status"] == columns.OK for row in rows], bool)
    if valid.any():
        texts.start(turn, clock)
    sets = {}
    for name, model in models.items():
        found = {}
        if name in reading and valid.any():
            found["text"] = texts.embedded(name, clock)
        if name in seeing and valid.any():
            found["image"] = images.embedded(name)
        sets[name] = _score_set(model, valid, found)
    return ScoredShard(pa.Table.from_pylist(rows, schema=columns.INDEX_SCHEMA), sets, clock, repeated)


def _score_set(model: Model, valid: NDArray[np.bool_], found: Mapping[str, NDArray[np.float32]]) -> pa.Table:
    made = {part: np.zeros((len(valid), model.dim), np.float32) for part in ("image", "text")}
    for part, embedded in found.items():
        made[part][valid] = embedded
    if model.part:
        return columns.embedding_table(model.part, made[model.part])
    score = np.full(len(valid), np.nan, np.float32)
    score[valid] = np.clip(np.einsum("nd,nd->n", made["image"][valid], made["text"][valid]), -1, 1)
    return columns.score_table(score, made["image"], made["text"])


def rejected_reasons(index: pa.Table) -> dict[str, int]:
    """Returns reason -> samples of an index table."""
    status, count = np.unique(index["status"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    counts = dict(zip(status.tolist(), count.tolist(), strict=True))
    return {reason.value: counts[reason.value] for reason in Reason if reason.value in counts}
