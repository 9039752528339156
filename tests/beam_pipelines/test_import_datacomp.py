"""DataComp's metadata as a pool: selected by what pandas says, never copied from."""

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tests.beam_pipelines.files import digests
from tests.metadata import make_metadata, unit, write_npz
from transforms.lib.columnstore import columns
from transforms.outputs.store import Store

WORKERS = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
L14 = "clip_l14_similarity_score"


@pytest.fixture
def metadata(tmp_path):
    folder = tmp_path / "metadata"
    return folder, make_metadata(folder)


@pytest.fixture
def imported(winnow, metadata, tmp_path):
    folder, tables = metadata
    out = tmp_path / "out"
    code, _, stderr = winnow("import-datacomp", "--input", folder, "--output", out)
    assert code == 0, stderr
    return out, tables


def pairs(uids):
    """Returns the subset file of uids as DataComp's own code makes it."""
    rows = [(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids]
    return np.sort(np.array(rows, np.dtype("u8,u8")))


def frame(tables):
    return pd.concat([table.to_pandas() for table in tables.values()])


def steps(tmp_path, *listed):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "source": "", "steps": list(listed)}))
    return path


def test_metadata_has_no_perceptual_hashes(winnow, imported):
    out, tables = imported
    code, _, stderr = winnow("dedup", "--output", out, "--by", "phash")
    assert (code, "no sample has a perceptual hash" in stderr, len(stderr.splitlines())) == (2, True, 1), stderr
    code, stdout, stderr = winnow("dedup", "--output", out, "--by", "exact")
    assert code == 0, stderr
    assert json.loads(stdout)["duplicates"] == frame(tables)["sha256"].duplicated().sum()


def test_column_sets_are_what_the_files_hold(imported):
    out, tables = imported
    store = Store(str(out))
    assert sorted(path.name for path in (out / "columns").iterdir()) == ["clip_b32", "clip_l14", "datacomp", "index"]
    for number, (stem, table) in enumerate(tables.items()):
        rest = store.read("datacomp", stem)
        assert rest.column_names == ["url", "clip_b32_similarity_score", L14, "face_bboxes"]
        assert rest.equals(table.select(rest.column_names))
        embedded = store.read("clip_l14", stem)
        np.testing.assert_array_equal(embedded["score"], table[L14])
        images = columns.embeddings(embedded["image"])
        np.testing.assert_array_equal(images, unit(number, "l14_img", len(table)).astype(np.float16))
    sizes = [path.stat().st_size for path in (out / "columns/index").iterdir()]
    assert max(sizes) < 6000  # views: the rows stay where they are


def test_a_copy_holds_the_same_and_needs_the_metadata_no_more(winnow, imported, metadata, tmp_path):
    out, tables = imported
    folder = metadata[0]
    other = tmp_path / "other"
    flags = ("--input", folder, "--output", other, "--copy", "true", "--embeddings", "none")
    assert winnow("import-datacomp", *flags)[0] == 0
    before = {s: (Store(str(out)).read("index", s), Store(str(out)).read("datacomp", s)) for s in tables}
    shutil.rmtree(folder)
    for stem, (index, rest) in before.items():
        assert Store(str(other)).read("index", stem).equals(index)
        assert Store(str(other)).read("datacomp", stem).equals(rest)
    assert winnow("select", "--output", other, "--recipe", "clip_score", "--set", f"top_fraction.column={L14}")[0] == 0


@pytest.mark.parametrize("column", [L14, "clip_b32_similarity_score", "clip_l14"])
def test_a_threshold_keeps_what_pandas_keeps(winnow, imported, tmp_path, column):
    out, tables = imported
    recipe = steps(tmp_path, {"threshold": {"column": column, "at_least": 0.21}})
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe)
    assert code == 0, stderr
    rows = frame(tables)
    scores = rows[L14 if column == "clip_l14" else column]
    np.testing.assert_array_equal(np.load(out / "subset.npy"), pairs(rows.uid[scores >= np.float32(0.21)]))


def test_a_top_fraction_is_exact_and_alike_for_any_number_of_workers(winnow, imported):
    out, tables = imported
    flags = ("select", "--output", out, "--recipe", "dfn", "--set", f"top_fraction.column={L14}")
    flags += ("--keep_fraction", "0.3")
    assert winnow(*flags)[0] == 0
    before = digests(out)
    rows = frame(tables).sort_values(L14, ascending=False)
    number = int(0.3 * len(rows) + 0.5)
    kept = np.load(out / "subset.npy")
    assert len(kept) == number
    bound = rows[L14].iloc[number - 1]
    assert np.isin(pairs(rows.uid[rows[L14] > bound]), kept).all()
    assert np.isin(kept, pairs(rows.uid[rows[L14] >= bound])).all()
    assert winnow(*flags, *WORKERS)[0] == 0
    assert digests(out) == before


