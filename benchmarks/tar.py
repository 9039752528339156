"""Prints the speed of the tar parser beside tarfile and webdataset: python benchmarks/tar.py [samples]."""

import functools
import io
import random
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from webdataset.tariterators import group_by_keys, tar_file_iterator

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from transforms.lib.tar.shard_samples import (
    END_OF_ARCHIVE,
    members_of,
    read_members,
    read_samples,
    write_member,
    write_sample,
)

REPEATS = 5


def shard(num_samples: int, image_bytes: int) -> bytes:
    chance = random.Random(0)
    image = chance.randbytes(image_bytes)
    members = []
    for number in range(num_samples):
        members.append(write_member(f"{number:012d}.jpg", image))
        members.append(write_member(f"{number:012d}.json", b'{"uid": "%032x"}' % number))
        members.append(write_member(f"{number:012d}.txt", b"a caption of some length, number %d" % number))
    return b"".join(members) + END_OF_ARCHIVE


def with_tarfile(data: bytes) -> int:
    count = 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|") as archive:
        for info in archive:
            handle = archive.extractfile(info)
            count += handle is not None and bool(handle.read())
            archive.members = []  # type: ignore[attr-defined]  # not in typeshed; else it keeps every member
    return count // 3


def with_webdataset(data: bytes) -> int:
    files = ({**found, "__url__": ""} for found in tar_file_iterator(io.BytesIO(data)))
    return sum(1 for _ in group_by_keys(files))


def with_read_members(data: bytes) -> int:
    return sum(1 for _ in read_members(io.BytesIO(data))) // 3


def with_read_samples(data: bytes) -> int:
    return sum(sample.problem is None for sample in read_samples(io.BytesIO(data)))


def with_new_keys(data: bytes, num_samples: int) -> int:
    view = memoryview(data)
    length = (len(data) - len(END_OF_ARCHIVE)) // num_samples
    for number in range(num_samples):
        write_sample(f"{number:032x}-0", members_of(view[number * length : (number + 1) * length]))
    return num_samples


def seconds(call: Callable[[bytes], int], data: bytes, num_samples: int) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        found = call(data)
        best = min(best, time.perf_counter() - start)
        assert found == num_samples, (call, found)
    return best


def main() -> None:
    num_samples = int(sys.argv[1]) if len(sys.argv) > 1 else 12_000
    print(f"{'':28}{'samples/s':>12}{'us/sample':>11}{'MB/s':>8}{'x tarfile':>11}{'x webdataset':>14}")
    for image_bytes in (500, 20_000):
        count = num_samples if image_bytes < 1000 else num_samples // 4
        data = shard(count, image_bytes)
        calls: dict[str, Callable[[bytes], int]] = {
            "tarfile": with_tarfile,
            "webdataset": with_webdataset,
            "read_members": with_read_members,
            "read_samples": with_read_samples,
            "new keys": functools.partial(with_new_keys, num_samples=count),
        }
        times = {name: seconds(call, data, count) for name, call in calls.items()}
        for name, spent in times.items():
            title = f"{name}, {image_bytes} B images"
            speed = f"{count / spent:12,.0f}{spent / count * 1e6:11.1f}{len(data) / spent / 1e6:8,.0f}"
            print(f"{title:28}{speed}{times['tarfile'] / spent:11.1f}{times['webdataset'] / spent:14.1f}")


if __name__ == "__main__":
    main()
