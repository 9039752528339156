"""The committed demo pool is what its README and faults.json say."""

import collections
import hashlib
import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import assets, make_small_pool, pairs
from transforms.lib.errors import SampleError
from transforms.lib.inference import prefetch
from transforms.lib.inference.timing import Clock
from transforms.lib.samples import captions, images, index_row
from transforms.lib.tar.shard_samples import read_samples

POOL = Path(__file__).parent / "data/pool"
COUNT = re.compile(r"^\| (.+?) \| (\d+)", re.M)


@pytest.fixture(scope="module")
def pool():
    found = {}
    for path in sorted(POOL.glob("*.tar")):
        with path.open("rb") as file:
            found.update({(path.stem, sample.key): sample for sample in read_samples(file)})
    return found


@pytest.fixture(scope="module")
def faults():
    listed = collections.defaultdict(list)
    for entry in json.loads((POOL / "faults.json").read_text()):
        listed[entry["fault"]].append(entry)
    return listed


def only(pool, faults, name):
    (entry,) = faults[name]
    return pool[entry["shard"], entry["key"]]


def test_it_is_small_and_large_enough(pool):
    assert 600 <= len(pool) <= 1500
    assert len(list(POOL.glob("*.tar"))) >= 4
    assert sum(path.stat().st_size for path in POOL.iterdir()) <= 6_000_000


def test_a_third_of_the_captions_is_given_away(pool, faults):
    shuffled = faults["shuffled_caption"]
    assert 0.3 <= len(shuffled) / len(pool) <= 0.35
    for entry in shuffled:
        assert captions.caption_of(pool[entry["shard"], entry["key"]].members) == entry["given_caption"]
        assert entry["given_caption"] != entry["true_caption"]
        assert not set(pairs.words(entry["given_caption"])) & set(pairs.words(entry["true_caption"]))
    true = collections.Counter(entry["true_caption"] for entry in shuffled)
    given = collections.Counter(entry["given_caption"] for entry in shuffled)
    assert sum((given - true).values()) <= 0.02 * len(shuffled)  # passed on among themselves


def test_every_fault_is_listed_once_under_the_uid_it_carries(pool, faults):
    listed = [entry for entries in faults.values() for entry in entries]
    assert len({entry["key"] for entry in listed}) == len(listed)
    for entry in listed:
        assert captions.json_of(pool[entry["shard"], entry["key"]].members).get("uid", "") == entry["uid"]
    uids = [captions.json_of(sample.members).get("uid") for sample in pool.values()]
    own = [uid for uid in uids if uid]
    assert len(set(own)) == len(own)


def test_the_readme_counts_what_faults_json_lists(pool, faults):
    text = (POOL / "README.md").read_text()
    count = {name: int(number) for name, number in COUNT.findall(text)}
    assert text.count(f"{len(pool)} captioned pictures") == 1
    # the README counts the shuffled caption that the cut took; faults.json lists that sample as cut
    assert count.pop("captions shuffled among themselves") == len(faults["shuffled_caption"]) + 1
    assert count.pop("exact duplicates under another uid") == len(faults["exact_duplicate"])
    assert count.pop("near duplicates, re-encoded a tenth smaller") == len(faults["near_duplicate"])
    assert set(count.values()) == {1}
    assert len(count) == 4
    assert set(faults) == {
        "shuffled_caption", "exact_duplicate", "near_duplicate", "undecodable_image", "missing_caption",
        "caption_not_utf8", "oversized_image", "truncated_tar",
    }  # fmt: skip


def test_exact_duplicates_repeat_an_image_to_the_byte(pool, faults):
    digests = collections.Counter(
        hashlib.sha256(images.image_of(sample.members)[1]).digest() for sample in pool.values() if sample.members
    )
    assert len(faults["exact_duplicate"]) == 12
    for entry in faults["exact_duplicate"]:
        data = images.image_of(pool[entry["shard"], entry["key"]].members)[1]
        assert digests[hashlib.sha256(data).digest()] == 2


def test_near_duplicates_look_like_another_image_and_are_not_its_bytes(pool, faults):
    def small(sample):
        image = images.decode(images.image_of(sample.members)[1]).convert("RGB")
        return np.asarray(image.resize((16, 16), Image.Resampling.BOX), np.float32)

    planted = {(entry["shard"], entry["key"]) for entry in faults["near_duplicate"]}
    assert len(planted) == 12
    others = {}
    for place, sample in pool.items():
        if place not in planted:
            try:
                others[place] = small(sample)
            except SampleError:
                continue
    everything = np.stack(list(others.values()))
    for place in planted:
        assert np.abs(everything - small(pool[place])).mean((1, 2, 3)).min() < 12


