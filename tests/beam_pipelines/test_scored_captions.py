"""The output carries the caption that the decision was made on."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from transforms.lib.reshard import json_fields, shard_formats
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample

ROWS = 6


def recaption(row):
    return f"a better caption of thing {row}"


@pytest.fixture
def recaptioned(tmp_path):
    """A pool whose json has another caption than its .txt; every third sample has no .txt, row 4 has equal ones."""
    tar = b""
    for row in range(ROWS):
        text = f"{recaption(row) if row == 4 else f'alt text {row}'}\n"
        members = {
            "jpg": picture(row),
            "txt": text.encode(),
            "json": json.dumps({"recaption": recaption(row)}).encode(),
        }
        if row % 3 == 0:
            del members["txt"]
        tar += write_sample(f"{row:04d}", list(members.items()))
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/0.tar").write_bytes(tar + END_OF_ARCHIVE)
    return tmp_path / "pool/*.tar"


def written(out, form):
    read = shard_formats.format_of(form)
    files = sorted((out / "shards").glob(f"*{read.suffix}"))
    return [dict(members) for file in files for _, members in read.read(io.BytesIO(file.read_bytes()))]


@pytest.mark.parametrize("form", shard_formats.NAMES)
def test_the_scored_caption_is_the_txt_and_the_former_text_stays(winnow, recaptioned, tmp_path, tiny_network, form):
    flags = ["--caption_field", "recaption", "--recipe", "no_filter", "--shuffle", "none", "--format", form]
    flags += ["--model", f"tiny={tiny_network}", "--max_reject_fraction", "0"]
    out = tmp_path / "out"
    assert winnow("curate", "--input", recaptioned, "--output", out, *flags)[0] == 0
    found = written(out, form)
    assert {members["txt"].decode().strip() for members in found} == {recaption(row) for row in range(ROWS)}
    former = {members["txt"].decode(): members.get("original.txt", b"").decode() for members in found}
    assert former == {
        recaption(0): "",
        recaption(1): "alt text 1\n",
        recaption(2): "alt text 2\n",
        recaption(3): "",
        recaption(4) + "\n": "",  # the .txt said the same, so its bytes stay
        recaption(5): "alt text 5\n",
    }
    assert winnow("verify", "--output", out)[0] == 0

    assert winnow("reshard", "--output", out, "--captions", "keep", "--format", form)[0] == 0
    kept = written(out, form)
    assert sum("txt" in members for members in kept) == 4
    assert not any("original.txt" in members for members in kept)
    assert winnow("verify", "--output", out)[0] == 0


def test_the_caption_column_of_parquet_is_the_scored_caption(winnow, recaptioned, tmp_path, tiny_network):
    flags = ["--caption_field", "recaption", "--recipe", "no_filter", "--format", "parquet", "--shuffle", "none"]
    model = ["--model", f"tiny={tiny_network}"]
    assert winnow("curate", "--input", recaptioned, "--output", tmp_path / "out", *flags, *model)[0] == 0
    table = pq.read_table(tmp_path / "out/shards/00000000.parquet", columns=["caption"])
    assert sorted(table["caption"].to_pylist()) == [recaption(row) for row in range(ROWS)]


def test_open_clips_loader_takes_every_sample_of_a_pool_with_captions_in_json_alone(winnow, tmp_path, tiny_network):
    import webdataset

    samples = [
        (f"{n}", [("jpg", picture(int(n))), ("json", json.dumps({"caption": f"thing {n}"}).encode())]) for n in "123"
    ]
    (tmp_path / "pool").mkdir()
    tar = b"".join(write_sample(key, [(name, data) for name, data in members]) for key, members in samples)
    (tmp_path / "pool/0.tar").write_bytes(tar + END_OF_ARCHIVE)
    flags = ["--recipe", "no_filter", "--model", f"tiny={tiny_network}"]
    assert winnow("curate", "--input", tmp_path / "pool/*.tar", "--output", tmp_path / "out", *flags)[0] == 0
    loader = webdataset.WebDataset(str(tmp_path / "out/shards/00000000.tar"), shardshuffle=False)
    pairs = list(loader.decode("pilrgb").to_tuple("jpg;png;jpeg;webp", "txt"))  # as open_clip's data.py does
    assert sorted(text for _, text in pairs) == ["thing 1", "thing 2", "thing 3"]


def test_a_word_that_captions_does_not_have_is_named_before_any_work(winnow, tmp_path):
    code, _, stderr = winnow("reshard", "--output", tmp_path, "--captions", "scored,keep")
    assert code == 2
    assert "--captions must be one of scored, keep" in stderr


@pytest.mark.parametrize("form", shard_formats.NAMES)
def test_chosen_columns_are_fields_of_the_json(winnow, recaptioned, tmp_path, tiny_network, form):
    out, model = tmp_path / "out", ["--model", f"tiny={tiny_network}"]
    flags = ["--recipe", "no_filter", "--caption_field", "recaption", "--format", form]
    added = ["--add_to_json", "uid,clip=tiny.score,copies,step,width"]
    assert winnow("curate", "--input", recaptioned, "--output", out, *flags, *added, *model)[0] == 0
    found = {json.loads(members["json"])["uid"]: json.loads(members["json"]) for members in written(out, form)}
    index = pq.read_table(out / "columns/index/0.parquet").to_pylist()
    scores = pq.read_table(out / "columns/tiny/0.parquet")["score"].to_pylist()
    assert sorted(found) == sorted(row["uid"] for row in index)
    for row, score in zip(index, scores, strict=True):
        fields = found[row["uid"]]
        assert fields["recaption"] == row["caption"]
        assert np.float32(fields["clip"]) == np.float32(score)
        assert len(str(fields["clip"])) < 14  # the shortest text of a float32
        assert (fields["copies"], fields["step"], fields["width"]) == (1, "", 50)
    assert winnow("verify", "--output", out)[0] == 0


def test_columns_that_are_not_there_are_named_before_any_work(winnow, recaptioned, tmp_path, tiny_network):
    flags = ["--input", recaptioned, "--output", tmp_path / "out", "--recipe", "no_filter"]
    added = ["--model", f"tiny={tiny_network}", "--add_to_json", "scoer,tiny.image,uid,uid"]
    code, _, stderr = winnow("curate", *flags, *added)
    assert code == 2
    assert "--add_to_json: no column set has 'scoer'" in stderr
    code, _, stderr = winnow("curate", *flags, *added[:2], "--add_to_json", "tiny.image,uid,uid")
    assert code == 2
    assert "--add_to_json tiny.image: it holds embeddings" in stderr
    assert "a field is named twice" in stderr
    assert not (tmp_path / "out").exists()


def test_json_that_is_no_object_stays_beside_the_new_one():
    assert json_fields.with_fields([("jpg", b"x"), ("json", b"[1]")], {"a": 1}) == [
        ("jpg", b"x"),
        ("json", b'{"a": 1}'),
        ("original.json", b"[1]"),
    ]
    members = [("json", b'{"a": NaN, "b": 1e999, "c": 2}'), ("txt", b"x")]
    assert json_fields.with_fields(members, {"c": None, "d": "e"}) == [
        ("json", b'{"a": null, "b": null, "c": null, "d": "e"}'),
        ("txt", b"x"),
    ]
    assert json_fields.with_fields([("txt", b"x")], {"a": 0.5}) == [("txt", b"x"), ("json", b'{"a": 0.5}')]
