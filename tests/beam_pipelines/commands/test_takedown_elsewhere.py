"""Takedowns of crawls, of imported metadata and in buckets: gone there too, and not back in a later crawl."""

import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq

import winnow as api
from tests.beam_pipelines.commands.test_takedown import (
    REASON,
    assert_gone,
    ledger_of,
    listed,
    pool_of,
    traces,
    uid_of,
    verified,
)
from tests.metadata import make_metadata
from tests.stores import curate, fill, run
from transforms.lib.uids import read_subset

FLAGS = ("--keep_fraction", "0.5", "--max_reject_fraction", "0.2", "--samples_per_shard", "10")


def test_a_crawl_loses_it_and_no_later_crawl_takes_it_again(winnow, tiny_network, tmp_path):
    pool, root = pool_of(tmp_path / "pool"), tmp_path / "out"
    flags = ("--input", f"{pool}/*.tar", "--output", root, "--model", f"net={tiny_network}", *FLAGS)
    assert winnow("curate", *flags, "--crawl_id", "2026-11-20")[0] == 0
    out = root / "crawls/2026-11-20"
    rows = [row for row in ledger_of(out) if row["outcome"] == "kept" and row["uid"] != uid_of(1001)]
    gone = [row["uid"] for row in rows[:2]]
    found = traces(pool, rows[:2])
    index = {row["uid"]: row for row in pq.read_table(out / "columns/index").to_pylist()}
    images = [
        np.frombuffer(bytes.fromhex(index[uid]["image_sha256"][:32]), ">u8").astype("<u8").tobytes() for uid in gone
    ]
    assert all(image in (out / "kept_images.npy").read_bytes() for image in images)
    code, stdout, stderr = winnow(
        "takedown", root, "--crawl_id", "2026-11-20", "--uids", listed(tmp_path, gone), *REASON
    )
    assert (code, json.loads(stdout)["samples"]) == (0, 2), stderr
    assert_gone(out, [*found, *images])
    verified(winnow, out)
    later = ("--crawl_id", "2026-11-21", "--thresholds", "pooled")
    code, _, stderr = winnow("curate", *flags, *later)
    assert code == 0, stderr
    assert_gone(root, found)
    books = json.loads((root / "crawls/2026-11-21/books.json").read_text())
    assert books["rejected"]["taken_down"] == 2
    verified(winnow, root / "crawls/2026-11-21")
    code, _, stderr = winnow("curate", *flags, "--crawl_id", "2026-11-20")  # the crawl itself, once more
    assert code in (0, 2), stderr
    assert_gone(root, found)


def test_a_bucket_is_changed_as_a_folder_is(bucket, tiny_network, tmp_path):
    fill(bucket, pool_of(tmp_path / "pool"), tiny_network, prefix="takedown/")
    out = bucket.uri("takedown/out")
    done = run(bucket, *curate(bucket, "takedown/out", prefix="takedown/"))
    assert done.returncode == 0, done.stderr
    before = bucket.download("takedown/out")
    kept = read_subset(io.BytesIO(before["subset.npy"]))
    uid = f"{int(kept[0][0]):016x}{int(kept[0][1]):016x}"
    done = run(bucket, "takedown", out, "--uids", listed(tmp_path, [uid]), *REASON)
    assert done.returncode == 0, done.stderr
    after = bucket.download("takedown/out")
    assert any(uid.encode() in data for data in before.values())
    assert not any(uid.encode() in data for data in after.values())
    assert len(read_subset(io.BytesIO(after["subset.npy"]))) == len(kept) - 1  # a copy of that of the selection
    verify = run(bucket, "verify", "--output", out)
    assert verify.returncode == 0, verify.stderr


def test_imported_metadata_are_read_no_more_where_they_lie(winnow, tmp_path):
    tables = make_metadata(tmp_path / "metadata")
    out = tmp_path / "out"
    flags = ("import-datacomp", "--input", tmp_path / "metadata", "--output", out)
    assert winnow(*flags)[0] == 0
    assert winnow("select", "--output", out, "--recipe", "no_filter", "--max_reject_fraction", "1")[0] == 0
    stem, table = next(iter(sorted(tables.items())))
    (tmp_path / "list.txt").write_text(f"uid:{table['uid'][3].as_py()}\nurl:{table['url'][5].as_py()}\n")
    code, stdout, stderr = winnow("takedown", out, "--block_list", tmp_path / "list.txt", *REASON)
    assert (code, json.loads(stdout)["samples"]) == (0, 2), stderr
    found = [table[name][row].as_py().encode() for row in (3, 5) for name in ("uid", "sha256")]
    for again in (False, True):
        if again:
            shutil.rmtree(out / "columns")
            assert winnow(*flags)[0] == 0
        assert_gone(out, found)
        for column_set in ("index", "datacomp"):
            rows = pq.read_table(out / f"columns/{column_set}/{stem}.parquet").to_pylist()
            assert {rows[row].get("url", "") for row in (3, 5)} == {""}
            assert rows[4].get("url", "") in ("", table["url"][4].as_py())
        read = api.open(str(out)).table(["uid", "status"], shards=[stem]).to_pylist()
        assert [row["status"] for row in read].count("taken_down") == 2
        if not again:
            verified(winnow, out)
    assert np.load(out / "columns/../subset.npy").shape[0] == sum(map(len, tables.values())) - 2
