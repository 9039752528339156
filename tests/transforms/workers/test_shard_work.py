import dataclasses
import importlib
import logging
import re
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import transforms.workers
from transforms.rows import ShardRef
from transforms.workers.shard_work import LoadOnceFn, logged

LOG = logging.getLogger("transforms.workers.some_module")
BEGUN = re.compile(r"(\w+) (\S+): begun")
ENDED = re.compile(r"(\w+) (\S+): (was done before|done(?:, \d+ samples)?(?:, \d+ rejected)?), \d+\.\d s")


@pytest.fixture
def lines(caplog):
    """Returns a function that gives the lines of this project's packages since it was called last."""
    caplog.set_level(logging.INFO, "transforms")

    def taken():
        records = [record for record in caplog.records if record.name.startswith("transforms.")]
        assert {record.levelno for record in records} <= {logging.INFO}
        caplog.clear()
        return [record.getMessage() for record in records]

    return taken


def test_a_shard_has_a_line_when_its_work_begins_and_one_when_it_ends(lines):
    with logged(LOG, "score", "a/00001") as outcome:
        assert lines() == ["score a/00001: begun"]
        outcome.samples, outcome.rejected = 10, 0
    (ended,) = lines()
    assert re.fullmatch(r"score a/00001: done, 10 samples, 0 rejected, \d+\.\d s", ended)


def test_what_nobody_counted_is_left_out(lines):
    with logged(LOG, "score", "a"):
        pass
    assert re.fullmatch(r"score a: done, \d+\.\d s", lines()[1])
    with logged(LOG, "score", "a") as outcome:
        outcome.skipped = True
    assert re.fullmatch(r"score a: was done before, \d+\.\d s", lines()[1])


def broken():
    with logged(LOG, "score", "a"):
        raise ValueError("a caption")


def test_an_error_is_named_by_its_class_alone_and_goes_on(lines):
    with pytest.raises(ValueError, match="a caption"):
        broken()
    assert re.fullmatch(r"score a: failed with ValueError, \d+\.\d s", lines()[1])


def test_workers_of_a_whole_run_name_shards_and_counts_and_nothing_of_the_samples(
    winnow, lines, small_pool, tiny_network, tmp_path
):
    out, job = tmp_path / "out", ("--output", tmp_path / "out")
    curate = ("curate", "--input", f"{small_pool}/*.tar", *job, "--model", f"net={tiny_network}",
              "--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7")  # fmt: skip
    assert winnow(*curate)[0] == 0
    shards = [f"0000{number}" for number in range(3)]
    written = [path.stem for path in out.glob("shards/*.tar")]
    first = lines()
    works = {("score", shard) for shard in shards} | {("decide", shard) for shard in shards}
    works |= {("write", shard) for shard in written}
    begun = [match.groups() for match in map(BEGUN.fullmatch, first) if match]
    ended = [match.groups()[:2] for match in map(ENDED.fullmatch, first) if match]
    assert sorted(begun) == sorted(ended) == sorted(works)
    assert len(first) == len(begun) + len(ended) + 1
    assert f"write: {len(written)} shards planned" in first
    assert any(line.startswith("score 00001: done, 16 samples, 3 rejected, ") for line in first)
    assert any(line.startswith("write 00000000: done, 7 samples, ") for line in first)

    assert winnow(*curate)[0] == 0
    again = [line for line in lines() if line.startswith(("score ", "write ")) and not line.endswith("begun")]
    assert len(again) == len(shards) + len(written)
    assert all(": was done before, " in line for line in again)

    assert winnow("dedup", *job, "--by", "phash")[0] == 0
    assert winnow("cluster", *job, "--k", "3")[0] == 0
    assert winnow("annotate", *job, "--columns", "caption")[0] == 0
    index = pa.concat_tables([pq.read_table(path) for path in sorted(out.glob("columns/index/*.parquet"))])
    pq.write_table(index.select(["uid"]).append_column("theirs", [[1.0] * len(index)]), tmp_path / "t.parquet")
    table = ("--input", tmp_path / "t.parquet", "--name", "theirs", "--by", "uid", "--min_coverage", "0")
    assert winnow("import-scores", *job, *table)[0] == 0
    rest = lines()
    for work in ("deduplicate", "draw", "assign", "annotate", "import"):
        assert [line for line in rest if re.match(rf"{work} 00001: done, \d+ samples, ", line)], rest
    for line in (*first, *again, *rest):
        assert not re.search(r"thing number|[0-9a-f]{32}|\.tar|://|/tmp", line), line


def test_a_local_run_shows_none_of_it():
    assert not LOG.isEnabledFor(logging.INFO), "of a logger that no test has set a level for"


class Doubling(NamedTuple):
    """A work that counts how often it loads."""

    loads: list

    def load(self):
        self.loads.append(1)
        return 2

    def __call__(self, ref, loaded):
        return ref.size * loaded


def test_what_a_work_loads_is_loaded_once_and_given_to_every_shard():
    shards = [ShardRef("a", "a.tar", 1), ShardRef("b", "b.tar", 2)]
    once = LoadOnceFn(Doubling([]))
    once.setup()
    assert [result for shard in shards for result in once.process(shard)] == [2, 4]
    assert once._work.loads == [1]

    from transforms.workers.model_handler import ShardHandler

    handler = ShardHandler(Doubling([]), "score")
    model = handler.load_model()
    assert handler.run_inference(shards, model) == [2, 4]
    assert handler.get_num_bytes(shards) == 3, "nothing is pickled to be measured"
    assert handler.get_metrics_namespace() == "score"


def test_every_work_on_a_shard_is_a_frozen_dataclass_of_settings():
    works = 0
    for path in Path(transforms.workers.__path__[0]).glob("*.py"):
        if path.stem == "model_handler":
            continue
        for value in vars(importlib.import_module(f"transforms.workers.{path.stem}")).values():
            here = isinstance(value, type) and value.__module__ == f"transforms.workers.{path.stem}"
            if here and "__call__" in vars(value) and not value.__name__.startswith("_") and not is_protocol(value):
                assert dataclasses.is_dataclass(value), value
                assert value.__dataclass_params__.frozen, value
                works += 1
    assert works > 15


def is_protocol(kind):
    return getattr(kind, "_is_protocol", False)
