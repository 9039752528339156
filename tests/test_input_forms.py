"""Pools that are no tars: Parquet with image bytes, folders of pictures; and what is said of anything else."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from transforms.lib.errors import InputError
from transforms.lib.inputs import folder_input
from transforms.lib.tar.shard_samples import read_samples
from transforms.shards import find_shards
from transforms.storage import pool_files

FLAGS = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.5", "--samples_per_shard", "7"]
COUNT = 20


def hub_rows():
    return [
        {"image": {"bytes": picture(n), "path": f"{n}.png" if n % 2 else None}, "text": f"thing {n}", "score": n / 7}
        for n in range(COUNT)
    ]


def as_hub(folder):
    pq.write_table(pa.Table.from_pylist(hub_rows()), folder / "train-00000-of-00001.parquet", row_group_size=6)
    return f"{folder}/*.parquet"


def as_img2dataset(folder):
    rows = [
        {"key": f"{n:09d}", "jpg": picture(n), "caption": f"thing {n}", "url": "http://h/x", "nan": float("nan")}
        for n in range(COUNT)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "00000.parquet")
    return f"{folder}/00000.parquet"


def as_pairs(folder):
    for n in range(COUNT):
        (folder / f"pic {n}.JPG").write_bytes(picture(n))
        (folder / f"pic {n}.txt").write_text(f"thing {n}")
    return f"{folder}/"


def as_imagefolder(folder):
    lines = [json.dumps({"file_name": f"{n}.jpg", "text": f"thing {n}", "split": "a"}) for n in range(COUNT)]
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    for n in range(COUNT):
        (folder / f"{n}.jpg").write_bytes(picture(n))
    return f"{folder}/*"


def as_imagefolder_csv(folder):
    lines = ["file_name,caption", *(f'{n}.jpg,"thing {n}"' for n in range(COUNT))]
    (folder / "metadata.csv").write_text("\n".join(lines))
    for n in range(COUNT):
        (folder / f"{n}.jpg").write_bytes(picture(n))
    return f"{folder}"


FORMS = [as_hub, as_img2dataset, as_pairs, as_imagefolder, as_imagefolder_csv]


@pytest.mark.parametrize("write", FORMS)
def test_a_pool_of_this_form_is_curated_verified_and_its_pictures_are_unchanged(write, tiny_network, tmp_path, winnow):
    (tmp_path / "pool").mkdir()
    pattern, out = write(tmp_path / "pool"), tmp_path / "out"
    code, printed, err = winnow("curate", "--input", pattern, "--output", out, "--model", f"net={tiny_network}", *FLAGS)
    assert code == 0, err
    assert json.loads(printed.splitlines()[-1])["samples"] == COUNT
    assert json.loads(printed.splitlines()[-1])["kept"] == 8
    code, printed, err = winnow("verify", "--output", out)
    assert code == 0, err
    kept = {}
    for path in (out / "shards").glob("*.tar"):
        for sample in read_samples(path.open("rb")):
            image = next(sample.members[kind] for kind in ("jpg", "png") if kind in sample.members)
            kept[sample.members["txt"].decode()] = image
    assert len(kept) == 8
    assert all(picture(int(text.split()[1])) == image for text, image in kept.items())


def test_the_parquet_that_winnow_writes_is_read_again(small_pool, tiny_network, tmp_path, winnow):
    flags = ["--model", f"net={tiny_network}", *FLAGS, "--format", "parquet"]
    assert winnow("curate", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "one", *flags)[0] == 0
    code, _, err = winnow(
        "score", "--input", tmp_path / "one/shards/*.parquet", "--output", tmp_path / "two", *flags[:2]
    )
    assert code == 0, err
    first, second = ({}, {})
    for path in (tmp_path / "one/shards").glob("*.parquet"):
        first |= {row["uid"]: row["caption"] for row in pq.read_table(path).to_pylist()}
    for path in (tmp_path / "two/columns/index").glob("**/*.parquet"):
        second |= {row["uid"]: row["caption"] for row in pq.read_table(path).to_pylist()}
    assert second == first


def test_rows_without_an_image_and_of_a_damaged_row_group_are_rejected_one_by_one(tiny_network, tmp_path, winnow):
    rows = hub_rows()
    rows[3]["image"] = None
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5, compression="none", write_page_checksum=True)
    data = bytearray(path.read_bytes())
    at = data.find(picture(7))
    data[at + 30 : at + 60] = bytes(30)
    path.write_bytes(data)
    code, printed, err = winnow(
        "score", "--input", path, "--output", tmp_path / "out", "--model", f"net={tiny_network}"
    )
    assert code == 0, err
    counters = json.loads(printed.splitlines()[-1])["counters"]
    assert counters["score.in"] == COUNT
    assert counters["score.rejected_image_missing"] == 1 + 5


def test_a_file_that_only_looks_like_parquet_is_one_rejected_row(tiny_network, tmp_path, winnow):
    as_hub(tmp_path)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, printed, err = winnow("score", "--input", tmp_path / "*.parquet", *flags)
    assert code == 0, err
    counters = json.loads(printed.splitlines()[-1])["counters"]
    assert counters["score.in"] == COUNT + 1
    assert counters["score.rejected_tar_corrupt"] == 1


def test_a_table_of_addresses_is_refused_with_the_cure(tiny_network, tmp_path, winnow):
    pq.write_table(pa.table({"url": ["http://h/x"], "caption": ["x"]}), tmp_path / "a.parquet")
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, err = winnow("score", "--input", tmp_path / "a.parquet", *flags)
    assert code == 2
    assert "no column holds image bytes (columns: url, caption)" in err
    assert "img2dataset" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.zip", "unpack it into a folder"),
        ("a.tfrecord", "webdataset.TarWriter"),
        ("urls.csv", "img2dataset"),
        ("urls.jsonl", "img2dataset"),
        ("a.mp4", "ffmpeg"),
        ("a.arrow", "to_parquet"),
        ("a.unknown", "tars, Parquet files with image bytes, and folders of pictures are read"),
    ],
)
def test_anything_else_is_refused_with_what_to_do(name, said, tiny_network, tmp_path, winnow):
    (tmp_path / name).write_bytes(b"x")
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, err = winnow("score", "--input", tmp_path / name, *flags)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_tables_and_pictures_beside_tars_are_left_out_and_said(small_pool):
    pq.write_table(pa.table({"url": ["x"]}), small_pool / "00000.parquet")
    (small_pool / "cover.jpg").write_bytes(picture(1))
    lines = []
    assert len(find_shards([f"{small_pool}/*"], tell=lines.append)) == 3
    assert lines == [f"--input: 2 files that are no shards are left out ({small_pool}/00000.parquet ...)"]


def test_folders_are_cut_into_sorted_blocks_that_know_when_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_input, "BLOCK_SAMPLES", 4)
    for folder in ("a", "b/c"):
        (tmp_path / folder).mkdir(parents=True)
        for n in range(10):
            (tmp_path / folder / f"{n}.png").write_bytes(picture(n, "PNG"))
    shards = find_shards([f"{tmp_path}/**"])
    assert [shard.name for shard in shards] == [f"{folder}/{n:05d}" for folder in ("a", "b/c") for n in range(3)]
    keys = []
    for shard in shards[:3]:
        with pool_files.open_shard(shard.uri) as stream:
            keys += [sample.key for sample in read_samples(stream)]
    assert keys == [str(n) for n in range(10)]
    shutil.copy(tmp_path / "a/9.png", tmp_path / "a/00.png")
    with pytest.raises(InputError, match="have changed since they were listed"), pool_files.open_shard(shards[0].uri):
        pass


def test_some_pictures_of_a_folder_are_not_a_pool(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(picture(n, "PNG"))
    with pytest.raises(InputError, match=r"1 of the 3 pictures in .* are named; give the folder"):
        find_shards([f"{tmp_path}/1.png"])


def unused_rows_pool(folder, monkeypatch):
    """A folder of two blocks with five rows that no picture takes, a text and a json without one, and a table alone."""
    monkeypatch.setattr(folder_input, "BLOCK_SAMPLES", 3)
    for n in range(5):
        (folder / f"{n}.jpg").write_bytes(picture(n))
    names = ["0.jpg", "1.JPG", "sub/2.jpg", "2.jpg", "4.jpg", "4.jpg", ["3.jpg"], "x.txt", None]
    rows = [{"file_name": name, "text": f"row {n}"} for n, name in enumerate(names)]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "3.txt").write_text("a text")
    (folder / "1.txt").write_text("a text")
    (folder / "x.txt").write_text("no picture")
    (folder / "y.json").write_text("{}")
    (folder / "tables").mkdir()
    (folder / "tables/metadata.csv").write_text("file_name\n")


def test_rows_that_no_picture_takes_are_counted_and_said_in_line_report_and_books(
    tiny_network, tmp_path, winnow, monkeypatch
):
    (tmp_path / "pool").mkdir()
    unused_rows_pool(tmp_path / "pool", monkeypatch)
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, err = winnow("curate", "--input", f"{tmp_path}/pool", *flags, "--keep_fraction", "1")
    assert code == 0, err
    said = "rows of metadata.csv and metadata.jsonl that are not used"
    assert next(line for line in err.splitlines() if line.startswith(said)).endswith(": 6")
    assert said in (tmp_path / "out/report.html").read_text()
    selection = json.loads((tmp_path / "out/selections/current.json").read_text())["id"]
    books = json.loads((tmp_path / f"out/selections/{selection}/books.json").read_text())
    assert books["tar"]["unused_rows"] == 6
    assert winnow("verify", "--output", tmp_path / "out")[0] == 0


def test_texts_json_and_tables_without_a_picture_are_said(tmp_path, monkeypatch):
    unused_rows_pool(tmp_path, monkeypatch)
    lines = []
    find_shards([f"{tmp_path}/**"], tell=lines.append)
    assert lines == [
        f"--input: 3 texts, json files and tables without a picture are left out ({tmp_path}/tables/metadata.csv ...)"
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_table_serves_the_folders_below_it_that_have_none(form, tiny_network, tmp_path, winnow, monkeypatch):
    pool = tmp_path / "pool"
    for n, name in enumerate(["a.jpg", "one/b.jpg", "one/two/c.jpg", "own/o.jpg"]):
        (pool / name).parent.mkdir(parents=True, exist_ok=True)
        (pool / name).write_bytes(picture(n))
    good = ["a.jpg", "./one/b.jpg", "one/two/c.jpg"]
    unused = ["own/o.jpg", "one/gone.jpg", "gone/x.jpg", "../a.jpg", "/a.jpg"]  # the first has a nearer table
    rows = [{"file_name": name, "text": f"from {name}"} for name in [*good, *unused]]
    for folder, of_folder in ((pool, rows), (pool / "own", [{"file_name": "o.jpg", "text": "its own"}])):
        table = pa.Table.from_pylist(of_folder)
        if form == "csv":
            table.to_pandas().to_csv(folder / "metadata.csv", index=False)
        else:
            table.to_pandas().to_json(folder / "metadata.jsonl", orient="records", lines=True)
    out = tmp_path / "out"
    code, _, err = winnow("score", "--input", pool, "--output", out, "--model", f"net={tiny_network}")
    assert code == 0, err
    index = {
        row["key"]: row
        for file in (out / "columns/index").rglob("*.parquet")
        for row in pq.read_table(file).to_pylist()
    }
    assert {key: row["caption"] for key, row in index.items()} == {
        "a": "from a.jpg", "b": "from ./one/b.jpg", "c": "from one/two/c.jpg", "o": "its own"
    }  # fmt: skip
    assert next(line for line in err.splitlines() if "metadata.jsonl that are not used" in line).endswith(": 4")
    assert "left out" not in err
    (pool / f"metadata.{form}").write_text("file_name,text\n" if form == "csv" else "{}\n")
    code, _, err = winnow("score", "--input", pool, "--output", tmp_path / "again", "--model", f"net={tiny_network}")
    assert (code, "3 caption_missing" in err) == (0, True)


def test_two_pictures_of_one_name_are_counted(tiny_network, tmp_path, winnow):
    (tmp_path / "pool").mkdir()
    for n, name in enumerate(["a.jpg", "a.jpeg", "b.png"]):
        (tmp_path / "pool" / name).write_bytes(picture(n))
        (tmp_path / "pool" / f"{name[0]}.txt").write_text("a text")
    code, _, err = winnow(
        "score", "--input", tmp_path / "pool", "--output", tmp_path / "out", "--model", f"net={tiny_network}"
    )
    assert code == 0, err
    assert "1 samples have several images" in err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file_name,caption\n0.jpg,café\n".encode("latin-1"), "metadata.csv is not UTF-8 (invalid continuation byte)"),
        (b"file_name,caption\n0.jpg," + b"x" * 200_000, "metadata.csv: field larger than field limit"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(table, said, tiny_network, tmp_path, winnow):
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/0.jpg").write_bytes(picture(0))
    (tmp_path / "pool/metadata.csv").write_bytes(table)
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, err = winnow("score", "--input", f"{tmp_path}/pool", *flags)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_rows_of_one_key_are_samples_of_their_own(tiny_network, tmp_path, winnow):
    keys = ["a", "a", "a", "b", "a", None, ""]
    rows = [{"key": key, "jpg": picture(n), "caption": f"thing {n}"} for n, key in enumerate(keys)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    flags = ["--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    code, _, err = winnow("score", "--input", tmp_path / "a.parquet", *flags)
    assert code == 0, err
    index = pq.read_table(tmp_path / "out/columns/index/a.parquet").to_pylist()
    assert [row["caption"] for row in index] == [f"thing {n}" for n in range(len(keys))]
    assert [row["key"] for row in index] == [
        *(f"a{end}" for end in ("", "-000000001", "-000000002")),
        "b",
        "a-000000004",
        "000000005",
        "000000006",
    ]
    assert {row["status"] for row in index} == {"ok"}


def test_a_folder_with_hidden_pictures_is_read_without_them(tmp_path):
    for name in ("0.jpg", "._0.jpg", "1.jpg"):
        (tmp_path / name).write_bytes(picture(0))
    lines = []
    (shard,) = find_shards([f"{tmp_path}/"], tell=lines.append)
    with pool_files.open_shard(shard.uri) as stream:
        assert [sample.key for sample in read_samples(stream)] == ["0", "1"]
    assert lines == [
        f"--input: 1 hidden shards are left out ({tmp_path}/._0.jpg ...); without wildcards they are taken"
    ]
