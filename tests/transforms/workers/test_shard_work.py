import logging
import re

import pytest

from transforms.workers.shard_work import logged

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
    assert len(first) == len(begun) + len(ended)
    assert any(line.startswith("score 00001: done, 16 samples, 3 rejected, ") for line in first)
    assert any(line.startswith("write 00000000: done, 7 samples, ") for line in first)

    assert winnow(*curate)[0] == 0
    again = [line for line in lines() if line.startswith(("score", "write")) and not line.endswith("begun")]
    assert len(again) == len(shards) + len(written)
    assert all(": was done before, " in line for line in again)

    assert winnow("dedup", *job, "--by", "phash")[0] == 0
    assert winnow("cluster", *job, "--k", "3")[0] == 0
    rest = lines()
    for work in ("deduplicate", "draw", "assign"):
        assert [line for line in rest if re.match(rf"{work} 00001: done, \d+ samples, ", line)], rest
    for line in (*first, *again, *rest):
        assert not re.search(r"thing number|[0-9a-f]{32}|\.tar|://|/tmp", line), line


def test_a_local_run_shows_none_of_it():
    assert not LOG.isEnabledFor(logging.INFO), "of a logger that no test has set a level for"
