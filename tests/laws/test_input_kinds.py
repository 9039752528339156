"""What every kind of input must do: one tar, the same bytes every time, each row or file in a sample.

A kind that is registered and has no example here fails every law.
"""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from transforms.lib import registry
from transforms.lib.byte_ranges import read_ranges
from transforms.lib.inputs import input_kinds
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, sample_of, write_sample
from transforms.shards import find_shards
from transforms.storage import pool_files

ROWS = 70


def samples():
    for row in range(ROWS):
        yield (
            f"{row:05d}",
            {"jpg": picture(row), "txt": f"thing {row}".encode(), "json": json.dumps({"n": row}).encode()},
        )


def tar(folder):
    (folder / "a.tar").write_bytes(b"".join(write_sample(k, m.items()) for k, m in samples()) + END_OF_ARCHIVE)
    return folder / "a.tar"


def parquet(folder):
    rows = [
        {"key": key, "image": {"bytes": m["jpg"], "path": f"{key}.jpg"}, "caption": m["txt"].decode(), "n": row}
        for row, (key, m) in enumerate(samples())
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet", row_group_size=30)
    return folder / "a.parquet"


def pictures(folder):
    for key, members in samples():
        for extension, data in members.items():
            (folder / f"{key}.{extension}").write_bytes(data)
    return f"{folder}/"


EXAMPLES = {"tar": tar, "parquet": parquet, "folder": pictures}


@pytest.fixture(params=list(registry.INPUTS))
def shard(request, tmp_path):
    (found,) = find_shards([str(EXAMPLES[request.param](tmp_path))])
    assert input_kinds.kind_of(found.uri).name == request.param
    return found


def whole(shard, step=1 << 16):
    with pool_files.open_shard(shard.uri) as stream:
        return b"".join(iter(lambda: stream.read(step), b""))


def test_every_kind_has_its_place_in_the_order():
    assert sorted(input_kinds.ORDER) == sorted(registry.INPUTS)


def test_a_shard_is_the_same_tar_every_time_and_whatever_is_read_at_once(shard):
    data = whole(shard)
    assert {whole(shard, step) for step in (7_777, 1 << 16, 1 << 20)} == {data}
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert len(read.getmembers()) == 3 * ROWS


def test_every_row_is_a_sample_with_its_image_caption_and_fields(shard):
    with pool_files.open_shard(shard.uri) as stream:
        found = list(read_samples(stream))
    assert [sample.problem for sample in found] == [None] * ROWS
    for sample, (key, members) in zip(found, samples(), strict=True):
        assert sample.key == key
        assert sample.members["jpg"] == members["jpg"]
        assert sample.members["txt"] == members["txt"]
        assert json.loads(sample.members["json"])["n"] == json.loads(members["json"])["n"]


def test_a_range_of_a_shard_is_a_sample_for_ever(shard):
    with pool_files.open_shard(shard.uri) as stream:
        found = list(read_samples(stream))
    chosen = np.random.default_rng(0).permutation(ROWS)[:9].tolist()
    with pool_files.open_shard(shard.uri, ranges=True) as stream:
        blocks = read_ranges(stream, [found[n].offset for n in chosen], [found[n].length for n in chosen])
    for number, block in zip(chosen, blocks, strict=True):
        assert sample_of(block) == (found[number].key, list(found[number].members.items()))
