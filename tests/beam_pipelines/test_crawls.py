"""Crawl after crawl: what thresholds rest on, what is dropped, what changes, and when a crawl becomes the latest."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.beam_pipelines.files import digests
from tests.metadata import SCHEMA
from transforms.lib import uids

L14 = "clip_l14_similarity_score"
DAYS = ("2026-11-19", "2026-11-20", "2026-11-21")
WORKERS = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
SEED = 3


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
            "clip_b32_similarity_score": chance.normal(0.2, 0.05, rows).astype(np.float32),
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
        for shard in range(3):
            stem = np.random.default_rng(shard).bytes(16).hex()
            table = rows_of(day, shard, 40 + 7 * day + shard)
            tables.setdefault(name, {})[stem] = table
            pq.write_table(table, place / f"{stem}.parquet", row_group_size=20)
    return folder, tables


@pytest.fixture
def crawls(winnow, metadata, tmp_path):
    """Returns the folder of three crawls whose columns are there, and what selects and publishes one."""
    root = tmp_path / "out"
    for day in DAYS:
        pattern = f"{metadata[0]}/{{crawl_id:%Y/%m/%d}}"
        code, _, stderr = winnow("import-datacomp", "--input", pattern, "--output", root, "--crawl_id", day)
        assert code == 0, stderr
    recipe = tmp_path / "recipe.yaml"
    steps = [{"threshold": {"column": "clip_b32_similarity_score", "at_least": 0.12}}]
    steps += [{"top_fraction": {"column": L14, "fraction": 0.3, "of": "remaining", "seed": SEED}}]
    recipe.write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": steps}))

    def select(day, *flags, publish=()):
        code, _, stderr = winnow("select", "--output", root, "--crawl_id", day, "--recipe", recipe, *flags)
        assert code == 0, stderr
        if publish is None:
            return code, stderr
        code, _, stderr = winnow("publish", "--output", root, "--crawl_id", day, *publish)
        return code, stderr

    return root, select


def pairs(texts):
    return np.sort(np.array([(int(uid[:16], 16), int(uid[16:], 16)) for uid in texts], np.dtype("u8,u8")))


def passed(metadata, days, drop=lambda day, row: False):
    """Returns (day, uid, score, tie hash) of the samples that the filters before the top fraction leave."""
    found = []
    for day in days:
        for stem, table in metadata[1][day].items():
            hashes = uids.keyed_hash(uids.pairs(table["uid"].to_pylist()), SEED)
            for place, (row, tie) in enumerate(zip(table.to_pylist(), hashes.tolist(), strict=True)):
                if row["clip_b32_similarity_score"] >= np.float32(0.12) and not drop(day, row):
                    found.append((-row[L14], tie, day, stem, place, row["uid"]))
    return found


def top(samples, day):
    """Returns the uids of one day among the top 30 % of samples; equal ones by hash, then by the age of the crawl."""
    by_name = lambda one: (
        *one[:3],
        int.from_bytes(__import__("hashlib").sha256(one[3].encode()).digest()[:8], "little"),
        one[4],
    )
    ranked = sorted(samples, key=by_name)
    return pairs([one[5] for one in ranked[: int(0.3 * len(ranked) + 0.5)] if one[2] == day])


def kept(root, day):
    return np.load(root / "crawls" / day / "subset.npy")


def document(root, day):
    return json.loads((root / "crawls" / day / "crawl.json").read_text())


def latest(root):
    return json.loads((root / "latest.json").read_text())


def test_pooled_thresholds_are_those_of_all_crawls_so_far_without_their_columns(crawls, metadata):
    root, select = crawls
    for number, day in enumerate(DAYS):
        code, stderr = select(day, "--thresholds", "pooled")
        assert code == 0, stderr
        np.testing.assert_array_equal(kept(root, day), top(passed(metadata, DAYS[: number + 1]), day))
        assert document(root, day)["over"] == list(DAYS[:number])
        shutil.rmtree(root / "crawls" / day / "columns")
    alone = top(passed(metadata, DAYS[2:]), DAYS[2])
    assert len(alone) != len(kept(root, DAYS[2]))
    assert latest(root)["crawl_id"] == DAYS[2]
