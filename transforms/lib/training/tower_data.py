"""Batches for the towers, from lanes of pairs: decoded and varied ahead of the step that needs them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.errors import ConfigError, Reason, SampleError
from transforms.lib.models.clip import ClipModel
from transforms.lib.samples import captions, images
from transforms.lib.tar.shard_samples import RawSample
from transforms.lib.training import projections, retrieval, training_pairs
from transforms.lib.training.augment import Augmentation
from transforms.lib.training.pair_stream import START, Example, Lane, Place, Read, Source, StreamSettings, draw
from transforms.lib.training.tower_step import Batch, Towers
from transforms.lib.training.world import World

_MOST_BAD = 1000  # pairs in a row that may fail to decode before the pool counts as unusable


class Survey(NamedTuple):
    """What a look at the pool found.

    Attributes:
      pairs: to train on in one pass; None where the look ended early.
      held: pairs to validate by.
    """

    pairs: float | None
    held: list[Example]


def pairs_in(
    samples: Iterable[RawSample], caption_field: str, class_of: Callable[[RawSample], str | None] | None
) -> Iterator[tuple[int, bytes, str, bool]]:
    """Yields (row, encoded image, caption, labelled) of samples that have both; none is decoded.

    Args:
      samples: of a shard, in order.
      caption_field: json field with the caption; empty for the stored one.
      class_of: sample -> name of its class, which is then its caption; None for captions.
    """
    for row, sample in enumerate(samples):
        try:
            if sample.problem is not None:
                continue
            extension, data = images.image_of(sample.members)
            if class_of is None:
                named = extension in images.IMAGE_EXTENSIONS
                yield row, data, captions.caption_of(sample.members, caption_field, named=named), False
            elif (name := class_of(sample)) is not None:
                yield row, data, name, True
        except SampleError:
            continue


class HoldOut(NamedTuple):
    """Which pairs are never trained on: by caption, or of labelled ones by picture, so that no class is held out whole.

    Attributes:
      fraction: share that is held out.
      seed: of the draw.
    """

    fraction: float
    seed: int

    def held(self, source: Source, row: int, caption: str, labelled: bool) -> bool:
        """Tells whether a pair is held out."""
        if labelled:
            return draw(self.seed, source.name, row, "held") / 2**64 < self.fraction
        return training_pairs.is_held(caption, self.fraction, self.seed)

    def trained(self, read: Read) -> Read:
        """Returns what reads the pairs that are not held out."""
        return lambda source: (one for one in read(source) if not self.held(source, one[0], one[2], one[3]))


def survey(sources: Sequence[Source], read: Read, hold: HoldOut, most: int, count: bool) -> Survey:
    """Gathers the pairs to validate by, from the first shards on; counts all pairs on request.

    Args:
      sources: all shards.
      read: of them.
      hold: which pairs are held out.
      most: pairs to validate by at most.
      count: read to the end; else to the last pair that is wanted for validation.

    Raises:
      ConfigError: fewer than two captions on a side.
    """
    held: list[Example] = []
    seen: tuple[set[str], set[str]] = set(), set()
    pairs = 0.0
    for source in sources:
        for row, image, caption, labelled in read(source):
            out = hold.held(source, row, caption, labelled)
            if len(seen[out]) < 2:
                seen[out].add(" ".join(caption.lower().split()))
            if not out:
                pairs += source.times
            elif len(held) < most and _decodes(image):
                held.append(Example(image, caption, labelled, draw(hold.seed, source.name, row)))
        if not count and len(held) >= most and min(map(len, seen)) == 2:
            return Survey(None, held)
    if min(map(len, seen)) < 2:
        raise ConfigError(
            f"--holdout_fraction {hold.fraction} of {round(pairs) + len(held)} pairs leaves too few captions on a "
            "side; give more pairs"
        )
    return Survey(pairs, held)


def _decodes(image: bytes) -> bool:
    try:
        images.decode(image)
    except SampleError:
        return False
    return True


class StreamedBatches:
    """The batches of one process.

    Args:
      model: that sees the images and tokenizes the captions.
      augmentation: how pairs are varied.
      batch_size: pairs per batch, of all processes together; the lanes and the processes divide it.
      sources: all shards.
      settings: how pairs are mixed.
      read: reads the pairs of a shard that are trained on.
      world: the processes that share the lanes.
      places: lane -> where it begins.
      threads: of decoding.
    """

    def __init__(
        self,
        model: ClipModel,
        augmentation: Augmentation,
        batch_size: int,
        sources: Sequence[Source],
        settings: StreamSettings,
        read: Read,
        world: World,
        places: Mapping[int, Place],
        threads: int,
    ) -> None:
        self._model, self._augmentation = model, augmentation
        self._each = batch_size // settings.lanes
        readers = ThreadPoolExecutor(settings.lanes, "winnow-read")
        self._decoders = ThreadPoolExecutor(threads, "winnow-decode")
        self._lanes = {
            number: Lane(number, sources, settings, read, readers, places.get(number, START))
            for number in range(world.rank, settings.lanes, world.size)
        }
        self.left_out: Counter[Reason] = Counter()
        self._ahead = ThreadPoolExecutor(1, "winnow-batch")
        self._next = self._ahead.submit(self._make)

    def take(self) -> tuple[Batch, dict[int, Place]]:
        """Returns the next batch, and where its lanes are after it."""
        found = self._next.result()
        self._next = self._ahead.submit(self._make)
        return found

    def _make(self) -> tuple[Batch, dict[int, Place]]:
        rows: list[tuple[NDArray[np.uint8], Example]] = []
        for lane in self._lanes.values():
            rows += self._decoded(lane)
        return (
            batch_of(self._model, self._augmentation, rows),
            {number: lane.place for number, lane in self._lanes.items()},
        )

    def _decoded(self, lane: Lane) -> list[tuple[NDArray[np.uint8], Example]]:
        found: list[tuple[NDArray[np.uint8], Example]] = []
        bad = 0
        while len(found) < self._each:
            examples = lane.take(self._each - len(found))
            for example, pixels in zip(examples, self._decoders.map(self._pixels, examples), strict=True):
                if isinstance(pixels, Reason):
                    self.left_out[pixels] += 1
                    bad += 1
                else:
                    bad = 0
                    found.append((pixels, example))
            if bad > _MOST_BAD:
                raise ConfigError(f"--input: {bad} images in a row cannot be decoded; check --input")
        return found

    def _pixels(self, example: Example) -> NDArray[np.uint8] | Reason:
        try:
            return self._augmentation.pixels(example, self._model.view)
        except SampleError as error:
            return error.reason


def batch_of(model: ClipModel, augmentation: Augmentation, rows: Sequence[tuple[NDArray[np.uint8], Example]]) -> Batch:
    """Returns decoded pairs as a batch; those with equal captions, or of one class, are positives of one another."""
    import torch

    texts = [augmentation.caption(example) for _, example in rows]
    groups = [draw(" ".join(example.caption.lower().split())) >> 1 for _, example in rows]
    pixels = torch.from_numpy(np.stack([pixels for pixels, _ in rows]))
    return Batch(pixels, model.tokenize(texts), torch.tensor(groups, dtype=torch.int64))


def measure(
    towers: Towers, model: ClipModel, held: Sequence[Example], templates: Sequence[str], size: int, seed: int
) -> dict[str, float]:
    """Returns ``held_loss`` and the figures of ``retrieval.evaluate`` of pairs as the network itself sees them.

    Args:
      towers: that embed them.
      model: as for ``batch_of``.
      held: pairs that are not trained on.
      templates: the first is filled with the class of a labelled pair.
      size: pairs per forward pass.
      seed: of the shuffle.
    """
    import torch

    plain = Augmentation(1.0, mirror=False, templates=templates[:1])
    found = []
    with torch.no_grad():
        for at in range(0, len(held), size):
            rows = [(plain.pixels(example, model.view), example) for example in held[at : at + size]]
            found.append(towers.embed(batch_of(model, plain, rows)))
    image, text = (torch.cat(each).cpu() for each in zip(*found, strict=True))
    groups = torch.from_numpy(retrieval.caption_groups([example.caption for example in held]))
    return projections.held_out_figures(image, text, groups, towers.network.logit_scale.detach().cpu(), seed)
