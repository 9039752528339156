"""The pairs of a pool as arrays on this machine's disk, once for all trainings: sized pictures, and tokens."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib import stamps
from transforms.lib.arrays import Bool
from transforms.lib.columnstore import columns
from transforms.lib.errors import InputError
from transforms.lib.samples import images
from transforms.lib.tar.shard_samples import read_samples
from transforms.outputs.store import Store
from transforms.rows import ShardRef
from transforms.storage import pool_files

_STAMP = "prepared.json"


class Pairs(NamedTuple):
    """Pairs ready to train on; both arrays are maps of files.

    Attributes:
      pixels: uint8 ``[n, size, size, 3]``.
      tokens: int32 ``[n, context]``.
    """

    pixels: NDArray[np.uint8]
    tokens: NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class PoolPixels:
    """Makes and keeps the arrays of the pairs that some selection holds.

    Attributes:
      store: of the pool's index.
      refs: its shards.
      folder: where the arrays are kept.
      pixels: image -> uint8 ``[size, size, 3]``.
      tokenize: captions -> tokens ``[n, context]``.
    """

    store: Store
    refs: Sequence[ShardRef]
    folder: Path
    pixels: Callable[[Any], NDArray[np.uint8]]
    tokenize: Callable[[list[str]], Any]

    def prepare(self, wanted: Mapping[str, Bool], made_of: str) -> Pairs:
        """Returns the pairs, made now where they are not there.

        Args:
          wanted: shard -> bool ``[rows]``: the pairs, in the order of shards and rows.
          made_of: stamp of the pool and of the network's view of a pair.

        Raises:
          InputError: a shard is not the one that was scored.
        """
        digests = {name: stamps.sha256(np.packbits(rows).tobytes()) for name, rows in wanted.items()}
        stamp = stamps.stamp(wanted=digests, of=made_of)
        files = [self.folder / "pixels.npy", self.folder / "tokens.npy"]
        record = self.folder / _STAMP
        if not record.is_file() or json.loads(record.read_text()).get("stamp") != stamp:
            self.folder.mkdir(parents=True, exist_ok=True)
            record.unlink(missing_ok=True)
            self._write(files, wanted)
            record.write_text(json.dumps({"stamp": stamp}) + "\n")
        pixels, tokens = (np.load(path, mmap_mode="r") for path in files)
        return Pairs(pixels, tokens)

    def _write(self, files: Sequence[Path], wanted: Mapping[str, Bool]) -> None:
        total, at = sum(int(rows.sum()) for rows in wanted.values()), 0
        arrays: list[NDArray[Any]] = []
        for ref in self.refs:
            captions = self.store.arrays(ref.name, {"caption": (columns.INDEX, "caption")})["caption"]
            chosen = captions[wanted[ref.name]].tolist()
            if not chosen:
                continue
            seen = np.stack(list(self._images(ref, wanted[ref.name])))
            parts: list[NDArray[Any]] = [seen, np.asarray(self.tokenize(chosen), np.int32)]
            if not arrays:
                arrays = [
                    np.lib.format.open_memmap(path, "w+", part.dtype, (total, *part.shape[1:]))
                    for path, part in zip(files, parts, strict=True)
                ]
            for array, part in zip(arrays, parts, strict=True):
                array[at : at + len(chosen)] = part
            at += len(chosen)
        for array in arrays:
            array.flush()  # type: ignore[attr-defined]

    def _images(self, ref: ShardRef, wanted: Bool) -> Iterator[NDArray[np.uint8]]:
        found = 0
        with pool_files.open_shard(ref.uri) as tar:
            for sample, chosen in zip(read_samples(tar), wanted, strict=False):
                if chosen:
                    found += 1
                    yield self.pixels(images.decode(images.image_of(sample.members)[1]))
        if found != wanted.sum():
            raise InputError(f"{ref.uri} has changed since it was scored; score it again")
