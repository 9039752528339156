"""Subset files go out of a selection and come in from anywhere."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from tests.metadata import make_metadata

L14 = "clip_l14_similarity_score"


def pairs(texts):
    return np.sort(np.array([(int(text[:16], 16), int(text[16:], 16)) for text in texts], np.dtype("u8,u8")))


@pytest.fixture
def selected(winnow, tmp_path):
    folder, out = tmp_path / "metadata", tmp_path / "out"
    tables = make_metadata(folder)
    assert winnow("import-datacomp", "--input", folder, "--output", out, "--embeddings", "none")[0] == 0
    steps = [
        {"threshold": {"column": L14, "at_least": 0.18}},
        {"hard_cap_sample": {"column": L14, "total": 300, "limit": 3}},
    ]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": steps}))
    assert winnow("select", "--output", out, "--recipe", tmp_path / "mine.yaml")[0] == 0
    rows = [
        {**row, "uid": uid}
        for stem, table in tables.items()
        for row, uid in zip(
            pq.read_table(out / f"decisions/{stem}.parquet").to_pylist(), table["uid"].to_pylist(), strict=True
        )
    ]
    return out, rows


def test_what_was_kept_or_dropped_is_exported(winnow, selected, tmp_path):
    out, rows = selected
    to = tmp_path / "to.npy"
    expected = {
        "kept": [row["uid"] for row in rows for _ in range(row["copies"])],
        "dropped": [row["uid"] for row in rows if not row["copies"]],
        "threshold": [row["uid"] for row in rows if row["step"] == "threshold"],
        "hard_cap_sample": [row["uid"] for row in rows if row["step"] == "hard_cap_sample"],
        "rejected": [],
    }
    for where, texts in expected.items():
        code, stdout, stderr = winnow("export-subset", "--output", out, "--to", to, "--where", where)
        assert code == 0, stderr
        np.testing.assert_array_equal(np.load(to), pairs(texts))
        counts = json.loads(stdout)
        assert (counts["written"], counts["distinct"]) == (len(texts), len(set(texts)))
    assert winnow("export-subset", "--output", out, "--to", to)[0] == 0
    assert to.read_bytes() == (out / "subset.npy").read_bytes()
    code, _, stderr = winnow("export-subset", "--output", out, "--to", to, "--where", "treshold")
    assert code == 2
    assert "--where must be one of kept, dropped, rejected, threshold, hard_cap_sample" in stderr


def test_lists_come_in_sorted_or_are_refused(winnow, selected, tmp_path):
    out, rows = selected
    texts = sorted((row["uid"] for row in rows), reverse=True)
    (tmp_path / "a.txt").write_text("\n".join(text.lstrip("0") for text in [*texts, texts[0]]))
    to = tmp_path / "to.npy"
    code, _, stderr = winnow("import-subset", "--input", tmp_path / "a.txt", "--to", to)
    assert code == 2
    assert "a.txt: not sorted at row 1; add --sort" in stderr
    assert not to.exists()
    flags = ("import-subset", "--input", tmp_path / "a.txt", "--to", to, "--sort")
    code, _, stderr = winnow(*flags)
    assert code == 0, stderr
    np.testing.assert_array_equal(np.load(to), pairs([*texts, texts[0]]))
    assert f"{len(texts) + 1} uids read" in stderr
    assert winnow(*flags, "--subtract", out / "subset.npy")[0] == 0
    kept = {row["uid"] for row in rows if row["copies"]}
    np.testing.assert_array_equal(np.load(to), pairs([text for text in [*texts, texts[0]] if text not in kept]))
    assert winnow("import-subset", "--input", out / "subset.npy", "--to", to, "--intersect", out / "subset.npy")[0] == 0
    assert to.read_bytes() == (out / "subset.npy").read_bytes()
    code, _, stderr = winnow("import-subset", "--input", tmp_path / "none.npy", "--union", tmp_path / "b.npy")
    assert code == 2
    for expected in ("--to is missing", "none.npy does not exist", "--union"):
        assert expected in stderr
