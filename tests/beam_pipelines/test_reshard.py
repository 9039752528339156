"""What the resharder promises: equal shards, every byte of every kept member, the same bytes every time."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool, picture
from transforms.lib import uids
from transforms.lib.reshard import shard_formats
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

ROOT = Path(__file__).parents[2]


def write_subset(path, listed):
    with path.open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs(listed)))
    return path


def uid_of(number):
    return f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"


def simple_pool(folder, shards=3, rows=20, size=3000):
    """Writes shards of samples whose image is noise (never looked at); returns uid -> members."""
    folder.mkdir()
    noise = np.random.default_rng(0)
    made = {}
    for shard in range(shards):
        with (folder / f"{shard:05d}.tar").open("wb") as tar:
            for row in range(rows):
                uid = uid_of(shard * rows + row + 1)
                members = {"jpg": noise.bytes(size), "json": json.dumps({"uid": uid}).encode(), "txt": b"a thing"}
                made[uid] = members
                for extension in sorted(members, reverse=row % 2):  # any order of members
                    tar.write(write_member(f"{shard}/{row:04d}.{extension}", members[extension]))
            tar.write(END_OF_ARCHIVE)
    return made


def read_shards(folder, name="webdataset"):
    """Returns one list of (key, members) per output shard, in their order."""
    form = shard_formats.format_of(name)
    paths = sorted(folder.glob(f"*{form.suffix}"))
    return [[(key, dict(found)) for key, found in form.read(io.BytesIO(path.read_bytes()))] for path in paths]


@pytest.fixture
def pool(tmp_path):
    return tmp_path / "pool", simple_pool(tmp_path / "pool")


@pytest.fixture
def copied(winnow, pool, tmp_path):
    """Runs reshard by a subset: every uid 0 to 3 times; returns (output folder, uid -> copies)."""
    folder, made = pool
    times = {uid: number % 4 for number, uid in enumerate(made)}
    subset = write_subset(tmp_path / "s.npy", [uid for uid, count in times.items() for _ in range(count)])

    def run(name, *flags):
        out = tmp_path / name
        code, _, stderr = winnow("reshard", "--input", f"{folder}/*.tar", "--subset", subset, "--output", out, *flags)
        assert code == 0, stderr
        return out, times

    return run


@pytest.mark.parametrize("form", shard_formats.NAMES)
def test_every_member_of_every_copy_is_there_to_the_byte(winnow, copied, pool, form):
    out, times = copied("out", "--format", form, "--samples_per_shard", "20")
    shards = read_shards(out / "shards", form)
    assert [len(shard) for shard in shards] == [20, 20, 20, 20, 10]
    found = {key: members for shard in shards for key, members in shard}
    assert found == {f"{uid}-{j}": pool[1][uid] for uid, count in times.items() for j in range(count)}
    assert winnow("verify", "--output", out)[0] == 0


@pytest.mark.parametrize(("spread", "sizes"), [("false", [21] * 4 + [6]), ("true", [18] * 5)])
def test_a_small_last_shard_is_said_in_every_place_and_spread_on_request(winnow, copied, spread, sizes):
    out, _ = copied("out", "--samples_per_shard", "21", "--spread_remainder", spread)
    assert [len(shard) for shard in read_shards(out / "shards")] == sizes
    code, stdout, stderr = winnow("reshard", "--output", out, "--samples_per_shard", "21", "--spread_remainder", spread)
    assert code == 0, stderr
    warnings = json.loads(stdout.splitlines()[-1])["warnings"]
    assert warnings == json.loads((out / "shard_stats/summary.json").read_text())["warnings"]
    assert any("format unknown" in line for line in warnings)
    said = "1 of 5 shards have less than half of the samples of the largest (6, 21)"
    for text in ("\n".join(warnings), stderr, (out / "README.md").read_text()):
        assert (said in text) == (spread == "false")
    assert winnow("verify", "--output", out)[0] == 0


def test_only_beside_tars_there_are_files_for_loaders(copied):
    """pandas, polars and others take every file of the folder of a table for a part of it."""
    listed = {path.name for path in (copied("tars")[0] / "shards").iterdir()}
    assert listed == {"00000000.tar", "README.md", "sizes.json", "meta.json", "sample_ids.npy"}
    assert [path.name for path in (copied("rows", "--format", "parquet")[0] / "shards").iterdir()] == [
        "00000000.parquet"
    ]


def test_the_files_of_an_earlier_version_beside_the_shards_go(winnow, copied):
    out, _ = copied("out")
    (out / "shards/00000000_stats.json").write_text("{}")
    assert winnow("reshard", "--output", out)[0] == 0
    assert not (out / "shards/00000000_stats.json").exists()


def test_the_summary_counts_formats_and_members(copied):
    out, times = copied("out")
    summary = json.loads((out / "shard_stats/summary.json").read_text())
    assert sum(count for _, _, count in summary["images"]) == summary["samples"] == sum(times.values())
    assert {kind for _, kind, _ in summary["images"]} == {"unknown"}  # noise
    assert summary["members"]["txt"] <= summary["samples"]


@pytest.mark.parametrize("shuffle", ["none", "shards", "full"])
def test_copies_of_a_sample_lie_in_different_shards(copied, shuffle):
    out, _ = copied("out", "--samples_per_shard", "25", "--shuffle", shuffle)
    for shard in read_shards(out / "shards"):
        listed = [key.rpartition("-")[0] for key, _ in shard]
        assert len(set(listed)) == len(listed)


def test_the_order_is_that_of_the_pool_shuffled_or_shuffled_fully(winnow, pool, tmp_path):
    folder, made = pool
    subset = write_subset(tmp_path / "s.npy", list(made))
    orders = {}
    for shuffle in ("none", "shards", "full"):
        out = tmp_path / shuffle
        flags = ["--samples_per_shard", "20", "--shuffle", shuffle]
        assert winnow("reshard", "--input", f"{folder}/*.tar", "--subset", subset, "--output", out, *flags)[0] == 0
        orders[shuffle] = [[key[:-2] for key, _ in shard] for shard in read_shards(out / "shards")]
    listed = list(made)
    of_shard = {uid: number // 20 for number, uid in enumerate(listed)}
    assert orders["none"] == [listed[:20], listed[20:40], listed[40:]]
    assert sorted([*{of_shard[uid] for uid in shard}] for shard in orders["shards"]) == [[0], [1], [2]]
    assert all(shard != sorted(shard, key=listed.index) for shard in orders["shards"])
    for shard in orders["full"]:
        assert sorted(np.bincount([of_shard[uid] for uid in shard])) == [6, 7, 7]


def test_another_seed_gives_another_order_of_the_same_samples(copied):
    first, second = copied("a", "--shuffle_seed", "1")[0], copied("b", "--shuffle_seed", "2")[0]
    one, two = ([key for key, _ in read_shards(out / "shards")[0]] for out in (first, second))
    assert one != two
    assert sorted(one) == sorted(two)


def test_shards_keep_to_a_byte_limit(winnow, copied):
    out, _ = copied("out", "--samples_per_shard", "40", "--max_shard_bytes", "60000")
    sizes = [path.stat().st_size for path in sorted((out / "shards").glob("*.tar"))]
    assert max(sizes) <= 60000 + len(END_OF_ARCHIVE)
    counts = json.loads((out / "shards/sizes.json").read_text())
    assert list(counts) == [f"{number:08d}.tar" for number in range(len(counts))]
    assert sum(counts.values()) == 90
    assert set(list(counts.values())[:6]) <= {10, 11, 13, 14}  # 40 samples of 5 KiB are cut into equal parts
    assert winnow("verify", "--output", out)[0] == 0


def test_a_sample_above_the_byte_limit_is_named_before_any_shard_is_written(winnow, pool, tmp_path):
    subset = write_subset(tmp_path / "s.npy", [uid_of(1)])
    flags = ["--input", f"{pool[0]}/*.tar", "--subset", subset, "--output", tmp_path / "out"]
    code, _, stderr = winnow("reshard", *flags, "--max_shard_bytes", "1000")
    assert code == 1
    assert f"sample {uid_of(1)}-0 has 5632 bytes, more than --max_shard_bytes 1000" in stderr
    assert "Traceback" not in stderr
    assert "while running" not in stderr
    assert not (tmp_path / "out/shards").exists()


def test_another_form_replaces_the_older_shards(winnow, copied):
    out, _ = copied("out")
    assert winnow("reshard", "--output", out, "--format", "tfrecord")[0] == 0
    names = {path.name for path in (out / "shards").iterdir()}
    assert names == {"00000000.tfrecord"}
    assert {path.name for path in (out / "shard_stats").iterdir()} == {"00000000.json", "summary.json"}
    assert winnow("verify", "--output", out)[0] == 0


def test_the_sample_ids_are_those_of_the_subset(copied):
    out, times = copied("out")
    assert (out / "shards/sample_ids.npy").read_bytes() == (out / "subset.npy").read_bytes()
    assert len(np.load(out / "shards/sample_ids.npy")) == sum(times.values())


def test_verify_finds_a_changed_row_of_a_table(winnow, copied):
    out, _ = copied("out", "--format", "parquet")
    path = out / "shards/00000000.parquet"
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[3]["bytes"] = b"another picture"
    field = table.schema.field("image")
    pq.write_table(table.set_column(table.schema.names.index("image"), field, pa.array(images, field.type)), path)
    assert winnow("verify", "--output", out)[0] == 1
    problems = json.loads((out / "verify.json").read_text())["problems"]
    assert any("are not those of its input shard" in line for line in problems)


def test_wrong_values_are_told_at_once(winnow, pool, tmp_path):
    flags = ["--format", "zip", "--shuffle", "all", "--max_shard_bytes", "-1", "--coalesce_bytes", "-5"]
    flags += ["--samples_per_shard", "0", "--subset", tmp_path / "none.npy", "--blur_faces", f"{tmp_path}/*.parquet"]
    code, _, stderr = winnow("reshard", "--input", f"{pool[0]}/*.tar", "--output", tmp_path / "out", *flags)
    assert code == 2
    for text in (
        "--format must be parquet, tfrecord or webdataset, got 'zip'", "--shuffle must be none, shards or full",
        "--max_shard_bytes must be at least 0, got -1", "--coalesce_bytes must be at least 0, got -5",
        "--samples_per_shard must be at least 1", "none.npy does not exist", "--blur_faces: no file matches",
    ):  # fmt: skip
        assert text in stderr


def test_two_workers_and_any_order_of_the_inputs_give_the_same_bytes(copied, pool, tmp_path):
    expected = digests(copied("out", "--samples_per_shard", "7")[0])
    manifest = tmp_path / "reversed.txt"
    manifest.write_text("\n".join(str(path) for path in sorted(pool[0].glob("*.tar"), reverse=True)))
    flags = ["--input", f"@{manifest}", "--subset", tmp_path / "s.npy", "--samples_per_shard", "7"]
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_processing"]
    command = [sys.executable, "-m", "beam_pipelines.reshard", *flags, *workers, "--output", tmp_path / "two"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    found = digests(tmp_path / "two")
    names = [
        name
        for name in expected
        if name.startswith(("shards/", "shard_stats/", "columns/", "decisions/", "subset", "books"))
    ]
    assert len(names) > 30
    assert {name: found[name] for name in names} == {name: expected[name] for name in names}


def test_ten_kills_at_random_points_end_in_the_same_bytes(winnow, tmp_path):
    pool, out, whole = tmp_path / "pool", tmp_path / "out", tmp_path / "whole"
    made = simple_pool(pool, shards=4, rows=150, size=40_000)
    subset = write_subset(tmp_path / "s.npy", list(made))
    flags = ["--input", f"{pool}/*.tar", "--subset", str(subset), "--samples_per_shard", "2"]
    assert winnow("reshard", *flags, "--output", whole)[0] == 0
    command = [sys.executable, "-m", "beam_pipelines.reshard", *flags, "--output", str(out)]
    draw = random.Random(0)
    progress = []
    for turn in range(10):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        goal = draw.randint(0, 14) + (progress[-1] if progress else 0)
        end = time.monotonic() + 60
        while (
            process.poll() is None and len(list((out / "shard_stats").glob("*.json"))) < goal and time.monotonic() < end
        ):
            time.sleep(0.001)
        if turn == 0:  # once before anything is written
            time.sleep(draw.random())
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        progress.append(len(list((out / "shard_stats").glob("*.json"))))
        for stats in (out / "shard_stats").glob("0*.json"):  # what says it is finished is
            assert len(list(read_samples((out / "shards" / f"{stats.stem}.tar").open("rb")))) == 2
    assert 0 < progress[4] < progress[8] < 300
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counters"]["reshard.shards_skipped"] >= progress[-1]
    assert digests(out) == digests(whole)


def test_a_kill_between_a_shard_and_its_statistics_is_not_taken_for_an_older_run(winnow, copied, monkeypatch):
    from transforms.storage import filesystem

    out, _ = copied("out", "--shuffle_seed", "1")
    expected = digests(out)
    write = filesystem.write_atomic

    def killed(uri, data):
        if "/shard_stats/" in uri:
            raise RuntimeError("killed")
        write(uri, data)

    monkeypatch.setattr(filesystem, "write_atomic", killed)
    with pytest.raises(RuntimeError, match="killed"):
        winnow("reshard", "--output", out, "--shuffle_seed", "2")
    monkeypatch.undo()
    assert digests(out)["shards/00000000.tar"] != expected["shards/00000000.tar"]
    flags = ["--subset", out.parent / "s.npy", "--shuffle_seed", "1"]
    assert winnow("reshard", "--output", out, *flags)[0] == 0
    assert digests(out)["shards/00000000.tar"] == expected["shards/00000000.tar"]


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT}


def by_tarfile(path, form):
    """Writes three samples with keys of many kinds; returns uid -> members."""
    made = {}
    with tarfile.open(path, "w", format=FORMATS[form]) as tar:
        for number, key in enumerate(["plain", "folder/with space/x", "d/" + "k" * (90 if form == "ustar" else 150)]):
            members = {
                "txt": f"café {number}".encode(), "seg.png": picture(number, "PNG"), "jpg": picture(number),
                "json": json.dumps({"uid": uid_of(number + 1)}).encode(),
            }  # fmt: skip
            made[uid_of(number + 1)] = members
            for extension, data in members.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size, info.mtime, info.uname = len(data), 1.5e9 + number, "somebody"
                tar.addfile(info, io.BytesIO(data))
    return made


@pytest.mark.parametrize("form", FORMATS)
def test_tars_of_the_standard_library(winnow, tmp_path, form):
    (tmp_path / "pool").mkdir()
    made = by_tarfile(tmp_path / "pool/0.tar", form)
    check_copied(winnow, tmp_path, made)


def check_copied(winnow, tmp_path, made):
    subset = write_subset(tmp_path / "s.npy", list(made))
    flags = ["--input", f"{tmp_path}/pool/*.tar", "--subset", subset, "--output", tmp_path / "out"]
    code, _, stderr = winnow("reshard", *flags)
    assert code == 0, stderr
    found = {key[:-2]: members for shard in read_shards(tmp_path / "out/shards") for key, members in shard}
    assert found == made
    with tarfile.open(tmp_path / "out/shards/00000000.tar") as tar:
        assert all((info.mtime, info.uid, info.gid, info.uname, info.mode) == (0, 0, 0, "", 0o644) for info in tar)


@pytest.mark.parametrize("form", ["pax", "ustar", "gnutar"])
def test_tars_of_bsdtar(winnow, tmp_path, form):
    (tmp_path / "pool").mkdir()
    source = ROOT / f"tests/data/tars/bsdtar_{form}.tar"
    (tmp_path / "pool/0.tar").write_bytes(source.read_bytes())
    made = {}
    with tarfile.open(source) as tar:
        for info in tar:
            if info.isfile():
                key, _, extension = info.name.partition(".")
                made.setdefault(key, {})[extension] = tar.extractfile(info).read()
    assert len(made) == 3
    check_copied(winnow, tmp_path, {json.loads(members["json"])["uid"]: members for members in made.values()})


def test_tars_of_webdataset(winnow, tmp_path):
    import webdataset

    (tmp_path / "pool").mkdir()
    made = {}
    with webdataset.TarWriter(str(tmp_path / "pool/0.tar")) as sink:
        for number in range(3):
            members = {"jpg": picture(number), "txt": b"a thing", "json": json.dumps({"uid": uid_of(number)}).encode()}
            made[uid_of(number)] = members
            sink.write({"__key__": f"deep/folder/{number}", **members})
    check_copied(winnow, tmp_path, made)


def test_a_folder_as_img2dataset_leaves_it(winnow, tmp_path):
    """Keys of 12 digits with gaps and out of order, sidecars beside the tars, failed rows without an image."""
    (tmp_path / "pool").mkdir()
    made = {}
    for shard in range(2):
        with (tmp_path / f"pool/{shard:08d}.tar").open("wb") as tar:
            for row in (7, 2, 30, 11):
                uid = uid_of(100 * shard + row)
                fields = {
                    "uid": uid,
                    "key": f"{shard:08d}{row:04d}",
                    "status": "success",
                    "face_bboxes": [],
                    "exif": "{}",
                }
                members = {"jpg": picture(row), "json": json.dumps(fields).encode(), "txt": b"a thing"}
                made[uid] = members
                for extension, data in members.items():
                    tar.write(write_member(f"{shard:08d}{row:04d}.{extension}", data))
        (tmp_path / f"pool/{shard:08d}_stats.json").write_text('{"successes": 4}')
        pq.write_table(pa.table({"uid": [uid_of(1)], "status": ["failed_to_download"]}),
                       tmp_path / f"pool/{shard:08d}.parquet")  # fmt: skip
    check_copied(winnow, tmp_path, made)


def test_samples_without_json_are_found_by_the_documented_hash(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=False)
    scored = tmp_path / "scored"
    assert winnow("score", "--input", f"{pool}/*.tar", "--output", scored, "--model", f"net={tiny_network}")[0] == 0
    rows = [row for path in scored.glob("columns/index/*") for row in pq.read_table(path).to_pylist()]
    plain = [row for row in rows if int(row["key"][3:]) % 4 == 0]  # those that make_pool gives no json
    assert len(plain) == 12
    subset = write_subset(tmp_path / "s.npy", [row["uid"] for row in plain])
    flags = ["--input", f"{pool}/*.tar", "--subset", subset, "--output", tmp_path / "out"]
    assert winnow("reshard", *flags)[0] == 0
    found = [members for shard in read_shards(tmp_path / "out/shards") for _, members in shard]
    assert sorted(members["txt"].decode() for members in found) == sorted(row["caption"] for row in plain)


def faces_pool(folder, boxes):
    """Writes one shard of pictures; returns the uids."""
    folder.mkdir()
    listed = [uid_of(number + 1) for number in range(len(boxes))]
    with (folder / "0.tar").open("wb") as tar:
        for number, (uid, found) in enumerate(zip(listed, boxes, strict=True)):
            fields = {"uid": uid} | ({"face_bboxes": found} if found is not None else {})
            for extension, data in (("jpg", picture(number)), ("json", json.dumps(fields).encode()), ("txt", b"x")):
                tar.write(write_member(f"{number}.{extension}", data))
        tar.write(END_OF_ARCHIVE)
    return listed


@pytest.mark.parametrize("source", ["json", "{folder}/{{shard}}.parquet", "{folder}/meta*.parquet"])
def test_faces_are_blurred_inside_their_boxes(winnow, tmp_path, source):
    boxes = [[[0.1, 0.1, 0.6, 0.7]], [], None]
    folder = tmp_path / "pool"
    listed = faces_pool(folder, boxes if source == "json" else [None] * 3)
    if source != "json":
        table = pa.table({"uid": [uid.lstrip("0") for uid in listed], "face_bboxes": boxes})
        pq.write_table(table, folder / ("0.parquet" if "{{shard}}" in source else "meta1.parquet"))
    flags = ["--input", f"{folder}/*.tar", "--subset", write_subset(tmp_path / "s.npy", listed)]
    out = tmp_path / "out"
    code, _, stderr = winnow("reshard", *flags, "--output", out, "--blur_faces", source.format(folder=folder))
    assert code == 0, stderr
    found = dict(read_shards(out / "shards")[0])
    blurred = found[f"{listed[0]}-0"]
    assert list(blurred) == ["jpg", "json", "txt"]  # a WebP, under the one name of images
    image = np.asarray(Image.open(io.BytesIO(blurred["jpg"]))).astype(int)
    before = np.asarray(Image.open(io.BytesIO(picture(0)))).astype(int)
    assert np.abs(image - before)[8:24, 8:26].mean() > 4 * np.abs(image - before)[32:, 40:].mean()
    assert found[f"{listed[1]}-0"]["jpg"] == picture(1)
    assert found[f"{listed[2]}-0"]["jpg"] == picture(2)
    assert json.loads((out / "shards/meta.json").read_text())["blur_count"] == 1
    assert winnow("verify", "--output", out)[0] == 0


def test_other_boxes_in_the_same_file_are_blurred_anew(winnow, tmp_path):
    folder, out = tmp_path / "pool", tmp_path / "out"
    listed = faces_pool(folder, [None, None])
    flags = ["--input", f"{folder}/*.tar", "--subset", write_subset(tmp_path / "s.npy", listed), "--output", out]
    flags += ["--blur_faces", f"{folder}/m.parquet"]
    for boxes in ([[[0.1, 0.1, 0.6, 0.7]], []], [[], [[0.1, 0.1, 0.6, 0.7]]]):
        pq.write_table(pa.table({"uid": listed, "face_bboxes": boxes}), folder / "m.parquet")
        assert winnow("reshard", *flags)[0] == 0
        found = dict(read_shards(out / "shards")[0])
        assert [found[f"{uid}-0"]["jpg"].startswith(b"RIFF") for uid in listed] == [bool(one) for one in boxes]


def test_an_image_that_cannot_be_blurred_is_rejected_not_published(winnow, tmp_path):
    folder = tmp_path / "pool"
    listed = faces_pool(folder, [[[0, 0, 1, 1]], [[0, 0, 1, 1]]])
    data = (folder / "0.tar").read_bytes()
    (folder / "0.tar").write_bytes(data.replace(picture(0), b"x" * len(picture(0))))
    flags = ["--input", f"{folder}/*.tar", "--subset", write_subset(tmp_path / "s.npy", listed), "--blur_faces", "json"]
    out = tmp_path / "out"
    assert winnow("reshard", *flags, "--output", out, "--max_reject_fraction", "0.5")[0] == 0
    assert [key for key, _ in read_shards(out / "shards")[0]] == [f"{listed[1]}-0"]
    assert json.loads((out / "books.json").read_text())["rejected"] == {"image_undecodable": 1}


def test_metadata_without_boxes_is_refused_before_any_work(winnow, tmp_path):
    folder = tmp_path / "pool"
    listed = faces_pool(folder, [None])
    pq.write_table(pa.table({"uid": listed}), folder / "m.parquet")
    (folder / "n.parquet").write_bytes(b"no table")
    flags = ["--input", f"{folder}/*.tar", "--subset", write_subset(tmp_path / "s.npy", listed)]
    code, _, stderr = winnow("reshard", *flags, "--output", tmp_path / "out", "--blur_faces", f"{folder}/*.parquet")
    assert code == 2
    assert "m.parquet has no column face_bboxes" in stderr
    assert "n.parquet is no Parquet file" in stderr
    assert not (tmp_path / "out").exists()