def test_clip_score_keeps_what_the_published_script_keeps(winnow, imported):
    out, tables = imported
    assert winnow("select", "--output", out, "--recipe", "clip_score", "--set", f"top_fraction.column={L14}")[0] == 0
    rows = frame(tables)
    scores = rows[L14].to_numpy()
    bound = -np.sort(-scores)[int(len(scores) * 0.3)]
    np.testing.assert_array_equal(np.load(out / "subset.npy"), pairs(rows.uid[scores >= bound]))


def test_basic_filter_without_its_language_keeps_what_pandas_keeps(winnow, imported, tmp_path):
    out, tables = imported
    assert winnow("annotate", "--output", out, "--columns", "caption")[0] == 0
    recipe = steps(
        tmp_path,
        {"caption_length": {}},
        {"image_size": {}},
    )
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe)
    assert code == 0, stderr
    rows = frame(tables)
    text = rows.text.fillna("")
    sides = rows[["original_width", "original_height"]]
    short, long = sides.min(axis=1), sides.max(axis=1)
    keep = (text.str.split().str.len() > 2) & (text.str.len() > 5) & (short >= 200) & (long / short.clip(1) <= 3.0)
    assert 0 < keep.sum() < len(rows)
    np.testing.assert_array_equal(np.load(out / "subset.npy"), pairs(rows.uid[keep]))


def test_related_scores_are_made_of_the_imported_embeddings(winnow, imported, tmp_path):
    out, tables = imported
    target = unit(77, "l14_img", 5)
    np.save(tmp_path / "target.npy", target)
    flags = ("--columns", "normsim_inf", "--model", "clip_l14", "--target", tmp_path / "target.npy")
    code, _, stderr = winnow("annotate", "--output", out, *flags)
    assert code == 0, stderr
    stem = next(iter(tables))
    found = Store(str(out)).read("normsim_inf", stem)["score"].to_numpy()
    images = unit(0, "l14_img", len(tables[stem]))
    np.testing.assert_allclose(found, np.abs(images @ target.T).max(axis=1), atol=2e-3)


def test_what_is_imported_already_is_skipped_and_what_changed_is_not(winnow, imported, metadata):
    out, _ = imported
    before = digests(out)
    flags = ("import-datacomp", "--input", metadata[0], "--output", out)
    code, stdout, _ = winnow(*flags)
    assert code == 0
    assert json.loads(stdout)["counters"] == {"import.shards_skipped": 3}
    assert digests(out) == before
    path = sorted(metadata[0].glob("*.parquet"))[0]
    table = pq.read_table(path)
    uids = table["uid"].to_pylist()
    uids[3] = "nothing"
    pq.write_table(table.set_column(0, "uid", pa.array(uids)), path)
    code, _, stderr = winnow("select", "--output", out, "--recipe", "no_filter")
    assert code == 1
    assert f"{path} changed since it was imported; run `winnow import-datacomp` again" in stderr
    code, stdout, _ = winnow(*flags)
    assert code == 0
    assert json.loads(stdout)["uid_invalid"] == 1
    assert json.loads(stdout)["counters"]["import.shards_imported"] == 1
    told = json.loads(stdout)["counters"]
    assert (told["import.rejected_uid_invalid"], told["import.in"]) == (1, len(uids))  # terraform's alert reads both
    code, stdout, _ = winnow("select", "--output", out, "--recipe", "no_filter")
    assert code == 0
    assert json.loads(stdout)["samples"] - json.loads(stdout)["kept"] == 1


def test_a_set_that_was_imported_by_uid_is_not_replaced_nor_the_other_way_round(winnow, metadata, tmp_path):
    folder, tables = metadata
    out, table = tmp_path / "out", tmp_path / "t.csv"
    flags = ["import-datacomp", "--input", folder, "--output", out]
    assert winnow(*flags, "--embeddings", "none")[0] == 0
    pd.DataFrame({"uid": frame(tables)["uid"], "x": 1.0}).to_csv(table, index=False)
    scores = ["import-scores", "--input", table, "--output", out, "--min_coverage", "0"]
    code, _, stderr = winnow(*scores, "--name", "datacomp")
    assert (code, "--name datacomp is a column set that `winnow import-datacomp` wrote" in stderr) == (2, True), stderr
    code, _, stderr = winnow(*scores, "--name", "clip_b32")
    assert code == 0, stderr
    code, _, stderr = winnow(*flags)
    assert code == 2
    assert "--embeddings clip_b32 is a column set that `winnow import-scores` wrote; delete it, or name" in stderr


def test_a_missing_score_rejects_its_sample(winnow, tmp_path, metadata):
    folder, tables = metadata
    path = sorted(folder.glob("*.parquet"))[0]
    table = pq.read_table(path)
    scores = table[L14].to_pylist()
    scores[:2] = [None, float("nan")]
    place = table.schema.get_field_index(L14)
    pq.write_table(table.set_column(place, L14, pa.array(scores, pa.float32())), path)
    out = tmp_path / "out"
    assert winnow("import-datacomp", "--input", folder, "--output", out, "--embeddings", "none")[0] == 0
    recipe = steps(tmp_path, {"threshold": {"column": L14, "at_least": -9}})
    assert winnow("select", "--output", out, "--recipe", recipe)[0] == 0
    books = json.loads((out / "books.json").read_text())
    assert books["rejected"] == {"score_not_finite": 2}
    assert books["kept"] == sum(map(len, tables.values())) - 2


