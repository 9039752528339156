"""What is taken down is gone from every file of an output, and no later run brings it back."""

import io
import json
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import webdataset

import winnow as api
from beam_pipelines import cli
from tests.beam_pipelines.files import digests
from tests.conftest import picture
from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.lib.reshard import shard_formats
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member
from transforms.lib.uids import read_subset
from transforms.outputs import takedowns
from transforms.storage import filesystem

COPIES = """
name: copies
source: a test
steps:
  - soft_cap_sample: {label: copies, column: net.score, total: 60, alpha: 0.05, batch: 30, engine: sequential}
"""
REASON = ("--reason", "request 17")


def uid_of(number):
    return stamps.sha256(f"uid {number}".encode())[:32]


def pool_of(folder):
    """Writes a pool in which some pictures and uids are there twice, some samples have urls, and some are damaged."""
    folder.mkdir()
    for shard in range(4):
        tar = b""
        for row in range(16):
            number = 1000 * shard + row
            twin = number - 2000 if shard == 3 and row in (1, 6) else number  # 3001 and 3006 look like 1001 and 1006
            url = f"https://{'gone' if number % 1000 == 7 and shard > 1 else 'stays'}.example.org/{number}.jpg"
            fields = {"uid": uid_of(1009 if number == 3009 else number), "url": url}
            text = f"thing {stamps.sha256(str(number).encode())[:20]}"
            members = {"jpg": picture(twin), "txt": text.encode(), "json": json.dumps(fields).encode(), "cls": b"7"}
            if (shard, row) == (2, 3):
                members["jpg"] = b"\xff\xd8 no picture"
            tar += b"".join(write_member(f"{shard:03d}{row:04d}.{e}", data) for e, data in members.items())
        (folder / f"{shard:05d}.tar").write_bytes(tar + END_OF_ARCHIVE)
    return folder


@pytest.fixture(scope="module")
def made(tiny_network, tmp_path_factory):
    """Returns a folder with a pool and an output: two selections, copies, duplicates that refer to one another."""
    folder = tmp_path_factory.mktemp("takedown")
    pool, out = pool_of(folder / "pool"), str(folder / "out")
    (folder / "copies.yaml").write_text(COPIES)
    rejects = ["--max_reject_fraction", "0.2"]
    assert cli.main(["score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}"]) == 0
    assert cli.main(["dedup", "--output", out, "--by", "exact"]) == 0
    assert cli.main(["select", "--output", out, "--keep_fraction", "0.4", "--name", "strict", *rejects]) == 0
    assert cli.main(["select", "--output", out, "--recipe", str(folder / "copies.yaml"), *rejects]) == 0
    assert cli.main(["reshard", "--output", out, "--samples_per_shard", "20"]) == 0
    return folder


@pytest.fixture
def place(made):
    """Gives the folder, and puts back all that the test changes: the pool must stay where it was scored."""
    kept = made.with_name(f"{made.name}-kept")
    shutil.copytree(made, kept, symlinks=True)
    yield made
    shutil.rmtree(made)
    kept.rename(made)


def ledger_of(out):
    return api.open(str(out)).ledger().to_pylist()


def listed(place, uids, name="uids.txt"):
    path = place / name
    path.write_text("# asked for by mail\n" + "".join(f"{uid}\n" for uid in uids))
    return path


def victims(out):
    """Returns uids to take down: kept samples of most and of one copy, a dropped one, a rejected one."""
    rows = ledger_of(out)
    kept = sorted((row for row in rows if row["outcome"] == "kept"), key=lambda row: -row["copies"])
    single = next(row for row in kept if row["copies"] == 1)
    rejected = next(row for row in rows if row["outcome"] == "rejected" and row["uid"])
    original = next(row for row in rows if row["uid"] == uid_of(1001))  # others refer to it
    return [kept[0]["uid"], single["uid"], original["uid"], rejected["uid"]]


