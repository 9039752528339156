"""Parquet files are read on the thread that asks, and one reader opens them all."""

import subprocess
import sys

import pytest

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
