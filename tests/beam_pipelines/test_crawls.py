"""Crawl after crawl: what thresholds rest on, what is dropped, what changes, and when a crawl becomes the latest."""

import datetime
import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from beam_pipelines.config.crawl import PublishConfig
from beam_pipelines.running import options
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from tests.metadata import SCHEMA
from tests.stores import asking
from transforms.lib import uids
from transforms.outputs import crawls as known_crawls

B32, L14 = "clip_b32_similarity_score", "clip_l14_similarity_score"
FLOOR = 0.12
DAYS = ("2026-11-19", "2026-11-20", "2026-11-21")
WORKERS = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
SEED = 3
ROOT = Path(__file__).parents[2]


def rows_of(day, shard, rows):
    """Some samples of a crawl: scores that tie, and every third uid and image one that other days have too."""
    chance = np.random.default_rng([day, shard])
    numbers = [row if row % 3 == 0 else 10_000 * (1 + day) + 1000 * shard + row for row in range(rows)]
    made = np.random.default_rng(0)
    images = [made.bytes(32).hex() for _ in range(rows)]
    return pa.Table.from_pydict(
        {
            "uid": [f"{number * 2**90 + number:032x}" for number in numbers],
            "url": [""] * rows,
            "text": [f"thing {number}" for number in numbers],
            "original_width": [100] * rows,
            "original_height": [100] * rows,
            B32: chance.normal(0.2, 0.05, rows).astype(np.float32),
            L14: np.round(chance.normal(0.2 + 0.02 * day, 0.05, rows), 2).astype(np.float32),
            "face_bboxes": [[]] * rows,
            "sha256": [images[row] if row % 5 == 0 else chance.bytes(32).hex() for row in range(rows)],
        },
        schema=SCHEMA,
    )


@pytest.fixture(scope="session")
def metadata(tmp_path_factory):
    """Returns a folder with the metadata of three days, and day -> stem -> table."""
    folder = tmp_path_factory.mktemp("metadata")
    tables = {}
    for day, name in enumerate(DAYS):
        place = folder / name.replace("-", "/")
        place.mkdir(parents=True)
        for shard in range(2):
            stem = np.random.default_rng(shard).bytes(16).hex()
            table = rows_of(day, shard, 40 + 7 * day + shard)
            tables.setdefault(name, {})[stem] = table
            pq.write_table(table, place / f"{stem}.parquet", row_group_size=20)
    return folder, tables


@pytest.fixture(scope="session")
def imported(metadata, tmp_path_factory):
    """Returns the folder of three crawls whose columns are there."""
    from beam_pipelines import cli

    root = tmp_path_factory.mktemp("crawls") / "out"
    for day in DAYS:
        pattern = f"{metadata[0]}/{{crawl_id:%Y/%m/%d}}"
        assert cli.main(["import-datacomp", "--input", pattern, "--output", str(root), "--crawl_id", day]) == 0
    return root


@pytest.fixture
def crawls(winnow, imported, tmp_path):
    """Returns the folder of three crawls, and what selects and publishes one."""
    root = tmp_path / "out"
    shutil.copytree(imported, root)
    recipe = tmp_path / "recipe.yaml"
    steps = [{"threshold": {"column": B32, "at_least": FLOOR}}]
    steps += [{"top_fraction": {"column": L14, "fraction": 0.3, "of": "remaining", "seed": SEED}}]
    recipe.write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": steps}))

    def select(day, *flags):
        return winnow("select", "--output", root, "--crawl_id", day, "--recipe", recipe, *flags)

    def publish(day, *flags):
        return winnow("publish", "--output", root, "--crawl_id", day, *flags)

    return root, select, publish


def pairs(texts):
    return np.sort(np.array([(int(uid[:16], 16), int(uid[16:], 16)) for uid in texts], np.dtype("u8,u8")))


