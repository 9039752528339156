"""From the samples of one tar to its rows: decode once, feed every model, reject what is bad."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib import captions, columns, images, uids
from transforms.lib.errors import Reason, SampleError
from transforms.lib.phash import phash
from transforms.lib.tarshard import RawSample

if TYPE_CHECKING:
    from PIL.Image import Image

_AHEAD = 64  # samples being prepared while a model works
Pixels = NDArray[np.uint8]  # [height, width, 3]


class Model(Protocol):
    """What scoring asks of a model; ``lib.clip.ClipModel`` is one."""

    dim: int

    def pixels(self, image: Image) -> Pixels:
        """Returns the model's input pixels of one image."""

    def embed_images(self, pixels: Pixels) -> NDArray[np.float32]:
        """Returns float32 ``[n, dim]``, unit norm, of uint8 ``[n, height, width, 3]``."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns float32 ``[n, dim]``, unit norm."""


@dataclasses.dataclass(frozen=True)
class ReadRules:
    """How samples are read; part of the index's stamp.

    Attributes:
      caption_field: json field that holds the caption; empty for ``.txt``, then json ``caption``.
      max_pixels: images with more are rejected before they are decoded.
      max_sample_bytes: samples with more are rejected unread.
      look: False makes an index for copying only: images are not decoded, and a sample needs neither image nor caption.
    """

    caption_field: str = ""
    max_pixels: int = 89_478_485  # Pillow's own warning level: 256 MiB of RGB
    max_sample_bytes: int = 1 << 28
    look: bool = True


@dataclasses.dataclass(frozen=True)
class ScoredShard:
    """The rows of one shard.

    Attributes:
      index: table of ``INDEX_SCHEMA``, one row per sample in tar order, rejected ones included.
      sets: column set -> table of ``score_schema``, row-aligned with the index.
    """

    index: pa.Table
    sets: dict[str, pa.Table]


@dataclasses.dataclass
class _Prepared:
    row: dict[str, Any]
    pixels: list[Pixels]


def prepare(raw: RawSample, shard: str, rules: ReadRules, models: Sequence[Model]) -> _Prepared:
    """Reads one sample down to its index row and each model's pixels; a bad one gets its reason as status."""
    row: dict[str, Any] = dict.fromkeys(("uid", "detail", "caption", "image_extension", "image_sha256"), "")
    row.update(key=raw.key, offset=raw.offset, length=raw.length, status=columns.OK)
    row.update(image_bytes=0, width=0, height=0, original_width=0, original_height=0, phash=0)
    pixels: list[Pixels] = []
    data = b""
    document: dict[str, Any] | None = None
    try:
        if raw.problem is not None:
            raise SampleError(raw.problem, raw.detail)
        document = captions.json_of(raw.members)
        if not rules.look:
            row["uid"] = _uid_unseen(document, row, shard, raw.members)
            return _Prepared(row, [])
        row["image_extension"], data = images.image_of(raw.members)
        row.update(image_bytes=len(data), image_sha256=hashlib.sha256(data).hexdigest())
        row["caption"] = captions.caption_of(raw.members, rules.caption_field)
        row["uid"] = uids.uid_of(document, shard=shard, key=raw.key, image=data, caption=row["caption"])
        image = images.decode(data, max_pixels=rules.max_pixels)
        row.update(width=image.width, height=image.height)
        row.update(original_size(document, image.width, image.height))
        row["phash"] = phash(image)
        pixels = [model.pixels(image) for model in models]
    except SampleError as error:
        row.update(status=str(error.reason), detail=error.detail[:200])
        row["uid"] = row["uid"] or _uid_of_rejected(document, row, shard, data)
    return _Prepared(row, pixels)


def original_size(document: Mapping[str, Any], width: int, height: int) -> dict[str, int]:
    """Returns ``original_width`` and ``original_height``: an image's size before the download resized it.

    They are the json fields of these names, which img2dataset writes, when both are whole numbers in 1 .. 2**31 - 1;
    else the size as decoded, for a pool that was never resized. One without the other says nothing.

    Args:
      document: the parsed ``.json`` member, empty without one.
      width: as decoded, in pixels.
      height: as decoded, in pixels.
    """
    told: list[Any] = [document.get(name) for name in ("original_width", "original_height")]
    if all(type(value) is int and 0 < value < 1 << 31 for value in told):
        width, height = told
    return {"original_width": width, "original_height": height}


