"""Prefetching of samples: one thread reads and parses ahead, a pool of threads decodes, and memory is bounded."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

from transforms.lib.columnstore.notices import note
from transforms.lib.devices.staging import Pixels
from transforms.lib.errors import Notice, SampleError
from transforms.lib.inference.timing import Clock, Stopwatch
from transforms.lib.models.preprocessing import Preprocess
from transforms.lib.samples import image_formats, images
from transforms.lib.samples.index_row import Looked, ReadRules, look, original_size, reject
from transforms.lib.samples.phash import phash
from transforms.lib.tar.shard_samples import RawSample

if TYPE_CHECKING:
    from PIL.Image import Image

Decode = Callable[[bytes, ReadRules, Sequence[Preprocess]], "Future[Decoded]"]
"""Starts decoding an image for some views."""

AHEAD_BYTES = 64 << 20
"""Bytes of encoded images that one shard holds at once; an image larger than this is held alone."""
_HASHED = (224, False)
"""Size of the scaled decode for the perceptual hash: that of most networks, so that one decode serves both."""
_GLANCE_S = 0.1  # how often a blocked reader checks whether it was stopped

_Least = tuple[int, bool] | None  # of a scaled decode; None for a whole one


@dataclasses.dataclass
class Decoded:
    """A decoded image: size as stored, perceptual hash and one array of pixels per view, or the error.

    The pixels of a view are None when the view cannot be made of the image. ``notices`` say what is odd about it.
    """

    width: int = 0
    height: int = 0
    phash: int = 0
    pixels: list[Pixels | None] = dataclasses.field(default_factory=list)
    error: SampleError | None = None
    seconds: float = 0.0
    busy: float = 0.0  # seconds of a GPU
    notices: set[Notice] = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class PrefetchedSample:
    """A sample ready for the networks.

    Attributes:
      row: its finished index row.
      pixels: of each view, None for one that cannot be made; empty when rejected or when ``duplicate_of`` is given.
      duplicate_of: number of an earlier row with the same image bytes, whose pixels stand for this one's; else -1.
      choices: captions of which a network is to pick the best; empty where there is nothing to pick.
    """

    row: dict[str, object]
    pixels: list[Pixels | None]
    duplicate_of: int = -1
    choices: list[str] = dataclasses.field(default_factory=list)


def decode(data: bytes, rules: ReadRules, views: Sequence[Preprocess]) -> Decoded:
    """Decodes an image once for all views that take it whole, and once for each size that others take it at.

    Size, perceptual hash and the reason of a rejection depend on the bytes and the rules alone, not on the views. When
    one network cannot use an image, the other networks still do.
    """
    start = time.perf_counter()
    notices: set[Notice] = set()
    limits: Any = {"max_pixels": rules.max_pixels, "others": rules.others, "notices": notices}
    scaled = image_formats.is_jpeg(data)

    @functools.cache
    def decoded(least: _Least) -> tuple[Image, tuple[int, int]]:
        if least is not None:
            return images.decode_scaled(data, least, **limits)
        whole = images.decode(data, **limits)
        return whole, whole.size

    done = Decoded()
    try:
        image, (done.width, done.height) = decoded(_HASHED if scaled and rules.variant == "fast" else None)
        done.phash = phash(image)
        for view in views:
            sizes = (view.least, None) if scaled and view.scaled else (None,)
            done.pixels.append(_view_of(view, decoded, sizes))
    except SampleError as error:
        done = Decoded(done.width, done.height, error=error)
    if done.width == done.height == 1:
        notices.add(Notice.ONE_PIXEL)
    done.notices = notices
    done.seconds = time.perf_counter() - start
    return done


def _view_of(
    view: Preprocess, decoded: Callable[[_Least], tuple[Image, tuple[int, int]]], sizes: Sequence[_Least]
) -> Pixels | None:
    """Returns the pixels of a view, from the first decoded size that suffices; None when no size does.

    A scaled decode rounds the sides, so a very narrow image may become too narrow for the view.
    """
    for least in sizes:
        with contextlib.suppress(SampleError):
            return view.pixels(decoded(least)[0])
    return None


class _Budget:
    """Counts bytes in flight; the reader waits while there are too many."""

    def __init__(self, limit: int) -> None:
        self._limit, self._held, self._changed = limit, 0, threading.Condition()

    def take(self, size: int, stop: threading.Event) -> None:
        with self._changed:
            while self._held and self._held + size > self._limit and not stop.is_set():
                self._changed.wait(_GLANCE_S)
            self._held += size

    def give(self, size: int) -> None:
        with self._changed:
            self._held -= size
            self._changed.notify()


_Item = tuple[Looked, "Future[Decoded] | None", int]


class _Reader:
    """Reads samples on a thread of its own and sends their images to the pool."""

    def __init__(
        self, samples: Iterable[RawSample], rules: ReadRules, views: Sequence[Preprocess], start: Decode
    ) -> None:
        self._samples, self._rules, self._views, self._start = samples, rules, views, start
        self._budget = _Budget(AHEAD_BYTES)
        self.stop = threading.Event()

    def run(self, out: queue.Queue[_Item | BaseException | None]) -> None:
        """Fills the queue; the last entry is None, or what went wrong."""
        end: BaseException | None = None
        try:
            first: dict[str, int] = {}
            for number, raw in enumerate(self._samples):
                if not self._put(out, self._item(look(raw, self._rules), number, first)):
                    return
        except BaseException as error:  # belongs to the thread that scores, which raises it
            end = error
        self._put(out, end)

    def _item(self, looked: Looked, number: int, first: dict[str, int]) -> _Item:
        data, looked.data = looked.data, None
        if data is None:
            return looked, None, -1
        duplicate_of = first.setdefault(str(looked.row["image_sha256"]), number)
        if duplicate_of != number:
            return looked, None, duplicate_of
        self._budget.take(len(data), self.stop)
        future = self._start(data, self._rules, self._views)
        size = len(data)
        future.add_done_callback(lambda _: self._budget.give(size))
        return looked, future, -1

    def _put(self, out: queue.Queue[_Item | BaseException | None], item: _Item | BaseException | None) -> bool:
        while not self.stop.is_set():
            try:
                out.put(item, timeout=_GLANCE_S)
            except queue.Full:
                continue
            return True
        return False


def _start(pool: Executor, data: bytes, rules: ReadRules, views: Sequence[Preprocess]) -> Future[Decoded]:
    return pool.submit(decode, data, rules, views)


def prefetch_samples(
    samples: Iterable[RawSample],
    rules: ReadRules,
    views: Sequence[Preprocess],
    pool: Executor,
    depth: int,
    clock: Clock,
    start: Decode | None = None,
) -> Generator[PrefetchedSample, None, None]:
    """Yields samples in order, decoded while the caller works on earlier ones.

    At most ``depth`` samples and ``AHEAD_BYTES`` of encoded images are held ahead. Of images with equal bytes only
    the first is decoded. Close the iterator before what ``samples`` reads from is closed.

    Args:
      samples: in tar order; read on a thread of their own.
      rules: what to read and what to reject.
      views: what the networks want to see of an image; none when only the index is made.
      pool: runs the decoding; threads suffice, the decoders release the GIL.
      depth: samples held ahead.
      clock: gets the seconds that were waited and decoded.
      start: starts decoding an image elsewhere than in the pool.
    """
    reader = _Reader(samples, rules, views, start or functools.partial(_start, pool))
    waiting: queue.Queue[_Item | BaseException | None] = queue.Queue(depth)
    thread = threading.Thread(target=reader.run, args=(waiting,), name="winnow-read", daemon=True)
    thread.start()
    outcomes: list[Decoded | None] = []
    try:
        while True:
            with Stopwatch(clock, "read"):
                item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield _prefetched(item, outcomes, clock)
    finally:
        reader.stop.set()
        thread.join()


def _prefetched(item: _Item, outcomes: list[Decoded | None], clock: Clock) -> PrefetchedSample:
    """Returns the finished row; ``outcomes`` keeps the results of earlier rows, without pixels."""
    looked, future, duplicate_of = item
    done = outcomes[duplicate_of] if duplicate_of >= 0 else None
    pixels: list[Pixels | None] = []
    if future is not None:
        with Stopwatch(clock, "decode"):
            done = future.result()
        clock.decoding += done.seconds
        clock.busy += done.busy
        pixels, done.pixels = done.pixels, []
    outcomes.append(done)
    if done is not None:
        if done.width:
            looked.row.update(width=done.width, height=done.height, phash=done.phash)
            looked.row.update(original_size(looked.document, done.width, done.height, looked.notices))
        if done.error is not None:
            reject(looked.row, done.error)
        looked.notices |= done.notices
    if looked.notices:
        note(looked.row, looked.notices)
    return PrefetchedSample(looked.row, pixels, duplicate_of, looked.choices)