def passed(metadata, days, drop=lambda row: False):
    """Returns what the filter leaves, best first, ties by hash, then by age of the crawl, shard and row."""
    found = []
    for day in days:
        for stem, table in metadata[1][day].items():
            hashes = uids.keyed_hash(uids.pairs(table["uid"].to_pylist()), SEED).tolist()
            key = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "little")
            for number, row in enumerate(table.to_pylist()):
                if row[B32] >= np.float32(FLOOR) and not drop(row):
                    found.append((-row[L14], hashes[number], day, key, number, row["uid"], row["sha256"]))
    return sorted(found)


def top(samples, day):
    """Returns the samples of one day among the top 30 % of samples."""
    return [one for one in samples[: int(0.3 * len(samples) + 0.5)] if one[2] == day]


def kept(root, day):
    return np.load(root / "crawls" / day / "subset.npy")


def read(root, name):
    return json.loads((root / name).read_text())


def crawl(root, day):
    return read(root, f"crawls/{day}/crawl.json")


def largest_difference(metadata, *days):
    scores = [np.concatenate([table[B32].to_numpy() for table in metadata[1][day].values()]) for day in days]
    shares = [[(one <= value).mean() for value in np.concatenate(scores)] for one in scores]
    return np.abs(np.subtract(*shares)).max()


def test_pooled_thresholds_are_those_of_all_crawls_so_far_without_their_columns(crawls, metadata):
    root, select, publish = crawls
    before = []
    for number, day in enumerate(DAYS):
        code, _, stderr = select(day, "--thresholds", "pooled")
        assert code == 0, stderr
        expected = [one[5] for one in top(passed(metadata, DAYS[: number + 1]), day)]
        np.testing.assert_array_equal(kept(root, day), pairs(expected))
        code, stdout, stderr = publish(day, "--gate_retention", "0.05,0.9", "--gate_drift", "0.9")
        assert code == 0, stderr
        assert read(root, "latest.json") == {
            "crawl_id": day, "path": f"crawls/{day}", "previous": DAYS[number - 1] if number else "",
            "kept": len(expected), "samples": read(root, f"crawls/{day}/books.json")["samples"],
        }  # fmt: skip
        ways = {
            "added": {*expected} - {*before},
            "removed": {*before} - {*expected},
            "unchanged": {*before} & {*expected},
        }
        for way, texts in ways.items():
            np.testing.assert_array_equal(np.load(root / f"crawls/{day}/diff/{way}.npy"), pairs(texts))
        assert json.loads(stdout)["diff"] == {way: len(texts) for way, texts in ways.items()}
        found = crawl(root, day)
        assert found["over"] == list(DAYS[:number])
        if number:
            assert found["drift"] == pytest.approx(largest_difference(metadata, day, DAYS[number - 1]), abs=1e-15)
            assert ways["unchanged"]
        before = expected
        shutil.rmtree(root / "crawls" / day / "columns")
    assert len(top(passed(metadata, DAYS[2:]), DAYS[2])) != len(before), "pooling made no difference: choose other data"


