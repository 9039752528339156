"""Parquet files are read on the thread that asks, one reader opens them all, and what it gives is what was written."""

import io
import random
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.lib.columnstore import columns
from transforms.lib.parquet_files import ParquetReader

READ = """
import io, os
import pyarrow as pa, pyarrow.parquet as pq
from transforms.lib.parquet_files import ParquetReader
sink = io.BytesIO()
pq.write_table(pa.table(dict.fromkeys("abcdefgh", list(range(5000)))), sink, row_group_size=1000)
before = set(os.listdir("/proc/self/task"))
{read}
print(len(set(os.listdir("/proc/self/task")) - before))
"""


def threads_of(read):
    """Returns how many threads reading a file starts, which may still hold its buffers when the interpreter ends."""
    done = subprocess.run([sys.executable, "-c", READ.format(read=read)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_that_the_usual_way_to_read_starts_threads():
    assert threads_of("pq.read_table(io.BytesIO(sink.getvalue()))")


@pytest.mark.parametrize(
    "read", ["file.read()", "file.read(['a', 'b'], 1)", "list(file.batches(['a'], 10))", "file.schema, file.rows"]
)
def test_that_no_thread_is_left_which_could_free_a_buffer_while_the_interpreter_ends(read):
    assert threads_of(f"file = ParquetReader(io.BytesIO(sink.getvalue())); {read}") == 0


def table_of(rows=900):
    """Returns a table of all the kinds of columns that there are: text, numbers, words that repeat, embeddings."""
    numbers = np.random.default_rng(0)
    made = {
        "uid": [f"{row * 0x9E3779B97F4A7C15 % 2**128:032x}" for row in range(rows)],
        "offset": np.arange(rows) * 512,
        "status": ["ok", "image_missing"] * (rows // 2),
        "score": numbers.random(rows, dtype=np.float32),
        "image": columns.embedding_table("image", numbers.random((rows, 16), dtype=np.float32))["image"],
    }
    return pa.table(made)


def content(data):
    """Returns all that a reader sees of a file: its schema with the metadata, and its rows."""
    with ParquetReader(pa.BufferReader(data)) as file:
        return file.schema, file.schema.metadata, file.read()


def test_that_single_flipped_bits_are_noticed_or_do_no_harm():
    data = columns.to_parquet(table_of(), "s", job="score")
    sound, chance, noticed = content(data), random.Random(3), 0
    footer = 8 * (len(data) - int.from_bytes(data[-8:-4], "little") - 48)  # and the seal before it
    drawn = [chance.randrange(8 * len(data)) for _ in range(200)]
    for bit in [*drawn, *(chance.randrange(footer, 8 * len(data)) for _ in range(200))]:
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            found = content(bytes(changed))
        except (pa.ArrowException, OSError):
            noticed += 1
        else:
            assert found == sound, bit
    assert noticed > 350


def test_that_any_program_reads_a_sealed_file():
    table = table_of()
    assert pq.read_table(io.BytesIO(columns.to_parquet(table, "s"))).equals(table)


def test_that_a_file_that_another_program_wrote_again_is_refused():
    data = columns.to_parquet(table_of(), "s")
    again = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)), again)
    with pytest.raises(pa.ArrowInvalid, match="another program wrote it again"):
        ParquetReader(again)


def test_that_a_file_without_a_seal_that_never_had_one_is_read():
    file = io.BytesIO()
    pq.write_table(table_of(), file)
    assert ParquetReader(file).seal == ""


@pytest.mark.parametrize("count", [0, 3, 12, 100])
def test_that_what_is_no_parquet_file_is_refused(count):
    with pytest.raises(pa.ArrowInvalid):
        ParquetReader(io.BytesIO(columns.to_parquet(table_of(), "s")[:count]))


def test_that_a_footer_that_is_longer_than_one_read_is_compared_too():
    data = columns.to_parquet(table_of(), "s", long="x" * 100_000)
    assert ParquetReader(io.BytesIO(data)).seal
    changed = bytearray(data)
    changed[data.rindex(b"xxx")] ^= 1
    with pytest.raises(pa.ArrowInvalid, match="its footer is not"):
        ParquetReader(io.BytesIO(bytes(changed)))
