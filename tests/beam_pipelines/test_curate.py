import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


@pytest.fixture
def curate(winnow, tiny_network):
    def run(pool, out, *more):
        flags = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7", *more]
        return winnow("curate", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}", *flags)

    return run


def share_that_the_alert_reads(counters):
    """Returns the share of rejected samples as terraform's query makes it of counters, whose stage it does not see."""
    text = (Path(__file__).parents[2] / "terraform/monitoring.tf").read_text()
    query = re.search(r'query += "(sum by .*rejected_.*)"', text)[1]
    above, below = (re.compile(said) for said in re.findall(r'metric_name=~?\\"([^"]+)\\"', query))

    def total(pattern):
        return sum(count for name, count in counters.items() if pattern.fullmatch(name.split(".")[1]))

    return total(above) / total(below)


def test_a_pool_becomes_better_shards_and_the_books_close(curate, winnow, small_pool, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = curate(small_pool, out)
    assert code == 0, stderr
    books = json.loads((out / "books.json").read_text())
    assert books["rejected"] == {
        "caption_missing": 1, "caption_not_utf8": 1, "image_undecodable": 1, "tar_truncated": 1,
    }  # fmt: skip
    assert books["samples"] == 48
    assert books["kept"] == round(0.4 * 44)
    assert books["kept"] + sum(books["dropped"].values()) + 4 == 48
    result = json.loads(stdout)
    assert result["counters"]["score.in"] == 48
    assert result["counters"]["reshard.out"] == books["kept"]
    assert share_that_the_alert_reads(result["counters"]) == 4 / 48
    assert winnow("verify", "--output", out)[0] == 0


def test_the_kept_are_those_with_the_highest_scores_and_their_bytes_are_untouched(curate, small_pool, tmp_path):
    out = tmp_path / "out"
    assert curate(small_pool, out)[0] == 0
    rows = []
    for name in ("00000", "00001", "00002"):
        index = pq.read_table(out / "columns/index" / f"{name}.parquet").to_pylist()
        score = pq.read_table(out / "columns/net" / f"{name}.parquet")["score"].to_pylist()
        rows += [(s, r["uid"], name, r["key"]) for r, s in zip(index, score, strict=True) if r["status"] == "ok"]
    best = {uid: (name, key) for _, uid, name, key in sorted(rows, reverse=True)[: round(0.4 * len(rows))]}
    written = {}
    for path in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                written.setdefault(key, {})[extension] = tar.extractfile(member).read()
    assert {key.removesuffix("-0") for key in written} == set(best)
    for uid, (name, key) in best.items():
        with tarfile.open(small_pool / f"{name}.tar") as tar:
            for extension, data in written[f"{uid}-0"].items():
                assert tar.extractfile(f"{key}.{extension}").read() == data
    subset = np.load(out / "subset.npy")
    assert subset.dtype == np.dtype("u8,u8")
    assert [f"{int(a):016x}{int(b):016x}" for a, b in subset] == sorted(best)


def test_the_manifest_names_every_output(curate, small_pool, tmp_path):
    out = tmp_path / "out"
    assert curate(small_pool, out)[0] == 0
    sections = json.loads((out / "manifest.json").read_text())
    listed = {path: row["sha256"] for section in sections.values() for path, row in section["outputs"].items()}
    links = [path.name for path in out.iterdir() if path.is_symlink()]
    assert set(links) == {"decisions", "subset.npy", "books.json", "fitted.json"}
    assert listed == digests(out, "manifest.json", "run.json", "pool.parquet", "current.json", *links) | {
        path: digest for path, digest in digests(out).items() if path.rpartition("/")[2] in links and "/" in path
    }
    assert sections["select"]["configuration"]["keep_fraction"] == 0.4


def test_bytes_do_not_depend_on_workers_or_the_order_of_shards(curate, winnow, tiny_network, small_pool, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    flags = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7"]
    model = ["--model", f"net={tiny_network}", *flags]
    shards = [f"--input={small_pool}/{number:05d}.tar" for number in range(3)]
    assert winnow("curate", *shards, "--output", first, *model)[0] == 0
    assert winnow("curate", *reversed(shards), "--output", second, *model, *workers)[0] == 0
    assert digests(first) == digests(second)


def test_score_select_and_reshard_are_curate(curate, winnow, tiny_network, small_pool, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert curate(small_pool, whole)[0] == 0
    model = f"net={tiny_network}"
    assert winnow("score", "--input", f"{small_pool}/*.tar", "--output", parts, "--model", model)[0] == 0
    selecting = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2"]
    assert winnow("select", "--output", parts, *selecting)[0] == 0
    assert winnow("reshard", "--output", parts, "--samples_per_shard", "7")[0] == 0
    assert digests(whole, "run.json") == digests(parts, "run.json")


def test_a_killed_run_continues_without_scoring_a_finished_shard_again(curate, small_pool, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert curate(small_pool, whole)[0] == 0
    assert curate(small_pool, killed)[0] == 0
    # What a kill in the middle leaves: some columns, no decision, a written shard without statistics.
    for name in ("columns/net/00001.parquet", "manifest.json", "books.json", "subset.npy", "report.html"):
        (killed / name).unlink()
    for path in (*(killed / "decisions").iterdir(), *(killed / "shard_stats").iterdir()):
        path.unlink()
    (killed / "shards/00000001.tar").write_bytes(b"half")
    code, stdout, _ = curate(small_pool, killed)
    assert code == 0
    counters = json.loads(stdout)["counters"]
    assert (counters["score.shards_scored"], counters["score.shards_skipped"]) == (1, 2)
    assert digests(whole) == digests(killed)


def test_a_changed_shard_is_scored_again(curate, small_pool, tmp_path):
    out = tmp_path / "out"
    assert curate(small_pool, out)[0] == 0
    make_pool(small_pool, rows=17)
    counters = json.loads(curate(small_pool, out)[1])["counters"]
    assert counters["score.shards_scored"] == 3


def test_a_smaller_selection_leaves_no_shard_of_the_larger_one(curate, winnow, small_pool, tmp_path):
    out = tmp_path / "out"
    assert curate(small_pool, out)[0] == 0
    before = len(list((out / "shards").glob("*.tar")))
    assert winnow("select", "--output", out, "--keep_fraction", "0.1", "--max_reject_fraction", "0.2")[0] == 0
    assert winnow("reshard", "--output", out, "--samples_per_shard", "7")[0] == 0
    assert before > len(list((out / "shards").glob("*.tar"))) == 1
    assert winnow("verify", "--output", out)[0] == 0


def test_compressed_shards_give_the_same_samples_whatever_they_are_called(winnow, tiny_network, tmp_path):
    import bz2
    import gzip
    import lzma

    from backports import zstd

    plain = make_pool(tmp_path / "plain", shards=6, faults=False)
    packed = tmp_path / "packed"
    packed.mkdir()
    packers = [
        (".tar.gz", gzip.compress),
        (".tar.zst", zstd.compress),
        (".tbz2", bz2.compress),
        (".txz", lzma.compress),
    ]
    packers += [(".tar", gzip.compress), (".tar.gz", bytes)]  # as SA-1B's, and as a server unpacks them on the way
    for path, (suffix, pack) in zip(sorted(plain.glob("*.tar")), packers, strict=True):
        (packed / (path.stem + suffix)).write_bytes(pack(path.read_bytes()))
    found = []
    for pool in (plain, packed):
        out = tmp_path / f"out-{pool.name}"
        flags = ["--model", f"net={tiny_network}", "--keep_fraction", "0.4", "--samples_per_shard", "7"]
        code, _, stderr = winnow("curate", "--input", f"{pool}/*.t*", "--output", out, *flags)
        assert code == 0, stderr
        assert ("whose name says plain and that are gzip inside; they are read as what they are: 1" in stderr) == (
            pool is packed
        )
        assert ("whose name says gzip and that are plain inside" in stderr) == (pool is packed)
        assert winnow("verify", "--output", out)[0] == 0
        found.append({name: d for name, d in digests(out / "shards").items() if name.endswith(".tar")})
    assert found[0] == found[1]
    assert len(found[0]) == 6


def test_braces_manifest_and_globs_name_the_same_pool(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=False)
    listing = tmp_path / "shards.txt"
    listing.write_text("# the pool\n" + "".join(f"{pool}/{number:05d}.tar\n" for number in range(3)))
    subsets = []
    for number, text in enumerate((f"{pool}/*.tar", pool / "{00000..00002}.tar", f"@{listing}")):
        out = tmp_path / f"out{number}"
        code, _, stderr = winnow("curate", "--input", text, "--output", out, "--model", f"net={tiny_network}")
        assert code == 0, stderr
        subsets.append(digests(out / "shards"))
    assert subsets[0] == subsets[1] == subsets[2]


def test_empty_broken_and_repeated_shards_change_nothing_for_the_rest(winnow, tiny_network, tmp_path):
    pool, out = make_pool(tmp_path / "pool", faults=False), tmp_path / "out"
    (pool / "empty.tar").write_bytes(END_OF_ARCHIVE)
    (pool / "nothing.tar").write_bytes(b"")
    (pool / "bad.tar").write_bytes(write_member("a.jpg", b"x") + END_OF_ARCHIVE)
    (pool / "twin.tar").write_bytes((pool / "00000.tar").read_bytes())  # the same uids once more
    recipe = tmp_path / "two.yaml"
    recipe.write_text(
        "name: two\nsource: this test\nsteps:\n  - threshold: {column: score, at_least: -0.5}\n"
        "  - top_fraction: {column: net.score, fraction: 0.5, of: remaining}\n"
    )
    flags = ["--model", f"net={tiny_network}", "--max_reject_fraction", "0.1", "--samples_per_shard", "9"]
    flags += ["--max_unreadable_fraction", "0.2"]
    code, _, stderr = winnow("curate", "--input", f"{pool}/*.tar", "--output", out, "--recipe", recipe, *flags)
    assert code == 0, stderr
    books = json.loads((out / "books.json").read_text())
    assert (books["samples"], books["kept"]) == (66, 32)
    assert books["rejected"] == {"caption_missing": 1, "not_a_tar": 1}
    assert f"threshold {books['fitted']['top_fraction']['threshold']:.4f}" in (out / "report.html").read_text()
    assert winnow("verify", "--output", out)[0] == 0


def test_too_many_rejected_samples_fail_after_the_books_are_written(curate, small_pool, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = curate(small_pool, out, "--max_reject_fraction", "0.01")
    assert code == 1
    assert stdout == ""
    lines = [line for line in stderr.splitlines() if line.startswith("winnow")]
    assert len(lines) == 1
    assert "4 of 48 samples were rejected" in lines[0]
    assert "Traceback" not in stderr
    (books,) = out.glob("selections/*/books.json")
    assert json.loads(books.read_text())["samples"] == 48
    assert not (out / "books.json").exists(), "no selection is current"
    assert not (out / "shards").exists()
    assert not (out / "manifest.json").exists()
