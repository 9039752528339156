"""Damages tars at random and counts what reading them loses: python -m benchmarks.corruption [cases] [seed]."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transforms.lib import byte_ranges
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar.shard_samples import open_tar, read_samples
from transforms.lib.tar_account import TarAccount

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}
Counts = Counter[str]
SHAPES = {"triples": ("jpg", "json", "txt"), "pairs": ("jpg", "txt"), "images": ("jpg",)}


class Damaged(NamedTuple):
    """A tar after damage.

    Attributes:
      data: its bytes.
      touched: (begin, end) in the bytes before; where both are equal, bytes were put in there.
    """

    data: bytes
    touched: list[tuple[int, int]]


def make_tar(chance: random.Random, form: str, shape: str, samples: int) -> bytes:
    """Returns a tar of samples with members of random sizes; of form ``pax`` with times, so each has a pax header."""
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w", format=FORMATS[form]) as archive:
        for number in range(samples):
            folder = "d" * 110 + "/" if form == "gnu" and number % 5 == 0 else ""
            for extension in SHAPES[shape]:
                data = chance.randbytes(chance.randrange(300, 6000)) + b"\xff\xd9"
                if extension != "jpg":
                    data = b'{"number": %d, "caption": "%s"}' % (number, b"word " * chance.randrange(1, 60))
                info = tarfile.TarInfo(f"{folder}{number:06d}.{extension}")
                info.size = len(data)
                info.mtime = 1234567890.5 if form == "pax" else 1234567890
                archive.addfile(info, io.BytesIO(data))
    return stored.getvalue()


def _span(data: bytes, chance: random.Random, most: int = 12_000) -> tuple[int, int]:
    """Returns a stretch; a third of them begin and end at a border of blocks, as lost pages and packets do."""
    begin = chance.randrange(len(data))
    end = min(len(data), begin + chance.randrange(1, most))
    if chance.random() < 1 / 3:
        begin, end = begin & -512, min(len(data), max((begin & -512) + 512, end & -512))
    return begin, end


def flip(data: bytes, chance: random.Random) -> Damaged:
    """Flips one bit; half of the time in a header."""
    place = chance.randrange(len(data))
    if chance.random() < 0.5 and (found := data.find(b"ustar", place)) >= 0:
        place = found - 257 + chance.randrange(512)
    changed = bytearray(data)
    changed[place] ^= 1 << chance.randrange(8)
    return Damaged(bytes(changed), [(place, place + 1)])


def cut(data: bytes, chance: random.Random) -> Damaged:
    """Takes a stretch out."""
    begin, end = _span(data, chance)
    return Damaged(data[:begin] + data[end:], [(begin, end)])


def end_early(data: bytes, chance: random.Random) -> Damaged:
    """Takes away everything behind a byte."""
    begin = chance.randrange(len(data))
    return Damaged(data[:begin], [(begin, len(data))])


def zero(data: bytes, chance: random.Random) -> Damaged:
    """Overwrites a stretch with zeros."""
    begin, end = _span(data, chance)
    return Damaged(data[:begin] + bytes(end - begin) + data[end:], [(begin, end)])


def overwrite(data: bytes, chance: random.Random) -> Damaged:
    """Overwrites a stretch with random bytes."""
    begin, end = _span(data, chance)
    return Damaged(data[:begin] + chance.randbytes(end - begin) + data[end:], [(begin, end)])


def insert(data: bytes, chance: random.Random) -> Damaged:
    """Puts random bytes in."""
    begin, end = _span(data, chance)
    return Damaged(data[:begin] + chance.randbytes(end - begin) + data[begin:], [(begin, begin)])


def duplicate(data: bytes, chance: random.Random) -> Damaged:
    """Puts a stretch in twice."""
    begin, end = _span(data, chance)
    return Damaged(data[:end] + data[begin:end] + data[end:], [(end, end)])


def swap(data: bytes, chance: random.Random) -> Damaged:
    """Exchanges two stretches of one length."""
    size = chance.choice((512, 4096, 1000))
    size = min(size, len(data) // 3)
    first = chance.randrange(len(data) - 2 * size)
    second = chance.randrange(first + size, len(data) - size)
    if size % 512 == 0:
        first, second = first & -512, second & -512
    if second < first + size:
        return Damaged(data, [])
    one, other = data[first : first + size], data[second : second + size]
    changed = data[:first] + other + data[first + size : second] + one + data[second + size :]
    return Damaged(changed, [(first, first + size), (second, second + size)])


DAMAGES: dict[str, Callable[[bytes, random.Random], Damaged]] = {
    d.__name__: d for d in (flip, cut, end_early, zero, overwrite, insert, duplicate, swap)
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def is_touched(sample: RawSample, touched: list[tuple[int, int]]) -> bool:
    """Tells whether damage lies in the range of a sample; bytes that were put in before or behind it do not."""
    end = sample.offset + sample.length
    return any(b < end and e > sample.offset if e > b else sample.offset < b < end for b, e in touched)


def covered(samples: list[RawSample]) -> int:
    """Returns how many bytes lie in the range of any row."""
    ranges = np.array([(sample.offset, sample.length) for sample in samples], np.int64).reshape(-1, 2)
    return byte_ranges.covered(ranges[:, 0], ranges[:, 1])


def cases(damage: str, count: int, seed: int = 0) -> Iterator[tuple[bytes, str, random.Random]]:
    """Yields arguments of ``run_case``: a tar of each form and shape in turn, drawn by the seed."""
    for number in range(count):
        chance = random.Random(f"{seed} {damage} {number}")
        form, shape = chance.choice(list(FORMATS)), chance.choice(list(SHAPES))
        yield make_tar(chance, form, shape, chance.randrange(3, 40)), damage, chance


def run_case(data: bytes, damage: str, chance: random.Random) -> Counts:
    """Damages a tar, reads it, and counts what became of its samples; raises where the account does not close."""
    before = list(read_samples(io.BytesIO(data)))
    damaged = DAMAGES[damage](data, chance)
    account = TarAccount()
    after = list(read_samples(io.BytesIO(damaged.data), account=account))
    account.check(damage)
    if account.size != len(damaged.data) or covered(after) != account.samples + account.rejected:
        raise AssertionError(f"{damage}: {account} of {len(damaged.data)} bytes, {covered(after)} in rows")
    good = {sample.key: sample.members for sample in after if sample.problem is None}
    counts = Counts(cases=1, rejected=sum(sample.problem is not None for sample in after))
    for sample in before:
        touched = is_touched(sample, damaged.touched)
        equal = good.get(sample.key) == sample.members
        state = "kept" if equal else "other bytes" if sample.key in good else "lost"
        counts[f"{'touched' if touched else 'undamaged'}, {state}"] += 1
    counts["samples that were never there"] += len(good.keys() - {sample.key for sample in before})
    return counts


def run_packed(data: bytes, packer: str, damage: str, chance: random.Random) -> Counts:
    """The same for a packed tar, in which damage ends the reading: what comes out must be a part of what was put in."""
    before = {sample.key: sample.members for sample in read_samples(io.BytesIO(data))}
    damaged = DAMAGES[damage](PACKERS[packer](data), chance)
    account = TarAccount()
    after = list(read_samples(open_tar(io.BytesIO(damaged.data)), account=account))
    account.check(damage)
    good = {sample.key: sample.members for sample in after if sample.problem is None}
    counts = Counts({"cases": 1, "rejected": len(after) - len(good)})
    counts["kept"] = sum(before.get(key) == members for key, members in good.items())
    counts["other bytes"] = len(good) - counts["kept"]
    return counts


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    totals: dict[str, Counts] = {}
    start = time.process_time()
    for damage in DAMAGES:
        totals[damage] = sum((run_case(*case) for case in cases(damage, count // len(DAMAGES), seed)), Counts())
    totals["all"] = sum(totals.values(), Counts())
    names = sorted({name for counts in totals.values() for name in counts} - {"cases"})
    print("| damage | cases | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 2) + "|")
    for damage, counts in totals.items():
        print(f"| {damage} | {counts['cases']:,} | " + " | ".join(f"{counts[name]:,}" for name in names) + " |")
    print(f"\n{time.process_time() - start:.0f} CPU s; every account closed")


if __name__ == "__main__":
    main()
