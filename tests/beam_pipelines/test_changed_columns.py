"""A column file or decisions that were cut, edited, exchanged or damaged: the job that reads them names them."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import make_pool


@pytest.fixture(scope="module")
def selected(tmp_path_factory, tiny_network):
    """Returns an output folder up to the decisions."""
    from beam_pipelines import score, select

    folder = tmp_path_factory.mktemp("changed")
    pool, out = make_pool(folder / "pool", faults=False), folder / "out"
    flags = ["--output", str(out)]
    assert score.main(["--input", f"{pool}/*.tar", "--model", f"net={tiny_network}", *flags]) == 0
    assert select.main(["--keep_fraction", "0.5", *flags]) == 0
    return out


@pytest.fixture
def out(selected, tmp_path):
    return shutil.copytree(selected, tmp_path / "out")


def edited(path):
    """Writes a file again with other numbers, as a notebook would."""
    table = pq.read_table(path)
    name = "score" if "score" in table.column_names else "copies" if "copies" in table.column_names else "offset"
    column = pa.array([value + 1 for value in table[name].to_pylist()], table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), table.schema.field(name), column), path)


def without_metadata(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def flipped(path):
    data = bytearray(path.read_bytes())
    first = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data[first.data_page_offset + first.total_compressed_size - 3] ^= 4
    path.write_bytes(data)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path):
    path.write_bytes(b"")


def exchanged(path):
    shutil.copy(path.with_name("00002.parquet"), path)


CHANGES = (edited, without_metadata, flipped, cut, emptied, exchanged)


def refused(winnow, job, out, path, *flags):
    code, stdout, stderr = winnow(job, "--output", out, *flags)
    assert code in (1, 2), stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    (line,) = [line for line in stderr.splitlines() if line.startswith(f"winnow {job}")]
    assert path in line
    return line


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["index", "net"])
def test_select_does_not_go_by_a_changed_column_file(winnow, out, change, name):
    path = f"columns/{name}/00001.parquet"
    change(out / path)
    refused(winnow, "select", out, path, "--keep_fraction", "0.5")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["columns/index", "decisions"])
def test_reshard_does_not_go_by_changed_decisions_or_a_changed_index(winnow, out, change, name):
    path = max(out.glob(f"**/{name}/00001.parquet"), key=lambda path: len(path.parts))  # not a copy for older readers
    change(path)
    refused(winnow, "reshard", out, f"{name}/00001.parquet")
    assert not list(out.glob("shards/*.tar"))


def test_reshard_does_not_go_by_decisions_about_another_index(winnow, out, tiny_network):
    pool = out.parent / "pool"
    make_pool(pool, faults=False)
    again = ["--input", f"{pool}/*.tar", "--model", f"net={tiny_network}"]
    other = out.parent / "other"
    assert winnow("score", *again, "--output", other, "--sample_digest", "crc32c")[0] == 0
    shutil.copytree(other / "columns/index", out / "columns/index", dirs_exist_ok=True)
    assert "run `winnow select` again" in refused(winnow, "reshard", out, "decisions")