@pytest.mark.parametrize(("by", "field"), [("kept_images", 6), ("kept_uids", 5)])
def test_what_earlier_crawls_kept_is_dropped_but_not_what_a_refused_one_kept(crawls, metadata, by, field):
    root, select, publish = crawls
    assert select(DAYS[0], "--dedup_against", by)[0] == 0
    first = top(passed(metadata, DAYS[:1]), DAYS[0])
    np.testing.assert_array_equal(kept(root, DAYS[0]), pairs([one[5] for one in first]))
    assert publish(DAYS[0])[0] == 0
    seen = {one[field] for one in first}

    def drop(row):
        return row["uid" if by == "kept_uids" else "sha256"] in seen

    for day in DAYS[1:]:
        code, _, stderr = select(day, "--dedup_against", by)
        assert code == 0, stderr
        expected = top(passed(metadata, [day], drop), day)
        np.testing.assert_array_equal(kept(root, day), pairs([one[5] for one in expected]))
        books = read(root, f"crawls/{day}/books.json")
        every = [row for table in metadata[1][day].values() for row in table.to_pylist()]
        assert books["dropped"]["kept_before"] == sum(drop(row) for row in every) > 0
        assert books["kept"] + sum(books["dropped"].values()) == books["samples"]
        assert crawl(root, day)["kept_of"] == [DAYS[0]]
        code, _, stderr = publish(day, "--gate_retention", "0.9,1")
        assert code == 3
        assert "did not pass its gate: it keeps" in stderr
        assert f"the latest is {DAYS[0]} as before" in stderr
        assert read(root, "latest.json")["crawl_id"] == DAYS[0]
        found = crawl(root, day)
        assert found["complete"]
        assert not found["gate"]["passed"]
        assert (root / "crawls" / day / "diff/added.npy").exists()
    assert publish(DAYS[2], "--gate_drift", "0")[0] == 3
    assert "its scores drifted by" in crawl(root, DAYS[2])["gate"]["refused"][0]
    assert publish(DAYS[2])[0] == 0
    assert read(root, "latest.json")["crawl_id"] == DAYS[2]
    assert publish(DAYS[1])[0] == 0
    assert read(root, "latest.json")["crawl_id"] == DAYS[2], "an older crawl moves nothing"
    assert publish(DAYS[1], "--allow_older")[0] == 0
    assert read(root, "latest.json") | {"kept": 0, "samples": 0} == {
        "crawl_id": DAYS[1], "path": f"crawls/{DAYS[1]}", "previous": DAYS[2], "kept": 0, "samples": 0,
    }  # fmt: skip