def _uid_unseen(document: dict[str, Any], row: dict[str, Any], shard: str, members: Mapping[str, bytes]) -> str:
    """Returns the uid of a sample that is not looked at; one without a json uid needs its image and caption for it."""
    if document.get("uid") is not None:
        return uids.uid_of(document, shard=shard, key=row["key"], image=b"", caption="")
    row["image_extension"], data = images.image_of(members)
    row["caption"] = captions.caption_of(members)
    return uids.uid_of(None, shard=shard, key=row["key"], image=data, caption=row["caption"])


def _uid_of_rejected(document: dict[str, Any] | None, row: Mapping[str, Any], shard: str, data: bytes) -> str:
    """Returns the uid a rejected sample would have, so that it can be named; "" when there is no key."""
    if not row["key"]:
        return ""
    try:
        return uids.uid_of(document, shard=shard, key=row["key"], image=data, caption=row["caption"])
    except SampleError:
        return uids.uid_of(None, shard=shard, key=row["key"], image=data, caption=row["caption"])


def score_samples(
    samples: Iterable[RawSample],
    shard: str,
    models: Mapping[str, Model],
    rules: ReadRules,
    pool: Executor,
    batch_size: int,
) -> ScoredShard:
    """Scores the samples of one shard with every model on one decode.

    Batches are cut from the valid samples in tar order, so they are a function of the shard alone, whatever the
    workers. At most 64 samples, or two batches if that is
    more, are prepared ahead.

    Args:
      samples: in tar order.
      shard: name of the shard, part of hashed uids.
      models: column set -> model; may be empty, then only the index is made.
      rules: what to read and what to reject.
      pool: runs the decoding; threads suffice, the decoders release the GIL.
      batch_size: images given to a model at once.
    """
    rows: list[dict[str, Any]] = []
    batch: list[list[Pixels]] = []
    embedded: dict[str, list[NDArray[np.float32]]] = {name: [] for name in models}

    def flush() -> None:
        for number, (name, model) in enumerate(models.items()):
            embedded[name].append(model.embed_images(np.stack([pixels[number] for pixels in batch])))
        batch.clear()

    for prepared in _ahead(samples, shard, models, rules, pool, max(_AHEAD, 2 * batch_size)):
        rows.append(prepared.row)
        if models and prepared.row["status"] == columns.OK:
            batch.append(prepared.pixels)
            if len(batch) == batch_size:
                flush()
    if batch:
        flush()
    index = pa.Table.from_pylist(rows, schema=columns.INDEX_SCHEMA)
    return ScoredShard(index, {name: _score_set(model, embedded[name], rows) for name, model in models.items()})


def _ahead(
    samples: Iterable[RawSample],
    shard: str,
    models: Mapping[str, Model],
    rules: ReadRules,
    pool: Executor,
    depth: int,
) -> Iterator[_Prepared]:
    """Yields prepared samples in order, up to ``depth`` of them being prepared ahead."""
    waiting: deque[Future[_Prepared]] = deque()
    towers = list(models.values())
    for raw in samples:
        waiting.append(pool.submit(prepare, raw, shard, rules, towers))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _score_set(model: Model, parts: list[NDArray[np.float32]], rows: list[dict[str, Any]]) -> pa.Table:
    valid = np.array([row["status"] == columns.OK for row in rows], bool)
    score = np.full(len(rows), np.nan, np.float32)
    image = np.zeros((len(rows), model.dim), np.float32)
    text = np.zeros((len(rows), model.dim), np.float32)
    if valid.any():
        texts, where = np.unique([row["caption"] for row in rows if row["status"] == columns.OK], return_inverse=True)
        image[valid] = np.concatenate(parts)
        text[valid] = model.embed_texts([str(caption) for caption in texts])[where]
        score[valid] = np.clip(np.einsum("nd,nd->n", image[valid], text[valid]), -1, 1)
    return columns.score_table(score, image, text)


def rejected_reasons(index: pa.Table) -> dict[str, int]:
    """Returns reason -> samples of an index table."""
    status, count = np.unique(index["status"].to_numpy(zero_copy_only=False).astype(str), return_counts=True)
    counts = dict(zip(status.tolist(), count.tolist(), strict=True))
    return {reason.value: counts[reason.value] for reason in Reason if reason.value in counts}
