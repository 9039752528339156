"""A sample is the same sample wherever it lies: by its json, by Winnow's own key, or by what it is."""

import json
import tarfile

import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from transforms.lib import uid_rule
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


def write_pool(path, numbers, fields=lambda number: None, **others):
    """Writes a shard of pairs; ``fields`` gives the json of each, if any."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tar = b""
    for number in numbers:
        members = {"jpg": picture(number), "txt": f" thing {number}\n".encode()}
        if (document := fields(number)) is not None:
            members["json"] = json.dumps(document).encode()
        tar += b"".join(write_member(f"{number:06d}.{name}", data) for name, data in members.items())
    path.write_bytes(tar + END_OF_ARCHIVE)


def index(output):
    rows = [row for path in (output / "columns/index").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    return {row["key"]: row for row in rows}


def uids(output):
    return {key: row["uid"] for key, row in index(output).items()}


def output_keys(output):
    keys = set()
    for path in (output / "shards").glob("*.tar"):
        with tarfile.open(path) as tar:
            keys |= {name.partition("-")[0] for name in tar.getnames()}
    return keys


@pytest.fixture
def run(winnow, tiny_network, tmp_path):
    def run(job, output, *flags, inputs=(), network=True):
        model = ["--model", f"net={tiny_network}"] if network else []
        named = [word for text in inputs for word in ("--input", text)]
        code, _, stderr = winnow(job, *named, "--output", tmp_path / output, *model, *flags)
        assert code == 0, stderr
        return tmp_path / output

    return run


def test_uids_stay_when_the_pool_grows_moves_or_is_spelled_otherwise(run, tmp_path, monkeypatch):
    write_pool(tmp_path / "pool/a/0.tar", range(4))
    write_pool(tmp_path / "pool/b/0.tar", range(10, 14))
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    monkeypatch.chdir(tmp_path)
    alone = uids(run("score", "alone", inputs=[f"{tmp_path}/pool/a/*.tar"]))
    assert len(set(alone.values())) == 4
    for number, texts in enumerate((["pool/*/*.tar"], ["./pool/a/*.tar", "x/../link/b/0.tar"], ["link//**/*.tar"])):
        (tmp_path / "x").mkdir(exist_ok=True)
        grown = uids(run("score", f"grown{number}", inputs=texts))
        assert {key: grown[key] for key in alone} == alone
        assert len(grown) == 8
    (tmp_path / "pool/a/0.tar").rename(tmp_path / "renamed.tar")
    assert uids(run("score", "moved", "--caption_field", "", inputs=["renamed.tar"])) == alone


def test_finished_work_stays_when_the_pool_is_spelled_otherwise(run, winnow, tiny_network, tmp_path, monkeypatch):
    write_pool(tmp_path / "pool/0.tar", range(3))
    (tmp_path / "link").symlink_to(tmp_path / "pool")
    monkeypatch.chdir(tmp_path)
    out = run("score", "out", inputs=[f"{tmp_path}/pool/*.tar"])
    before = (out / "columns/index/0.parquet").read_bytes()
    for text in ("./pool/*.tar", "link//*.tar", f"file://{tmp_path}/pool/*.tar"):
        run("score", "out", inputs=[text])
    run("score", "out", inputs=[f"{tmp_path}/link/*.tar"])
    assert (out / "columns/index/0.parquet").read_bytes() == before
    code, _, stderr = winnow(
        "score", "--input", f"{tmp_path}/pool/?.tar", "--output", out, "--model", f"net={tiny_network}"
    )
    assert code == 2
    assert "was made with another configuration (--input" in stderr


def test_yesterdays_subset_finds_its_samples_in_the_pool_of_today(run, tmp_path):
    write_pool(tmp_path / "pool/a/0.tar", range(6))
    write_pool(tmp_path / "pool/b/0.tar", range(10, 16))
    recipe = ["--recipe", "clip_score", "--keep_fraction", "0.5"]
    first = run("curate", "first", *recipe, inputs=[f"{tmp_path}/pool/a/*.tar"])
    subset = ["--subset", first / "subset.npy"]
    grown = run("reshard", "grown", *subset, inputs=[f"{tmp_path}/pool/*/*.tar"], network=False)
    assert output_keys(grown) == output_keys(first)
    assert len(output_keys(first)) == 4  # DataComp's rule keeps one more than half


def test_a_second_pass_knows_the_samples_of_the_first(run, tmp_path):
    write_pool(tmp_path / "pool/0.tar", range(6), lambda number: {"uid": f"coco_{number}"} if number % 2 else None)
    first = run("curate", "first", "--recipe", "no_filter", inputs=[f"{tmp_path}/pool/*.tar"])
    second = run("curate", "second", "--recipe", "no_filter", inputs=[f"{first}/shards/*.tar"])
    assert set(uids(second).values()) == set(uids(first).values()) == output_keys(second)
    plain = run("curate", "third", "--recipe", "no_filter", "--uid_field", "none", inputs=[f"{second}/shards/*.tar"])
    assert set(uids(plain).values()) == set(uids(first).values())


UUID = "550e8400-e29b-41d4-a716-4466554400{:02d}"


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [("uuid", UUID.format, True), ("number", lambda k: 1000 + k, False), ("name", "coco_{}".format, True),
     ("float", lambda k: 7.0 + k, False), ("hex", "{:x}".format, False)],
)  # fmt: skip
def test_any_uid_text_is_taken(run, tmp_path, name, value, kept):
    write_pool(tmp_path / "pool/0.tar", range(4), lambda number: {"id": value(number)})
    rows = index(run("score", "out", "--uid_field", "id", inputs=[f"{tmp_path}/pool/*.tar"]))
    for number, row in enumerate(rows.values()):
        text = uid_rule.text_of(value(number))
        assert (row["status"], row["uid"]) == ("ok", uid_rule.of_text(text))
        assert row["uid_text"] == (text if kept else "")


@pytest.mark.parametrize("value", [[1], {"a": 1}, True, "", None])
def test_what_names_nothing_costs_the_field_and_not_the_pair(run, tmp_path, value):
    write_pool(tmp_path / "pool/0.tar", range(3), lambda number: {"uid": value})
    write_pool(tmp_path / "plain/0.tar", range(3))
    rows = index(run("score", "out", inputs=[f"{tmp_path}/pool/*.tar"]))
    assert {row["notices"] for row in rows.values()} == {"uid_unreadable" if value else ""}
    found = {key: row["uid"] for key, row in rows.items()}
    assert found == uids(run("score", "plain_out", inputs=[f"{tmp_path}/plain/*.tar"]))


def test_a_table_and_explain_take_the_names(run, winnow, tmp_path):
    write_pool(tmp_path / "pool/0.tar", range(4), lambda number: {"uid": f"coco_{number}"})
    out = run("curate", "out", "--recipe", "no_filter", inputs=[f"{tmp_path}/pool/*.tar"])
    (tmp_path / "scores.csv").write_text("uid,s\n" + "".join(f"coco_{n},{n}\n" for n in range(4)))
    code, _, stderr = winnow(
        "import-scores", "--input", tmp_path / "scores.csv", "--by", "uid", "--name", "t", "--output", out
    )
    assert code == 0, stderr
    scores = pq.read_table(out / "columns/t/0.parquet")["s"].to_pylist()
    assert scores == [0.0, 1.0, 2.0, 3.0]
    code, _, stderr = winnow("explain", "coco_2", "--output", out)
    assert code == 0, stderr
    assert "key 000002" in stderr