def test_frozen_thresholds_are_those_of_the_crawl_named_and_a_resumed_crawl_rests_on_what_it_did(crawls, metadata):
    root, select, publish = crawls
    assert select(DAYS[1])[0] == 0
    assert publish(DAYS[1])[0] == 0
    fitted = passed(metadata, DAYS[1:2])
    bound = fitted[int(0.3 * len(fitted) + 0.5) - 1]
    code, _, stderr = select(DAYS[2], "--thresholds", f"frozen:{DAYS[1]}")
    assert code == 0, stderr
    below = [one[5] for one in passed(metadata, DAYS[2:]) if (one[0], one[1], *one[3:5]) <= (*bound[:2], *bound[3:5])]
    np.testing.assert_array_equal(kept(root, DAYS[2]), pairs(below))
    thresholds = [read(root, f"crawls/{day}/books.json")["fitted"]["top_fraction"]["threshold"] for day in DAYS[1:]]
    assert thresholds[0] == thresholds[1]
    code, _, stderr = select(DAYS[2], "--thresholds", f"frozen:{DAYS[1]}", "--keep_fraction", "0.2")
    assert code == 2
    assert "has no step top_fraction with these parameters" in stderr

    assert select(DAYS[2], "--thresholds", "pooled")[0] == 0
    whole = digests(root / "crawls" / DAYS[2])
    assert select(DAYS[0])[0] == 0
    assert publish(DAYS[0])[0] == 0  # a crawl of an earlier day comes late
    for path in (root / "crawls" / DAYS[2] / "decisions").iterdir():
        path.unlink()
    assert select(DAYS[2], "--thresholds", "pooled", *WORKERS)[0] == 0
    assert digests(root / "crawls" / DAYS[2]) == whole
    assert select(DAYS[2], "--thresholds", "pooled", "--seed", "1")[0] == 0
    assert crawl(root, DAYS[2])["over"] == list(DAYS[:2]), "asked for anew, it rests on all there are"


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--crawl_id", "a/b"], "--crawl_id must be letters, digits, _ and -, at most 64, got 'a/b'"),
        (["--thresholds", "pooled"], "--crawl_id is missing; --thresholds pooled looks at other crawls"),
        (["--dedup_against", "kept_uids"], "--crawl_id is missing; --dedup_against kept_uids looks at other crawls"),
        (["--crawl_id", DAYS[1], "--thresholds", "old"], "must be fitted, pooled or frozen:CRAWL, got 'old'"),
        (["--crawl_id", DAYS[1], "--thresholds", f"frozen:{DAYS[1]}"], "is this very crawl"),
        (["--crawl_id", DAYS[1], "--thresholds", "frozen:2020-01-01"], "has no complete crawl 2020-01-01"),
        (["--crawl_id", DAYS[1], "--dedup_against", "all"], "--dedup_against must be none, kept_images or kept_uids"),
        (["--crawl_id", "2020-01-01"], "holds no scored pool"),
        (["--crawl_id", DAYS[1], "--thresholds", "pooled", "--recipe", "random"],
         "random_fraction: what random_fraction fits belongs to one crawl"),
    ],
)  # fmt: skip
def test_a_wrong_request_to_select_is_one_line(winnow, imported, flags, line):
    recipe = [] if "--recipe" in flags else ["--recipe", "clip_score", "--set", f"top_fraction.column={L14}"]
    before = digests(imported)
    code, _, stderr = winnow("select", "--output", imported, *recipe, *flags)
    assert code == 2
    assert [one for one in stderr.splitlines() if line in one]
    assert digests(imported) == before


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ([], "--crawl_id is missing; name the crawl that is to be published"),
        (["--crawl_id", DAYS[0]], "is not finished; run `winnow select` with this --crawl_id first"),
        (["--crawl_id", DAYS[0], "--gate_retention", "0.5"], "--gate_retention must be LOW,HIGH"),
        (["--crawl_id", DAYS[0], "--gate_retention", "0.5,0.1"], "--gate_retention must be LOW,HIGH"),
        (["--crawl_id", DAYS[0], "--gate_drift", "2"], "--gate_drift must be in [0, 1], got 2.0"),
    ],
)
def test_a_wrong_request_to_publish_is_one_line(winnow, imported, flags, line):
    code, _, stderr = winnow("publish", "--output", imported, *flags)
    assert code == 2
    assert [one for one in stderr.splitlines() if line in one]


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--input", "{crawl_id}/*.tar"], "--crawl_id is missing; --input '{crawl_id}/*.tar' is filled in with it"),
        (["--input", "{crawl_id:%Y}/*.tar", "--crawl_id", "a"], "asks for parts of a date, and --crawl_id a is none"),
        (["--input", "*.tar", "--gate_drift", "0.1"], "--crawl_id is missing; --gate_drift is about publishing"),
    ],
)
def test_a_wrong_request_to_curate_is_one_line(winnow, tmp_path, flags, line):
    code, _, stderr = winnow("curate", "--output", tmp_path / "out", *flags)
    assert code == 2
    assert [one for one in stderr.splitlines() if line in one]


@pytest.mark.parametrize(("word", "before"), [("{date}", 0), ("{yesterday}", 1)])
def test_a_clock_that_says_the_same_word_every_day_starts_that_days_crawl(word, before):
    config = options.parse(
        "curate", ["--input", "in/{crawl_id:%Y}/*.tar", "--output", "out", "--crawl_id", word]
    ).config
    today = datetime.datetime.now(datetime.UTC).date()
    days = [today - datetime.timedelta(days=before + late) for late in (0, 1)]  # midnight may fall between the two
    assert (config.crawl_id, config.input, config.output) in [
        (str(day), (f"in/{day.year}/*.tar",), f"out/crawls/{day}") for day in days
    ]
    assert config.dated(datetime.date(2026, 3, 1)) == config, "what is a day already stays it"


def test_the_day_before_the_first_of_a_month_is_the_last_of_another():
    config = PublishConfig(output="out", crawl_id="{yesterday}")
    assert config.dated(datetime.date(2028, 3, 1)).crawl_id == "2028-02-29"


def test_crawls_that_were_scored_or_selected_otherwise_are_not_pooled(crawls):
    root, select, publish = crawls
    assert select(DAYS[0])[0] == 0
    assert publish(DAYS[0])[0] == 0
    code, _, stderr = select(DAYS[1], "--thresholds", "pooled", "--set", "top_fraction.seed=9")
    assert code == 2
    assert f"crawl {DAYS[0]} left no summary for top_fraction as it is now" in stderr
    shutil.rmtree(root / "crawls" / DAYS[0] / "summaries")
    code, _, stderr = select(DAYS[1], "--thresholds", "pooled")
    assert code == 2
    assert f"the summaries of crawl {DAYS[0]} are gone" in stderr


def test_a_latest_crawl_that_is_gone_is_one_line_and_there_is_a_way_to_go_on(crawls):
    root, select, publish = crawls
    for day in DAYS[:2]:
        assert select(day)[0] == 0
        assert publish(day)[0] == 0
    shutil.rmtree(root / "crawls" / DAYS[1])
    assert select(DAYS[2])[0] == 0
    before = digests(root)
    code, _, stderr = publish(DAYS[2], "--gate_drift", "0.9")
    assert code == 2
    assert stderr.splitlines() == [
        f"winnow publish: {root}/crawls/{DAYS[1]} is gone, and crawl {DAYS[2]} is to be compared with it; put it back, "
        "or give --compare_with and the id of another crawl, or --compare_with none"
    ]
    code, _, stderr = publish(DAYS[0], "--allow_older")
    assert code == 2
    assert f"crawls/{DAYS[1]} is gone" in stderr
    code, _, stderr = publish(DAYS[2], "--compare_with", "2020-01-01")
    assert code == 2
    assert "crawls/2020-01-01 is gone" in stderr
    assert digests(root) == before
    code, stdout, stderr = publish(DAYS[0], "--allow_older", "--compare_with", "none")
    assert code == 0, stderr
    assert json.loads(stdout)["diff"] == {"added": len(set(kept(root, DAYS[0]).tolist())), "removed": 0, "unchanged": 0}
    assert read(root, "latest.json")["crawl_id"] == DAYS[0]
    code, stdout, stderr = publish(DAYS[2], "--compare_with", DAYS[0], "--gate_drift", "0.9")
    assert code == 0, stderr
    assert json.loads(stdout)["against"] == DAYS[0]
    assert read(root, "latest.json")["previous"] == DAYS[0]
    assert publish(DAYS[2])[0] == 0, "and again without a word"


@pytest.mark.parametrize("text", ["3", "[]", '{"crawl_id": 3, "previous": ""}', '{"crawl_id": "x"}', "{"])
def test_a_pointer_that_was_changed_is_one_line(crawls, text):
    root, select, publish = crawls
    assert select(DAYS[0])[0] == 0
    (root / "latest.json").write_text(text)
    code, _, stderr = publish(DAYS[0])
    assert code == 2
    (line,) = stderr.splitlines()
    assert line.startswith(f"winnow publish: {root}/latest.json ")
    assert "put it back" in line


def test_curate_says_before_its_work_that_the_latest_crawl_is_gone(winnow, small_pool, tiny_network, tmp_path):
    root = tmp_path / "out"
    root.mkdir()
    (root / "latest.json").write_text('{"crawl_id": "2026-11-19", "previous": ""}')
    flags = ["--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}", "--keep_fraction", "0.5"]
    code, _, stderr = winnow("curate", *flags, "--output", root, "--crawl_id", "2026-11-20")
    assert code == 2
    assert "crawls/2026-11-19 is gone" in stderr
    assert not (root / "crawls").exists()


def test_pooling_over_a_crawl_that_is_gone_is_one_line(crawls):
    root, select, publish = crawls
    assert select(DAYS[0])[0] == 0
    assert publish(DAYS[0])[0] == 0
    assert select(DAYS[1], "--thresholds", "pooled")[0] == 0
    shutil.rmtree(root / "crawls" / DAYS[0])
    code, _, stderr = select(DAYS[1], "--thresholds", "pooled")
    assert code == 2
    assert f"the summaries of crawl {DAYS[0]} are gone" in stderr


def test_crawls_are_found_without_a_look_at_what_they_hold(bucket, monkeypatch):
    """A crawl of a hundred thousand shards has many objects: one request for the folders' names, one for each crawl."""
    passed = json.dumps({"complete": True, "gate": {"passed": True}}).encode()
    for day in DAYS:
        bucket.upload(f"many/crawls/{day}/crawl.json", passed)
        for shard in range(5):
            bucket.upload(f"many/crawls/{day}/columns/index/{shard}.parquet", b"x")
    bucket.upload("many/crawls/2026-11-01/crawl.json", b"{}")
    with asking(bucket, monkeypatch) as between:
        found = known_crawls.published(bucket.uri("many"), DAYS[2])
    assert list(found) == list(DAYS[:2])
    listing = [request for request in between.requests if "prefix=" in request.path]
    assert len(listing) == 1
    assert "delimiter=" in listing[0].path
    asked = [request.path for request in between.requests if "crawls" in request.path]
    assert len(asked) == 1 + 3, asked  # and crawl.json of three crawls that are older


def test_crawls_are_found_in_a_folder_of_this_machine(tmp_path):
    for day in DAYS:
        (tmp_path / "crawls" / day).mkdir(parents=True)
        (tmp_path / "crawls" / day / "crawl.json").write_text('{"complete": true, "gate": {"passed": true}}')
    (tmp_path / "crawls" / "note.txt").write_text("x")
    (tmp_path / "crawls" / DAYS[0] / "crawl.json").write_text('{"complete": false}')
    assert list(known_crawls.published(str(tmp_path), "z")) == list(DAYS[1:])
    assert known_crawls.published(str(tmp_path / "none"), "z") == {}


def test_curate_publishes_a_crawl_skips_one_that_is_done_and_continues_one_that_was_killed(
    winnow, tiny_network, tmp_path
):
    pool, root, whole = tmp_path / "pool", tmp_path / "out", tmp_path / "whole"
    for day, rows in zip(DAYS[:2], (6, 9), strict=True):
        make_pool(pool / day, shards=2, rows=rows, faults=False)
    flags = ["--input", f"{pool}/{{crawl_id}}/*.tar", "--model", f"net={tiny_network}", "--keep_fraction", "0.5"]
    flags += ["--thresholds", "pooled", "--gate_retention", "0.2,0.8"]
    code, stdout, stderr = winnow("curate", *flags, "--output", root, "--crawl_id", DAYS[0])
    assert code == 0, stderr
    assert f"crawl {DAYS[0]}: 6 added, 0 removed, 0 unchanged" in stderr
    assert "score.in" in json.loads(stdout)["counters"]
    before = digests(root)
    code, stdout, stderr = winnow("curate", *flags, "--output", root, "--crawl_id", DAYS[0])
    assert code == 0, stderr
    assert not json.loads(stdout)["counters"], "a crawl that is done is not done again"
    assert digests(root) == before
    shutil.copytree(root, whole, symlinks=True)
    assert winnow("curate", *flags, "--output", whole, "--crawl_id", DAYS[1])[0] == 0

    command = [sys.executable, "-m", "beam_pipelines.curate", *flags, "--output", str(root), "--crawl_id", DAYS[1]]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    place, end = root / "crawls" / DAYS[1], time.monotonic() + 120
    while killed.poll() is None and not (place / "subset.npy").exists() and time.monotonic() < end:
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    assert (place / "crawl.json").exists()
    assert read(root, "latest.json")["crawl_id"] == DAYS[0]
    code, _, stderr = winnow("curate", *flags, "--output", root, "--crawl_id", DAYS[1])
    assert code == 0, stderr
    assert digests(root) == digests(whole)
    assert read(root, "latest.json")["previous"] == DAYS[0]
    assert winnow("verify", "--output", root, "--crawl_id", DAYS[1])[0] == 0
