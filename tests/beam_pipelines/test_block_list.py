"""What a block list names, or whose owner opted out, is in no output: by uid, host, url, image and perceptual hash."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.beam_pipelines.test_identity import index, output_keys, write_pool
from tests.conftest import picture

HOSTS = ("a.example.org", "EXAMPLE.org:8080", "notexample.org", "user@b.net")


def fields(number):
    """Returns the json of a sample: every fourth on a host of its own, and every fifth opted out in its own way."""
    given = {"uid": f"{number:032x}", "url": f"https://{HOSTS[number % 4]}/art/{number}.jpg?size=1"}
    if number % 5 == 0:
        given |= {0: {"noai": True}, 5: {"noai": "no"}, 10: {"opt_out": "yes"}}[number]
    return given


@pytest.fixture
def scored(winnow, tiny_network, tmp_path):
    for shard in range(3):
        write_pool(tmp_path / f"pool/{shard}.tar", range(4 * shard, 4 * shard + 4), fields)
    network = f"net={tiny_network}"
    code, _, stderr = winnow(
        "score", "--input", f"{tmp_path}/pool/*.tar", "--output", tmp_path / "out", "--model", network
    )
    assert code == 0, stderr
    return tmp_path / "out"


@pytest.fixture
def select(winnow, scored):
    def select(*flags, recipe="no_filter"):
        code, _, stderr = winnow("select", "--output", scored, "--recipe", recipe, *flags)
        books = json.loads((scored / "books.json").read_text()) if code == 0 else {}
        return code, stderr, books

    return select


def dropped(output):
    """Returns number of a dropped sample -> label of the step."""
    current = json.loads((output / "selections/current.json").read_text())
    (folder,) = [path for path in (output / "selections").iterdir() if path.is_dir() and path.name in str(current)]
    found = {}
    for path in sorted((folder / "decisions").glob("*.parquet")):
        for row, step in enumerate(pq.read_table(path)["step"].to_pylist()):
            found |= {4 * int(path.stem) + row: step} if step else {}
    return found


def test_the_index_says_where_a_sample_is_from_and_whether_it_opted_out(scored):
    rows = index(scored)
    assert rows["000004"]["url"] == "https://a.example.org/art/4.jpg?size=1"
    assert {key for key, row in rows.items() if row["opt_out"]} == {"000000", "000010"}
    assert rows["000010"]["opt_out"] == "opt_out"


ENTRIES = {
    "uid": (f"{3:032x}", {3}),
    "short uid": (f"uid:{0xA:x}", {10}),
    "host": ("example.org", {0, 1, 4, 5, 8, 9}),
    "subdomain": ("*.A.example.org", {0, 4, 8}),
    "host with user": ("host: b.net", {3, 7, 11}),
    "pattern": ("*/art/1*.jpg*", {1, 10, 11}),
    "whole url": ("http://notexample.org/art/6.jpg?size=1", {6}),
    "no part of a url": ("url:notexample.org/art/6", set()),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_line_of_text_says_what_it_blocks(select, scored, tmp_path, entry):
    text, wanted = ENTRIES[entry]
    (tmp_path / "block.txt").write_text(f"# a list\r\n\n{text}\r\n")
    code, stderr, books = select("--block_list", tmp_path / "block.txt")
    assert code == 0, stderr
    assert dropped(scored) == dict.fromkeys(wanted, "block_list")
    assert books["dropped"].get("block_list", 0) == len(wanted)


@pytest.mark.parametrize("form", ["txt", "csv", "parquet"])
def test_images_are_known_by_digest_and_by_perceptual_hash(select, scored, tmp_path, form):
    rows = index(scored)
    digest, near = rows["000002"]["image_sha256"], rows["000007"]["phash"] ^ 0b101
    path = tmp_path / f"block.{form}"
    if form == "txt":
        path.write_text(f"{digest.upper()}\nphash:{near:016x}\n")
    elif form == "csv":
        with path.open("w") as file:
            csv.writer(file).writerows(
                [["why", "sha256", "phash"], ["art, mine", digest, ""], ["", "", f"{near:016x}"]]
            )
    else:
        pq.write_table(pa.table({"image_sha256": [digest, None], "phash": pa.array([None, near], pa.uint64())}), path)
    close = {n for n in range(12) if bin(rows[f"{n:06d}"]["phash"] ^ near).count("1") <= 2}
    assert 7 in close
    code, stderr, _ = select("--block_list", path)
    assert code == 0, stderr
    assert set(dropped(scored)) == {2} | close
    assert select("--block_list", path, "--block_radius", "1")[0] == 0
    assert 7 not in dropped(scored)


def test_lists_have_names_of_their_own_and_come_before_the_recipe(select, scored, tmp_path):
    np.save(tmp_path / "a.npy", np.array([(0, 5)], "u8,u8"))
    (tmp_path / "b.txt").write_text("host:b.net\n")
    flags = ("--block_list", tmp_path / "b.txt", "--block_list", tmp_path / "a.npy")
    code, stderr, books = select(*flags, "--keep_fraction", "0.5", recipe="clip_score")
    assert code == 0, stderr
    assert books["dropped"]["block_list"] == 1
    assert books["dropped"]["block_list_2"] == 3
    assert {n: step for n, step in dropped(scored).items() if step.startswith("block")} == {
        5: "block_list", 3: "block_list_2", 7: "block_list_2", 11: "block_list_2"}  # fmt: skip


def test_a_changed_list_makes_another_selection(select, scored, tmp_path):
    listed = tmp_path / "block.txt"
    for number in (1, 2):
        listed.write_text(f"{number:032x}\n")
        assert select("--block_list", listed)[0] == 0
        assert set(dropped(scored)) == {number}
    assert len(list((scored / "selections").glob(f"{'[0-9a-f]' * 16}"))) == 2


BAD = {
    "block.txt": (b"abc\n", "line 1, 'abc', does not say what it is; write one of uid:, host:, url:, sha256:, phash:"),
    "hash.txt": (b"\nphash:12\n", "phash '12' must be 16 hex digits"),
    "empty.txt": (b"# nothing\n", "blocks nothing, for it has no entry"),
    "latin.txt": (b"caf\xe9.example.org\n", "cannot be read as a block list"),
    "other.csv": (b"name,why\nx,y\n", "has none of the columns uid, host"),
    "cut.parquet": (b"PAR1", "cannot be read as a block list"),
    "cut.npy": (b"\x93NUMPY", "damaged .npy header"),
}


@pytest.mark.parametrize("name", [*BAD, "none.txt"])
def test_a_list_that_cannot_be_used_is_one_line_before_any_work(select, scored, tmp_path, name):
    data, words = BAD.get(name, (None, "does not exist; check the address"))
    if data is not None:
        (tmp_path / name).write_bytes(data)
    code, stderr, _ = select("--block_list", tmp_path / name)
    assert code == 2
    assert f"--block_list {tmp_path / name}" in stderr
    assert words in stderr
    assert "Traceback" not in stderr
    assert not (scored / "selections").exists()


def test_a_recipe_may_name_a_list_and_a_column_of_opt_outs(select, scored, tmp_path):
    (tmp_path / "block.txt").write_text("b.net\n")
    recipe = tmp_path / "mine.yaml"
    text = "name: mine\nsource: mine\nsteps:\n- opt_out: {}\n- block_list: {file: %s, by: [%s]}\n"
    recipe.write_text(text % (tmp_path / "block.txt", "uid"))
    code, stderr, _ = select(recipe=recipe)
    assert code == 2
    assert "has entries of host; write by: [host]" in stderr
    recipe.write_text(text % (tmp_path / "block.txt", "host"))
    code, stderr, books = select(recipe=recipe)
    assert code == 0, stderr
    assert books["dropped"] == {"opt_out": 2, "block_list": 3}
    assert dropped(scored)[0] == "opt_out"


def test_a_pool_without_urls_is_said(winnow, tiny_network, tmp_path):
    write_pool(tmp_path / "pool/0.tar", range(4))
    (tmp_path / "block.txt").write_text("b.net\n")
    base = ("--output", tmp_path / "out")
    network = f"net={tiny_network}"
    assert winnow("score", "--input", f"{tmp_path}/pool/*.tar", *base, "--model", network)[0] == 0
    code, _, stderr = winnow("select", *base, "--recipe", "no_filter", "--block_list", tmp_path / "block.txt")
    assert code == 0
    assert "block_list: no sample of shard 0 has a url, by which" in stderr
    assert "sha256" not in stderr


def test_curate_leaves_out_what_is_blocked(winnow, tiny_network, tmp_path):
    write_pool(tmp_path / "pool/0.tar", range(8), lambda number: fields(number) if number % 5 else {})
    (tmp_path / "block.txt").write_text("notexample.org\n" + f"{1:032x}\n")
    out, network = tmp_path / "out", f"net={tiny_network}"
    flags = ("--recipe", "no_filter", "--model", network, "--block_list", tmp_path / "block.txt")
    code, _, stderr = winnow("curate", "--input", f"{tmp_path}/pool/*.tar", "--output", out, *flags)
    assert code == 0, stderr
    left = {int(key, 16) for key in output_keys(out)}
    assert not {1, 2, 6} & left
    assert len(left) == 5
    assert winnow("verify", "--output", out)[0] == 0


@pytest.fixture
def subset(tmp_path):
    np.save(tmp_path / "subset.npy", np.array([(0, number) for number in (1, 2, 2, 3, 6)], "u8,u8"))
    return tmp_path / "subset.npy"


@pytest.mark.parametrize("indexed", [False, True])
def test_a_subset_is_copied_without_what_is_blocked(winnow, scored, subset, tmp_path, indexed):
    (tmp_path / "block.txt").write_text(f"notexample.org\nuid:{9:x}\n")
    out = scored if indexed else tmp_path / "copied"
    flags = ("--subset", subset, "--block_list", tmp_path / "block.txt")
    flags += () if indexed else ("--input", f"{tmp_path}/pool/*.tar")
    code, _, stderr = winnow("reshard", "--output", out, *flags)
    assert code == 0, stderr
    assert {int(key, 16) for key in output_keys(out)} == {1, 3}
    books = json.loads((out / "books.json").read_text())
    assert (books["copies"], books["dropped"]["block_list"]) == (2, 4)
    assert winnow("verify", "--output", out)[0] == 0


def test_reshard_says_where_a_block_list_cannot_work(winnow, scored, subset, tmp_path):
    (tmp_path / "block.txt").write_text("f" * 64 + "\n")
    flags = ("--block_list", tmp_path / "block.txt")
    code, _, stderr = winnow("reshard", "--output", scored, *flags)
    assert code == 2
    assert "--block_list goes with --subset here; give it to `winnow select`" in stderr
    new = ("--output", tmp_path / "copied", "--input", f"{tmp_path}/pool/*.tar")
    code, _, stderr = winnow("reshard", *new, "--subset", subset, *flags)
    assert code == 2
    assert "names images, and reshard --input looks at none" in stderr
    assert not (tmp_path / "copied").exists()


def test_explain_names_the_list_and_what_it_went_by(select, winnow, scored, tmp_path):
    (tmp_path / "block.txt").write_text("b.net\nphash:00000000000000ff\n")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsource: mine\nsteps:\n- opt_out: {}\n")
    assert select("--block_list", tmp_path / "block.txt", recipe=recipe)[0] == 0
    code, stdout, stderr = winnow("explain", f"{3:032x}", f"{0:032x}", "--output", scored)
    assert code == 0, stderr
    found = {one["uid"]: one for one in json.loads(stdout)["samples"]}
    assert "block_list" in found[f"{3:032x}"]["outcome"]
    assert "opt_out" in found[f"{0:032x}"]["outcome"]
    assert "https://user@b.net/art/3.jpg?size=1" in json.dumps(found[f"{3:032x}"])


def test_rows_of_parquet_have_urls_too(winnow, tiny_network, tmp_path):
    rows = [
        {"image": picture(n), "caption": f"thing {n}", "URL": f"https://{HOSTS[n]}/{n}", "noai": n == 1}
        for n in range(4)
    ]
    (tmp_path / "pool").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pool/0.parquet")
    out, network = tmp_path / "out", f"net={tiny_network}"
    code, _, stderr = winnow("score", "--input", f"{tmp_path}/pool/*.parquet", "--output", out, "--model", network)
    assert code == 0, stderr
    table = pq.read_table(out / "columns/index/0.parquet")
    assert table["url"].to_pylist() == [row["URL"] for row in rows]
    assert table["opt_out"].to_pylist() == ["", "noai", "", ""]