def traces(pool, rows):
    """Returns bytes by which samples of the pool would be found: uid as text and as numbers, caption, image, json."""
    found = []
    for row in rows:
        first, second = divmod(int(row["uid"], 16), 2**64)
        found += [row["uid"].encode(), struct.pack("<QQ", first, second), struct.pack("<QQ", second, first)]
        with tarfile.open(pool / f"{row['shard']}.tar") as tar:
            data = {name: tar.extractfile(f"{row['key']}.{name}").read() for name in ("jpg", "txt", "json")}
        found += [data["txt"], data["json"]]
        if row["uid"] != uid_of(1001):  # another sample has its picture
            found.append(data["jpg"][-300:-50] or data["jpg"])
    return found


def contents(out):
    """Yields every file of an output as bytes, and every cell of text, bytes or numbers of its tables."""
    for path in sorted(Path(out).rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()
            if path.suffix == ".parquet":
                for batch in pq.ParquetFile(path).iter_batches():
                    yield path, repr(batch.to_pylist()).encode() + b"".join(cells(batch.to_pylist()))


def cells(value):
    if isinstance(value, bytes | str):
        yield value.encode() if isinstance(value, str) else value
    elif isinstance(value, dict):
        for one in value.values():
            yield from cells(one)
    elif isinstance(value, list):
        for one in value:
            yield from cells(one)


def assert_gone(out, found):
    assert found
    for path, data in contents(out):
        for trace in found:
            assert trace not in data, (path, trace[:80])


def verified(winnow, out):
    code, _, stderr = winnow("verify", "--output", out)
    assert code == 0, stderr + (out / "verify.json").read_text()
    (out / "verify.json").unlink()


def test_it_is_gone_from_every_byte_and_from_every_reader_and_verify_is_content(winnow, place):
    out, before = place / "out", ledger_of(place / "out")
    gone = victims(out)
    found = traces(place / "pool", [row for row in before if row["uid"] in gone])
    assert any(trace in data for _, data in contents(out) for trace in found)
    untouched = {path: data for path, data in digests(out / "shards").items() if path.endswith(".tar")}
    code, stdout, stderr = winnow("takedown", out, "--uids", listed(place, [*gone, "4f0a"]), *REASON)
    assert code == 0, stderr
    told = json.loads(stdout)
    assert (told["samples"], told["absent"], told["absent_uids"]) == (4, ["4f0a".rjust(32, "0")], 1)
    assert "1 listed uids are in no sample: 0000000000000000000000000000" in stderr
    assert_gone(out, found)
    verified(winnow, out)
    keys = [
        one["__key__"]
        for tar in sorted((out / "shards").glob("*.tar"))
        for one in webdataset.WebDataset(str(tar), shardshuffle=False)
    ]
    expected = sorted(place["key"] for row in before if row["uid"] not in gone for place in row["places"])
    assert sorted(keys) == expected
    with (out / "shards/sample_ids.npy").open("rb") as file:
        assert len(read_subset(file)) == len(expected)
    after = ledger_of(out)
    assert [row["reason"] for row in after].count("taken_down") == 4
    assert [(row["uid"], row["places"]) for row in after if row["uid"]] == [
        (row["uid"], row["places"] if row["places"] and not touched(out, row) else places(after, row))
        for row in before
        if row["uid"] not in gone and row["uid"]
    ]
    holding = {one["shard"] for row in before if row["uid"] in gone for one in row["places"]}
    same = {path for path, data in digests(out / "shards").items() if untouched.get(path) == data}
    assert {path for path in untouched if path not in same} == holding
    record = json.loads(next((out / "takedowns").glob("*.json")).read_text())
    assert (record["reason"], record["state"], record["counts"]["samples"]) == ("request 17", "done", 4)


def touched(out, row):
    """Returns whether a copy of a sample is in a shard that was written again, where positions may be others."""
    stats = [json.loads((out / f"shard_stats/{one['shard'][:8]}.json").read_text()) for one in row["places"]]
    return any("takedown" in one for one in stats)


def places(after, row):
    return next(one["places"] for one in after if one["row"] == row["row"] and one["shard"] == row["shard"])


def test_books_and_lists_of_every_selection_are_corrected(winnow, place):
    out = place / "out"
    gone = victims(out)
    before = {name: books_of(out, name) for name in ("current", "strict")}
    tables = {name: api.open(str(out), selection=name).table(["uid", "copies", "step"]).to_pylist() for name in before}
    assert winnow("takedown", out, "--uids", listed(place, gone), *REASON)[0] == 0
    for name, books in before.items():
        lost = [row for row in tables[name] if row["uid"] in gone]
        now = books_of(out, name)
        assert now["copies"] == books["copies"] - sum(row["copies"] for row in lost)
        assert now["kept"] == books["kept"] - sum(bool(row["copies"]) for row in lost)
        assert now["samples"] == books["samples"]
        assert now["rejected"]["taken_down"] == 4
        assert winnow("verify", "--output", out, "--selection", name)[0] == (0 if name == "current" else 1)
        problems = json.loads((out / "verify.json").read_text())["problems"]
        assert [line for line in problems if "stale" not in line] == []
        uid = next(row["uid"] for row in tables[name] if row["copies"] and row["uid"] not in gone)
        assert winnow("explain", uid, "--output", out, "--selection", name)[0] == 0


def books_of(out, name):
    selection = json.loads((out / f"selections/{name}.json").read_text())["id"]
    return json.loads((out / f"selections/{selection}/books.json").read_text())


def test_no_later_run_brings_it_back(winnow, place, tiny_network):
    out, pool = place / "out", place / "pool"
    gone = victims(out)
    found = traces(pool, [row for row in ledger_of(out) if row["uid"] in gone])
    assert winnow("takedown", out, "--uids", listed(place, gone), *REASON)[0] == 0
    score = ("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    code, stdout, stderr = winnow(*score, "--model", f"other={tiny_network}")  # a column set of its own
    assert code == 0, stderr
    assert json.loads(stdout)["counters"]["score.shards_scored"] == 4
    assert_gone(out, found)
    shutil.rmtree(out / "columns/index")  # as after an update that makes another index
    code, stdout, stderr = winnow(*score)
    assert code == 0, stderr
    assert_gone(out, found)
    rejects = ("--max_reject_fraction", "0.11")
    assert winnow("dedup", "--output", out, "--by", "exact")[0] == 0
    assert winnow("select", "--output", out, "--recipe", place / "copies.yaml", *rejects)[0] == 0
    assert winnow("reshard", "--output", out, "--samples_per_shard", "20")[0] == 0
    assert_gone(out, found)
    verified(winnow, out)
    assert books_of(out, "current")["rejected"]["taken_down"] == 4


@pytest.mark.parametrize("form", shard_formats.NAMES)
def test_every_form_of_output_loses_it_and_a_full_shuffle_too(winnow, place, form):
    out = place / "out"
    assert winnow("reshard", "--output", out, "--samples_per_shard", "9", "--format", form, "--shuffle", "full")[0] == 0
    gone, before = victims(out), ledger_of(out)
    found = traces(place / "pool", [row for row in before if row["uid"] in gone])
    code, _, stderr = winnow("takedown", out, "--uids", listed(place, gone), *REASON)
    assert code == 0, stderr
    assert_gone(out, found)
    verified(winnow, out)
    if form == "parquet":
        frame = pandas.read_parquet(out / "shards")
        assert not set(frame["uid"]) & {*gone}
        assert frame["score"].notna().all() if "score" in frame else True
        assert len(frame) == sum(len(row["places"]) for row in before if row["uid"] not in gone)


@pytest.mark.parametrize("by", ["host", "url", "sha256", "phash"])
def test_the_forms_of_block_lists_are_taken(winnow, place, by):
    out = place / "out"
    index = pq.read_table(out / "columns/index/00003.parquet").to_pylist()
    chosen = index[6]
    entry = {
        "host": "host:gone.example.org",
        "url": "url:gone.example.org/*",
        "sha256": f"sha256:{chosen['image_sha256']}",
        "phash": f"phash:{chosen['phash']:016x}",
    }[by]
    (place / "list.txt").write_text(f"{entry}\n")
    everywhere = pq.read_table(out / "columns/index").to_pylist()
    if by in ("host", "url"):
        wanted = {row["key"] for row in everywhere if "gone.example.org" in row["url"]}
    else:
        column = "image_sha256" if by == "sha256" else "phash"
        wanted = {row["key"] for row in everywhere if row[column] == chosen[column] and row["width"]}
    assert len(wanted) == 2  # of a host, or in two shards
    code, stdout, stderr = winnow("takedown", out, "--block_list", place / "list.txt", "--block_radius", "0", *REASON)
    assert code == 0, stderr
    assert json.loads(stdout)["samples"] == 2
    left = pq.read_table(out / "columns/index").to_pylist()
    assert {row["key"] for row in everywhere} - {row["key"] for row in left} == wanted
    verified(winnow, out)
    shutil.rmtree(out / "columns/index")
    assert winnow("score", "--input", f"{place / 'pool'}/*.tar", "--output", out, "--model", f"net={place}")[0] == 2
    record = takedowns.records(str(out))
    assert record[0]["entries"] == {by: 1}


def test_one_of_two_samples_with_the_same_uid_can_go(winnow, place):
    out = place / "out"
    rows = pq.read_table(out / "columns/index/00003.parquet").to_pylist()
    shared = uid_of(1009)
    (place / "list.txt").write_text(f"sha256:{next(row['image_sha256'] for row in rows if row['uid'] == shared)}\n")
    assert winnow("takedown", out, "--block_list", place / "list.txt", *REASON)[0] == 0
    verified(winnow, out)
    left = pq.read_table(out / "columns/index").to_pylist()
    assert [row["uid"] for row in left].count(shared) == 1


def test_a_dry_run_says_what_would_go_and_changes_nothing(winnow, place):
    out = place / "out"
    before = digests(out)
    code, stdout, _ = winnow("takedown", out, "--uids", listed(place, victims(out)), *REASON, "--dry_run")
    told = json.loads(stdout)
    assert (code, told["samples"], told["absent_uids"]) == (0, 4, 0)
    assert told["output_shards"] > 1
    assert digests(out) == before


def test_killed_anywhere_it_goes_on_and_nothing_else_runs_meanwhile(winnow, place, tmp_path, monkeypatch):
    out = place / "out"
    gone = listed(place, victims(out))
    found = traces(place / "pool", [row for row in ledger_of(out) if row["uid"] in victims(out)])
    start = tmp_path / "start"
    shutil.copytree(out, start, symlinks=True)
    monkeypatch.setattr("secrets.token_hex", lambda count: "ab" * count)
    assert winnow("takedown", out, "--uids", gone, *REASON)[0] == 0
    whole = {path: data for path, data in digests(out).items() if path != "manifest.json" and "takedowns" not in path}
    create, left = filesystem.create_atomic, [0]

    def dying(uri):
        if "/.leases/" not in uri:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return create(uri)

    monkeypatch.setattr(filesystem, "create_atomic", dying)
    resumed = 0
    for number in range(0, 500, 3):
        shutil.rmtree(out)
        shutil.copytree(start, out, symlinks=True)
        left[0] = number
        try:
            code, _, stderr = winnow("takedown", out, "--uids", gone, *REASON)
            assert code == 0, (number, stderr)
            ended = True
        except KeyboardInterrupt:
            ended = False
        left[0] = 10_000
        if ended:
            break
        if takedowns.unfinished(str(out)):
            resumed += 1
            for job in (("verify",), ("select", "--recipe", "no_filter"), ("reshard",)):
                code, _, stderr = winnow(*job, "--output", out)
                assert (code, len(stderr.splitlines())) == (2, 1)
                assert "--resume" in stderr
            code, _, stderr = winnow("takedown", out, "--uids", gone, *REASON)
            assert (code, "--resume" in stderr) == (2, True)
            code, _, stderr = winnow("takedown", out, "--resume")
            assert code == 0, stderr
        else:
            assert winnow("takedown", out, "--uids", gone, *REASON)[0] == 0
        now = {path: data for path, data in digests(out).items() if path != "manifest.json" and "takedowns" not in path}
        assert now == whole, number
        assert_gone(out, found)
    verified(winnow, out)
    assert resumed > 8


def test_a_second_takedown_keeps_the_first_one_down(winnow, place, tiny_network):
    out = place / "out"
    first, second, *_ = victims(out)
    found = traces(place / "pool", [row for row in ledger_of(out) if row["uid"] in (first, second)])
    for number, uid in enumerate((first, second)):
        assert winnow("takedown", out, "--uids", listed(place, [uid], f"{number}.txt"), *REASON)[0] == 0
        verified(winnow, out)
    shutil.rmtree(out / "columns/index")
    score = ("score", "--input", f"{place / 'pool'}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert winnow(*score)[0] == 0
    assert_gone(out, found)
    code, stdout, stderr = winnow("takedown", out, "--uids", listed(place, [first]), *REASON)
    assert (code, json.loads(stdout)["samples"], json.loads(stdout)["absent_uids"]) == (0, 0, 1), stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--uids is missing"),
        (("--uids", "{place}/none.txt", *REASON), "does not exist"),
        (("--uids", "{place}/empty.txt", *REASON), "blocks nothing"),
        (("--block_list", "{place}/odd.txt", *REASON), "does not say what it is"),
        (("--uids", "{place}/uids.txt"), "--reason is missing"),
        (("--resume",), "no takedown that is not finished"),
        (("--resume", "--uids", "{place}/uids.txt"), "takes no list"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_any_work(winnow, place, flags, words):
    (place / "empty.txt").write_text("# none\n")
    (place / "odd.txt").write_text("what is this\n")
    listed(place, ["4f0a"])
    before = digests(place / "out")
    code, stdout, stderr = winnow("takedown", place / "out", *(flag.format(place=place) for flag in flags))
    assert (code, stdout) == (2, "")
    assert words in stderr
    assert "Traceback" not in stderr
    assert digests(place / "out") == before


def test_shards_that_were_begun_and_not_finished_are_refused(winnow, place):
    (place / "out/shards/00000000.tar").rename(place / "out/shards/00000099.tar")
    code, _, stderr = winnow("takedown", place / "out", "--uids", listed(place, ["4f0a"]), *REASON)
    assert (code, len(stderr.splitlines())) == (2, 1)
    assert "run `winnow reshard` to the end first" in stderr


def test_the_record_says_nothing_of_what_went(winnow, place):
    out = place / "out"
    index = pq.read_table(out / "columns/index/00003.parquet").to_pylist()[7]
    (place / "list.txt").write_text("host:gone.example.org\n")
    assert winnow("takedown", out, "--block_list", place / "list.txt", *REASON)[0] == 0
    for path in (out / "takedowns").iterdir():
        data = path.read_bytes()
        for text in ("gone.example.org", index["uid"], index["caption"], index["image_sha256"]):
            assert text.encode() not in data
            assert io.BytesIO(data).getvalue().find(text.encode()) < 0


def test_explain_says_that_it_was_taken_down(winnow, place):
    out = place / "out"
    uid = victims(out)[0]
    assert winnow("takedown", out, "--uids", listed(place, [uid]), *REASON)[0] == 0
    code, _, stderr = winnow("explain", uid, "--output", out)
    assert code == 2
    assert f"{uid}; it was taken down on 20" in stderr
    assert "(takedowns/" in stderr
    assert winnow("explain", "4f0a", "--output", out)[2].rstrip().endswith("lists those that there are")


def test_embeddings_and_scores_are_blank(winnow, place):
    out = place / "out"
    uid = victims(out)[0]
    rows = {path.stem: pq.read_table(path)["uid"].to_pylist() for path in (out / "columns/index").glob("*.parquet")}
    (shard,) = [name for name, names in rows.items() if uid in names]
    row = rows[shard].index(uid)
    assert winnow("takedown", out, "--uids", listed(place, [uid]), *REASON)[0] == 0
    table = pq.read_table(out / f"columns/net/{shard}.parquet")
    assert np.isnan(table["score"][row].as_py())
    for part in ("image", "text"):
        assert not columns.embeddings(table[part])[row].any()
