import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError

SETS = {"index": ["uid", "status"], "a": ["score", "image"], "b": ["score", "language"]}


def test_embeddings_and_scores_survive_the_file():
    random = np.random.default_rng(0)
    image, text = random.normal(size=(2, 5, 8)).astype(np.float32)
    score = np.array([0.1, np.nan, -1, 1, 0], np.float32)
    data = columns.to_parquet(columns.score_table(score, image, text), "abc", uri="x.tar")
    table = pq.read_table(io.BytesIO(data))
    np.testing.assert_array_equal(table["score"].to_numpy(), score)
    np.testing.assert_array_equal(columns.embeddings(table["image"]), image.astype(np.float16))
    np.testing.assert_array_equal(columns.to_numpy("text", table["text"]), text.astype(np.float16))
    assert columns.facts_of(pq.read_schema(io.BytesIO(data))) == {"stamp": "abc", "uri": "x.tar"}


def test_equal_tables_give_equal_bytes():
    table = pa.table({"x": [1, 2, 3], "status": ["ok", "ok", "no"]})
    assert columns.to_parquet(table, "s") == columns.to_parquet(table.slice(0), "s")
    assert columns.to_parquet(table, "s") != columns.to_parquet(table, "t")


def test_an_empty_shard_is_a_file_too():
    empty = columns.score_table(np.zeros(0, np.float32), np.zeros((0, 4), np.float32), np.zeros((0, 4), np.float32))
    table = pq.read_table(io.BytesIO(columns.to_parquet(empty, "s")))
    assert len(table) == 0
    assert columns.embeddings(table["image"]).shape[0] == 0


def test_names_find_their_sets():
    found = columns.resolve(["language", "a.score", "uid"], SETS)
    assert found == {"language": ("b", "language"), "a.score": ("a", "score"), "uid": ("index", "uid")}


def test_the_name_of_a_set_stands_for_its_own_score_alone():
    assert columns.resolve(["a", "b"], SETS) == {"a": ("a", "score"), "b": ("b", "score")}
    with pytest.raises(ConfigError, match="no column set has 'index'"):
        columns.resolve(["index"], SETS)


def test_ambiguous_and_unknown_names_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        columns.resolve(["score", "languge"], SETS)
    assert "write one of a.score, b.score" in caught.value.problems[0]
    assert "did you mean language?" in caught.value.problems[1]


def test_missing_uids_become_zero():
    column = pa.chunked_array([["0123456789abcdef" * 2, ""]])
    assert columns.to_numpy("uid", column).tolist() == [[0x0123456789ABCDEF] * 2, [0, 0]]


def test_uids_become_pairs_whatever_the_chunks():
    texts = [f"{n * 0x123456789ABCDEF:032x}" for n in range(7)]
    texts[3] = ""
    expected = [[int(text[:16] or "0", 16), int(text[16:] or "0", 16)] for text in texts]
    chunked = pa.chunked_array([texts[:2], [], texts[2:]], pa.string())
    for column in (chunked, pa.chunked_array([pa.array(["x", *texts, "y"]).slice(1, 7)])):
        assert columns.to_numpy("uid", column).tolist() == expected
    assert columns.to_numpy("uid", pa.chunked_array([], pa.string())).shape == (0, 2)
    assert columns.to_numpy("uid", chunked.slice(7)).shape == (0, 2)
    for wrong in ("a" * 31, "g" * 32):
        with pytest.raises(ValueError):  # noqa: PT011
            columns.to_numpy("uid", pa.chunked_array([[wrong]]))
