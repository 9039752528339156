"""What ``winnow explain`` says is what was decided, of every sample."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.beam_pipelines.files import digests
from tests.metadata import make_metadata

L14, B32 = "clip_l14_similarity_score", "clip_b32_similarity_score"
MINE = [
    {"any_of": [{"top_fraction": {"label": "best", "column": L14, "fraction": 0.6}},
                {"threshold": {"label": "large", "column": B32, "at_least": 0.25}}]},
    {"mix": {"weights": {L14: 0.7, B32: 0.3}, "as": "mixed"}},
    {"top_fraction": {"column": "mixed", "fraction": 0.5, "of": "remaining"}},
    {"soft_cap_sample": {"column": "mixed", "total": 200, "alpha": 0.15, "batch": 1}},
]  # fmt: skip


@pytest.fixture
def selected(winnow, tmp_path):
    """A pool of metadata, two uids of it unusable, selected by a recipe with fitted, made and drawn columns."""
    folder, out = tmp_path / "metadata", tmp_path / "out"
    make_metadata(folder)
    path = sorted(folder.glob("*.parquet"))[0]
    table = pq.read_table(path)
    uids, scores = table["uid"].to_pylist(), table[L14].to_pylist()
    uids[4], scores[5] = "no uid", None
    table = table.set_column(0, "uid", pa.array(uids))
    pq.write_table(table.set_column(table.schema.get_field_index(L14), L14, pa.array(scores, pa.float32())), path)
    assert winnow("import-datacomp", "--input", folder, "--output", out, "--embeddings", "none")[0] == 0
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": MINE}))
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe)
    assert code == 0, stderr
    return out, folder, recipe


def tables(out, folder):
    """Returns rows of every shard: uid, scores, and what was decided."""
    rows = []
    for path in sorted(folder.rglob("*.parquet"), key=lambda path: path.stem):
        decided = pq.read_table(out / f"decisions/{path.stem}.parquet").to_pylist()
        metadata = pq.read_table(path, columns=["uid", L14, B32, "text"]).to_pylist()
        for number, (told, given) in enumerate(zip(decided, metadata, strict=True)):
            rows.append({**told, **given, "shard": path.stem, "row": number})
    return [row for row in rows if row["uid"] != "no uid"]


def test_every_sample_is_explained_as_it_was_decided(winnow, selected):
    out, folder, _ = selected
    before = digests(out)
    rows = tables(out, folder)
    code, stdout, stderr = winnow("explain", *[row["uid"] for row in rows], "--output", out)
    assert code == 0, stderr
    samples = json.loads(stdout)["samples"]
    assert [sample["uid"] for sample in samples] == [row["uid"] for row in rows]
    seen = set()
    for sample, row in zip(samples, rows, strict=True):
        place = (sample["shard"], sample["row"], sample["key"], sample["copies"], sample["caption"])
        assert place == (row["shard"], row["row"], row["uid"], row["copies"], row["text"] or "")
        seen.add(sample["outcome"].split(",")[0])
        if row["step"] == "rejected":
            assert sample["outcome"] == "rejected: score_not_finite"
            assert sample["detail"] == f"no finite value in {L14}"
            assert sample["steps"] == []
            continue
        steps = {step["label"]: step for step in sample["steps"]}
        assert list(steps) == ["any_of", "best", "large", "mix", "top_fraction", "soft_cap_sample"]
        assert steps["best"]["depth"] == steps["large"]["depth"] == 1
        assert steps["any_of"]["values"] == {L14: pytest.approx(row[L14]), B32: pytest.approx(row[B32])}
        inside = row[L14] >= np.float32(steps["best"]["bounds"]["threshold"]) and steps["best"]["verdict"] == "kept"
        assert (steps["any_of"]["verdict"] == "kept") == (inside or row[B32] >= np.float32(0.25))
        if row["step"]:
            assert sample["outcome"] == f"dropped by {row['step']}"
            assert steps[row["step"]]["verdict"] == "dropped"
            assert steps[row["step"]]["margin"] == sample["margin"] == pytest.approx(row["margin"])
            behind = list(steps)[list(steps).index(row["step"]) + 1 :]
            assert {steps[label]["verdict"] for label in behind if label not in ("best", "large")} <= {"not asked"}
        else:
            assert steps["soft_cap_sample"]["copies"] == row["copies"] > 0
            mixed = steps["top_fraction"]["values"]["mixed"]
            assert mixed == steps["soft_cap_sample"]["values"]["mixed"] >= steps["top_fraction"]["bounds"]["threshold"]
    assert seen == {"kept", "dropped by any_of", "dropped by top_fraction", "dropped by soft_cap_sample",
                    "rejected: score_not_finite"}  # fmt: skip
    assert digests(out) == before


def test_it_is_said_in_words(winnow, selected):
    out, folder, _ = selected
    row = next(row for row in tables(out, folder) if row["step"] == "top_fraction")
    code, _, stderr = winnow("explain", row["uid"].lstrip("0").upper(), "--output", out)
    assert code == 0
    assert f"{row['uid']}  dropped by top_fraction" in stderr
    assert f"shard {row['shard']}, row {row['row']}, key {row['uid']}" in stderr
    assert "top_fraction: dropped, margin -" in stderr
    assert "judged by mixed = " in stderr
    assert "bounds threshold = " in stderr
    assert "soft_cap_sample: not asked. " in stderr


def test_what_is_unknown_or_no_uid_is_told(winnow, selected):
    out, folder, _ = selected
    known = tables(out, folder)[0]["uid"]
    code, stdout, stderr = winnow("explain", known, "abc", "--output", out)
    assert (code, stdout) == (2, "")
    assert f"no sample of this pool has the uid {'0' * 29}abc" in stderr
    code, _, stderr = winnow("explain", "some name", "--output", out)
    assert code == 2
    assert "no sample of this pool has the uid 'some name'; " in stderr
    code, _, stderr = winnow("explain", "--output", out)
    assert code == 2
    assert "no uid is given" in stderr
    code, _, stderr = winnow("explain", known, "--output", out, "--runner", "FnApiRunner")
    assert code == 2
    assert "explain runs none" in stderr


def test_a_pool_that_changed_since_is_not_explained(winnow, selected):
    out, folder, recipe = selected
    rows = tables(out, folder)
    path = sorted(folder.glob("*.parquet"))[1]
    uid = next(row["uid"] for row in rows if row["shard"] == path.stem)
    pq.write_table(pq.read_table(path).replace_schema_metadata({"a": "b"}), path)
    assert winnow("import-datacomp", "--input", folder, "--output", out, "--embeddings", "none")[0] == 0
    code, _, stderr = winnow("explain", uid, "--output", out)
    assert code == 2
    assert f"the columns of shard {path.stem} changed since it was decided; run `winnow select` again" in stderr
    assert winnow("select", "--output", out, "--recipe", recipe)[0] == 0
    assert winnow("explain", "--output", out, uid)[0] == 0


def test_a_scored_pool_says_why_a_sample_was_rejected(winnow, tiny_network, small_pool, tmp_path):
    out = tmp_path / "out"
    flags = ("--input", f"{small_pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert winnow("curate", *flags, "--max_reject_fraction", "0.5", "--keep_fraction", "0.5")[0] == 0
    uid = f"{1002:032x}"
    code, stdout, _ = winnow("explain", uid, "--output", out)
    assert code == 0
    (sample,) = json.loads(stdout)["samples"]
    assert sample["outcome"] == "rejected: image_undecodable"
    assert sample["key"] == "0010002"
    assert sample["detail"]
    (out / "fitted.json").resolve().unlink()
    code, _, stderr = winnow("explain", uid, "--output", out)
    assert code == 2
    assert "fitted.json is missing, cut or changed; run `winnow select` again" in stderr