def test_there_is_nothing_to_reshard_or_to_score(winnow, imported, small_pool):
    out, _ = imported
    assert winnow("select", "--output", out, "--recipe", "no_filter")[0] == 0
    for flags in (("reshard",), ("reshard", "--subset", out / "subset.npy")):
        code, _, stderr = winnow(*flags, "--output", out)
        assert code == 2
        assert "this pool has no shards" in stderr
        assert f"--subset {out}/subset.npy" in stderr
    code, _, stderr = winnow("score", "--input", f"{small_pool}/*.tar", "--output", out)
    assert code == 2
    assert "was made with another configuration" in stderr


def test_the_subset_copies_from_tars_that_winnow_never_saw(winnow, metadata, tmp_path):
    from tests.conftest import picture
    from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

    folder, tables = metadata
    out = tmp_path / "out"
    assert winnow("import-datacomp", "--input", f"{folder}/**", "--output", out, "--embeddings", "none")[0] == 0
    recipe = steps(tmp_path, {"threshold": {"column": L14, "at_least": 0.24}})
    assert winnow("select", "--output", out, "--recipe", recipe)[0] == 0
    rows = frame(tables)
    members = [
        write_member(f"{number:012d}.{kind}", data)
        for number, uid in enumerate(rows.uid)
        for kind, data in (("jpg", picture(number)), ("json", json.dumps({"uid": uid}).encode()), ("txt", b"text"))
    ]
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars/00000000.tar").write_bytes(b"".join(members) + END_OF_ARCHIVE)
    flags = ("--input", f"{tmp_path}/tars/*.tar", "--subset", out / "subset.npy", "--output", tmp_path / "shards")
    code, stdout, stderr = winnow("reshard", *flags)
    assert code == 0, stderr
    assert json.loads(stdout)["copies"] == len(np.load(out / "subset.npy")) == int((rows[L14] >= 0.24).sum())


def test_everything_wrong_with_the_files_is_told_before_any_work(winnow, metadata, tmp_path):
    folder, tables = metadata
    out = tmp_path / "out"
    first, second, third = tables
    pq.write_table(tables[first].drop_columns(["text"]), folder / f"{first}.parquet")
    (folder / f"{second}.parquet").write_bytes(b"no table")
    write_npz(folder / f"part_1/{third}.npz", 2, 91)
    code, _, stderr = winnow("import-datacomp", "--input", folder, "--output", out)
    assert code == 2
    assert f"{first}.parquet has no column text" in stderr
    assert f"{second}.parquet cannot be read" in stderr
    assert "has 91 images and 91 texts in clip_b32, and the Parquet file beside it 92 rows" in stderr
    assert not out.exists()


def test_files_that_lack_something_or_share_a_stem_are_told(winnow, metadata, tmp_path):
    folder, tables = metadata
    out = tmp_path / "out"
    first = next(iter(tables))
    (folder / f"{first}.npz").unlink()
    code, _, stderr = winnow("import-datacomp", "--input", folder, "--output", out)
    assert code == 2
    assert "1 of 3 metadata files have no .npz beside them" in stderr
    shutil.copy(folder / f"{first}.parquet", folder / f"part_1/{first}.parquet")
    code, _, stderr = winnow("import-datacomp", "--input", folder, "--output", out, "--embeddings", "clip_b16")
    assert code == 2
    assert "--embeddings clip_b16 is unknown; give clip_b32, clip_l14 or none" in stderr
    assert f"would both be shard {first}" in stderr
    code, _, stderr = winnow("import-datacomp", "--input", tmp_path / "nowhere", "--output", out)
    assert code == 2
    assert "has no .parquet file" in stderr


def test_near_ties_in_float64_are_kept_as_the_published_script_keeps_them(winnow, metadata, tmp_path):
    folder, tables = metadata
    random, scores = np.random.default_rng(0), []
    for path in sorted(folder.rglob("*.parquet")):
        table = pq.read_table(path)
        scores.append(0.3 + random.integers(0, 100, len(table)) * 1e-10)
        pq.write_table(table.drop_columns([L14]).append_column(L14, pa.array(scores[-1])), path)
        tables[path.stem] = pq.read_table(path)
    out = tmp_path / "out"
    assert winnow("import-datacomp", "--input", folder, "--output", out)[0] == 0
    code, _, stderr = winnow("select", "--output", out, "--recipe", "clip_score", "--set", f"top_fraction.column={L14}")
    assert code == 0, stderr
    everything = np.concatenate(scores)
    bound = -np.sort(-everything)[int(len(everything) * 0.3)]
    found = frame(tables)
    assert np.load(out / "subset.npy").tolist() == pairs(found["uid"][found[L14] >= bound]).tolist()
    assert (everything.astype(np.float32) >= np.float32(bound)).sum() > (everything >= bound).sum()