def test_each_broken_sample_is_rejected_for_its_reason(pool, faults):
    expected = {
        "undecodable_image": "image_undecodable", "missing_caption": "caption_missing",
        "caption_not_utf8": "caption_not_utf8", "oversized_image": "image_too_large", "truncated_tar": "tar_truncated",
    }  # fmt: skip
    rules = index_row.ReadRules()
    faulty = [only(pool, faults, fault) for fault in expected]
    with ThreadPoolExecutor(2) as threads:
        for samples, reasons in ((faulty, list(expected.values())), (pool.values(), None)):
            fed = prefetch.prefetch_samples(samples, rules, [], threads, 64, Clock())
            statuses = [sample.row["status"] for sample in fed]
            assert reasons is None or statuses == reasons
    rejected = [status for status in statuses if status != "ok"]
    assert sorted(rejected) == sorted(expected.values())
    assert len(rejected) < 0.01 * len(pool)


def test_the_bomb_is_refused_by_its_header_alone(pool, faults):
    name, data = images.image_of(only(pool, faults, "oversized_image").members)
    assert name == "png"
    assert len(data) < 100_000
    with pytest.raises(SampleError, match="20000 x 20000"):
        images.decode(data)


def test_formats_and_members_vary(pool):
    kinds = collections.Counter(extension for sample in pool.values() for extension in sample.members)
    assert min(kinds[kind] for kind in ("jpg", "png", "webp", "gif", "author.txt")) >= 5
    assert 0.8 * len(pool) < kinds["json"] < len(pool)


def test_every_picture_is_attributed(pool):
    listed = {row[0]: row[1:] for row in json.loads((POOL / "attribution.json").read_text())}
    assert {key for _, key in pool} <= set(listed)
    assert all(title for title, _ in listed.values())


@pytest.mark.parametrize("name", assets.PACKAGES)
def test_a_missing_tool_is_one_line(monkeypatch, tmp_path, name):
    monkeypatch.setattr(assets, "PACKAGES", {name: assets.PACKAGES[name]})
    monkeypatch.setattr(assets.shutil, "which", lambda tool: None)
    with pytest.raises(SystemExit, match=rf"^demo: (apt-get|npm) is not installed, and {re.escape(name)} .*$"):
        assets.fetch(tmp_path)


@pytest.mark.parametrize(("found", "message"), [(None, "dpkg-deb is not installed"), ("/bin/x", "could not unpack")])
def test_a_package_that_cannot_be_unpacked_is_one_line(monkeypatch, tmp_path, found, message):
    (tmp_path / "a_1_all.deb").write_bytes(b"no package")
    pinned = hashlib.sha256(b"no package").hexdigest()
    monkeypatch.setattr(assets, "PACKAGES", {"a_1_all.deb": (["apt-get"], pinned)})
    monkeypatch.setattr(assets.shutil, "which", lambda tool: found)
    monkeypatch.setattr(assets.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 2))
    with pytest.raises(SystemExit, match=message) as error:
        assets.fetch(tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "unpacked/a").exists()


def test_a_package_with_other_bytes_is_refused(monkeypatch, tmp_path):
    (tmp_path / "a.tgz").write_bytes(b"other")
    monkeypatch.setattr(assets, "PACKAGES", {"a.tgz": (["npm"], "0" * 64)})
    with pytest.raises(SystemExit, match=r"has sha256 .* delete it and try again"):
        assets.fetch(tmp_path)


def test_no_demo_caption_is_in_the_training_pool_by_construction():
    from demo import make_pool

    made = [
        make_pool.Item(pairs.Pair("openclipart", Path(f"{n}.png"), f"thing {n % 7} blue hen", (), "", ""), None, n % 7)
        for n in range(21)
    ]
    training, demo = make_pool.split(made)
    assert not {item.group for item in training} & {item.group for item in demo}
    assert len(training) + len(demo) <= len(made)


def test_the_pool_of_winnow_demo_is_made_of_this_one(tmp_path):
    folder = Path(__file__).parents[1] / "beam_pipelines/demo_pool"
    make_small_pool.make(POOL, tmp_path)
    assert {path.name for path in folder.iterdir()} == {path.name for path in tmp_path.iterdir()} | {"README.md"}
    for made in tmp_path.iterdir():
        assert made.read_bytes() == (folder / made.name).read_bytes()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1e6
