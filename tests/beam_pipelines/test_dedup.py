"""The dedup job: planted duplicates in pools of real pictures, and clusters of made-up embeddings."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import make_pool, picture
from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

UID = "{:032x}".format


def add_shard(folder, name, rows):
    """Writes a shard of (picture, uid) pairs."""
    tar = b""
    for row, (image, uid) in enumerate(rows):
        members = {"jpg": image, "json": json.dumps({"uid": UID(uid)}).encode(), "txt": b"again"}
        tar += b"".join(write_member(f"{name}{row:04d}.{e}", data) for e, data in members.items())
    (folder / f"{name}.tar").write_bytes(tar + END_OF_ARCHIVE)


@pytest.fixture
def pool(tmp_path):
    """Returns a pool of four shards: the last one repeats pictures of the others, and one uid."""
    folder = make_pool(tmp_path / "pool", faults=True)
    copies = [(picture(1001), 900), (picture(7), 901), (picture(7), 902), (picture(5001), 903), (picture(5002), 1)]
    add_shard(folder, "00009", copies)
    return folder


def index_only(pool, out):
    """Makes an index with hashes and no scores: `score` without a model."""
    from beam_pipelines.config.score import ScoreConfig
    from beam_pipelines.planning import workspace
    from transforms import shards as pools
    from transforms.workers.score_shard import ScoreSettings, ScoreShard

    shards = pools.find_shards([f"{pool}/*.tar"])
    config = ScoreConfig(output=str(out), input=(f"{pool}/*.tar",))
    workspace.write_run(str(out), workspace.check_output(config, "score"))
    score = ScoreShard(ScoreSettings(str(out), ()))
    models = score.load()
    for shard in shards:
        score(shard, models)
    workspace.write_pool(str(out), shards)
    return out


def frame(out, name):
    """Returns the index joined with a column set of dedup, row by row."""
    parts = []
    for path in sorted((out / "columns/index").glob("*.parquet")):
        index, made = pq.read_table(path), pq.read_table(out / f"columns/{name}/{path.name}")
        assert len(index) == len(made)
        part = pd.concat([index.to_pandas(), made.to_pandas()], axis=1)
        parts.append(part.assign(shard=path.stem, row=range(len(part))))
    return pd.concat(parts, ignore_index=True)


def digests(out, name):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (out / f"columns/{name}").rglob("*.parquet")}


def expected_groups(table, by, earlier=None):
    """Returns (shard, row) -> uid of the survivor, of all samples that go; equal values of ``by`` are copies."""
    table = table[table["status"] == "ok"].assign(late=True)
    if earlier is not None:
        table = pd.concat([table, earlier[earlier["status"] == "ok"].assign(late=False)])
    table["hash"] = uids.keyed_hash(uids.pairs(list(table["uid"])), 0)
    table = table.sort_values(["late", "hash", "uid", "shard", "row"])
    first = table.groupby(by)["uid"].transform("first")
    gone = table.duplicated(by) & table["late"]
    return {(r.shard, r.row): u for r, u in zip(table[gone].itertuples(), first[gone], strict=True)}


def found_groups(table):
    gone = table[table["duplicate_of"] != ""]
    return {(r.shard, r.row): r.duplicate_of for r in gone.itertuples()}


@pytest.mark.parametrize(("by", "column"), [("exact", "image_sha256"), ("uid", "uid")])
def test_equal_samples_leave_one_wherever_they_are(winnow, pool, tmp_path, by, column):
    out = index_only(pool, tmp_path / "out")
    code, stdout, stderr = winnow("dedup", "--output", out, "--by", by)
    assert code == 0, stderr
    table = frame(out, f"dedup_{by}")
    expected = expected_groups(table, column)
    assert found_groups(table) == expected
    assert len(expected) == (3 if by == "exact" else 1)
    counts = json.loads(stdout)
    assert (counts["duplicates"], counts["samples"]) == (len(expected), len(table))
    ok = table["status"] == "ok"
    assert table["similarity"][~ok].isna().all()
    assert (table["similarity"][ok] == (table["duplicate_of"][ok] != "")).all()
    survivors = table[table["uid"].isin(expected.values()) & (table["duplicate_of"] == "") & ok]
    assert (survivors["group"] == survivors["uid"]).all()
    assert counts["survivors"] == len(survivors)
    manifest = json.loads((out / "manifest.json").read_text())[f"dedup dedup_{by}"]
    assert set(manifest["outputs"]) == {f"columns/dedup_{by}/{name}" for name in digests(out, f"dedup_{by}")}


def test_a_second_run_does_nothing_and_workers_change_no_byte(winnow, pool, tmp_path):
    out = index_only(pool, tmp_path / "out")
    flags = ["dedup", "--output", out, "--by", "phash", "--radius", 4]
    assert winnow(*flags)[0] == 0
    before = digests(out, "dedup_phash")
    code, stdout, stderr = winnow(*flags)
    assert (code, json.loads(stdout)["counters"]) == (0, {}), stderr
    shutil.rmtree(out / "columns/dedup_phash")
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    code, stdout, _ = winnow(*flags, *workers)
    assert json.loads(stdout)["counters"]["dedup.shuffled_bytes"] > 0
    assert digests(out, "dedup_phash") == before
    (out / "columns/dedup_phash/00001.parquet").unlink()
    code, stdout, _ = winnow(*flags, "--dry_run")
    assert json.loads(stdout)["to_do"] == 1


def test_near_hashes_are_one_group_and_flat_ones_too(winnow, tmp_path):
    import io

    from PIL import Image

    def smaller(data):
        sink = io.BytesIO()
        Image.open(io.BytesIO(data)).resize((45, 36), Image.Resampling.LANCZOS).save(sink, "JPEG", quality=70)
        return sink.getvalue()

    folder = tmp_path / "pool"
    folder.mkdir()
    add_shard(folder, "00000", [(picture(n), n) for n in range(20)])
    add_shard(folder, "00001", [(smaller(picture(n)), 100 + n) for n in range(20)])
    out = index_only(folder, tmp_path / "out")
    assert winnow("dedup", "--output", out, "--by", "phash", "--radius", 3)[0] == 0
    table = frame(out, "dedup_phash")
    gone = found_groups(table)
    assert 15 <= len(gone) <= 20
    for (shard, row), keeper in gone.items():
        other = int(keeper, 16)
        assert other % 100 == row
        assert (other >= 100) == (shard == "00000")
    assert table["similarity"].max() <= 1
    assert table["similarity"][table["duplicate_of"] != ""].min() >= 1 - 3 / 64


def test_what_an_earlier_pool_has_goes(winnow, pool, tmp_path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    add_shard(earlier, "00000", [(picture(1001), 7777), (picture(3), 8888), (picture(3), 9999)])
    out = index_only(pool, tmp_path / "out")
    old = index_only(earlier, tmp_path / "old")
    code, _, stderr = winnow("dedup", "--output", out, "--against", old)
    assert code == 0, stderr
    assert winnow("dedup", "--output", old)[0] == 0
    table, before = frame(out, "dedup_exact"), frame(old, "dedup_exact")
    expected = expected_groups(table, "image_sha256", before.assign(shard="earlier"))
    assert found_groups(table) == expected
    assert sum(keeper == UID(7777) for keeper in expected.values()) == 2
    assert UID(8888) in expected.values() or UID(9999) in expected.values()


def test_the_best_survives_and_a_recipe_drops_the_rest(winnow, pool, tmp_path, tiny_network):
    out = tmp_path / "out"
    code, _, stderr = winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}")
    assert code == 0, stderr
    code, _, stderr = winnow("dedup", "--output", out, "--score", "net.score", "--name", "once")
    assert code == 0, stderr
    table = frame(out, "once")
    table["score"] = np.concatenate(
        [pq.read_table(path)["score"].to_numpy() for path in sorted((out / "columns/net").glob("*.parquet"))]
    )
    score = dict(zip(table["uid"], table["score"], strict=True))
    gone = table[table["duplicate_of"] != ""]
    assert len(gone) == 3
    assert all(r.score <= score[r.duplicate_of] for r in gone.itertuples())
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nsource: none\nsteps:\n- drop_duplicates: {column: once}\n")
    code, _, stderr = winnow("select", "--output", out, "--recipe", recipe, "--max_reject_fraction", 0.2)
    assert code == 0, stderr
    books = json.loads((out / "books.json").read_text())
    assert books["dropped"] == {"drop_duplicates": 3}


def test_an_index_for_copying_only_is_refused(winnow, pool, tmp_path):
    from beam_pipelines import cli

    out = index_only(pool, tmp_path / "out")
    np.save(tmp_path / "subset.npy", uids.subset(np.zeros((0, 2), np.uint64)))
    plain = tmp_path / "plain"
    assert cli.main(["reshard", "--input", f"{pool}/*.tar", "--subset", str(tmp_path / "subset.npy"), "--output",
                     str(plain), "--max_reject_fraction", "1"]) == 0  # fmt: skip
    for flags, named in ((["--output", plain], "--output"), (["--output", out, "--against", plain], "--against")):
        code, _, stderr = winnow("dedup", *flags)
        line = f"{named} {plain}: no sample has a sha256 of its image, since its index was made for copying only"
        assert (code, line in stderr) == (2, True), stderr


def reindexed(out, shard, **changed):
    """Writes the index of a shard again with other values in some columns."""
    from transforms.outputs.store import Store

    store = Store(str(out))
    table = store.read("index", shard)
    for name, values in changed.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    store.write("index", shard, table, store.facts("index", shard)["stamp"] + "again")


def test_a_sample_without_a_sha256_is_no_copy(winnow, tmp_path):
    out = embedded(tmp_path / "out", [crowd(1, 6)] * 3, [np.zeros(6, int)] * 3)
    none, bad = [""] * 6, "not a digest"
    reindexed(out, "00000", image_sha256=none)
    reindexed(out, "00001", image_sha256=["", UID(7) * 2, bad, UID(8).upper() * 2, UID(9) * 2, ""])
    reindexed(out, "00002", image_sha256=[UID(9) * 2, "", UID(7) * 2, bad, UID(8) * 2, ""])
    code, stdout, stderr = winnow("dedup", "--output", out, "--by", "exact")
    assert code == 0, stderr
    table = frame(out, "dedup_exact")
    hashed = table[table["image_sha256"].str.len() == 64]
    hashed = hashed.assign(image_sha256=hashed["image_sha256"].str.lower())
    assert found_groups(table) == expected_groups(hashed, "image_sha256")
    assert set(np.flatnonzero(table["similarity"].notna())) == set(hashed.index)
    assert (json.loads(stdout)["compared"], json.loads(stdout)["duplicates"]) == (6, 3)
    for shard in ("00001", "00002"):
        reindexed(out, shard, image_sha256=none)
    code, _, stderr = winnow("dedup", "--output", out, "--by", "exact")
    assert (code, "no sample has a sha256 of its image" in stderr, len(stderr.splitlines())) == (2, True, 1), stderr


def test_a_sample_whose_pixels_nobody_saw_has_no_perceptual_hash(winnow, tmp_path):
    out = embedded(tmp_path / "out", [crowd(1, 5)] * 3, [np.zeros(5, int)] * 3)
    reindexed(out, "00000", width=[0] * 5)
    reindexed(out, "00001", width=[1, 0, 1, 1, 0], phash=[0, 0, 1 << 40, 0xFF << 50, 0])  # two see black images
    reindexed(out, "00002", width=[0, 1, 1, 0, 1], phash=[0, 0, 1 << 20, 0, 0xFF << 50])
    code, stdout, stderr = winnow("dedup", "--output", out, "--by", "phash", "--radius", 0)
    assert code == 0, stderr
    table = frame(out, "dedup_phash")
    seen = table[table["width"] > 0]
    assert found_groups(table) == expected_groups(seen, "phash")
    assert set(np.flatnonzero(table["similarity"].notna())) == set(seen.index)
    assert (json.loads(stdout)["compared"], json.loads(stdout)["duplicates"]) == (6, 2)
    for shard in ("00001", "00002"):
        reindexed(out, shard, width=[0] * 5)
    flags = (["--output", out], ["--output", embedded(tmp_path / "seen", [crowd(2, 5)], [[0] * 5]), "--against", out])
    for where in flags:
        code, _, stderr = winnow("dedup", *where, "--by", "phash")
        line = f"{where[-2]} {out}: no sample has a perceptual hash"
        assert (code, line in stderr, len(stderr.splitlines())) == (2, True, 1), stderr


DEMO = Path(__file__).parents[1] / "data/pool"


def test_the_planted_copies_of_the_demo_pool_are_found_and_no_others(winnow, tmp_path):
    of_key = {key: (title, author) for key, title, author in json.loads((DEMO / "attribution.json").read_text())}
    faults = json.loads((DEMO / "faults.json").read_text())
    out = index_only(DEMO, tmp_path / "out")
    expected = set()
    for by, kind in (("exact", "exact_duplicate"), ("phash", "near_duplicate")):
        planted = {fault["key"] for fault in faults if fault["fault"] == kind}
        expected |= {frozenset((a, b)) for a in planted for b in of_key if a != b and of_key[a] == of_key[b]}
        assert winnow("dedup", "--output", out, "--by", by)[0] == 0
        table = frame(out, f"dedup_{by}")
        key = dict(zip(table["uid"], table["key"], strict=True))
        gone = table[table["duplicate_of"] != ""]
        assert {frozenset((r.key, key[r.duplicate_of])) for r in gone.itertuples()} == expected
    assert len(expected) == 24


def embedded(out, shards, clusters, first_uid=0, centroids="c"):
    """Writes an output folder as `score` and `cluster` leave it: embeddings of our own, and no image."""
    from beam_pipelines.planning import workspace
    from transforms.outputs.store import Store
    from transforms.rows import Shard

    store, rows = Store(str(out)), []
    for at, (vectors, cluster) in enumerate(zip(shards, clusters, strict=True)):
        n, name = len(vectors), f"{at:05d}"
        zero = {"offset": 0, "length": 1, "image_bytes": 1, "phash": 0}
        zero |= dict.fromkeys(("width", "height", "original_width", "original_height"), 1)
        uid = [UID(first_uid + 1000 * at + row) for row in range(n)]
        texts = dict.fromkeys((field.name for field in columns.INDEX_SCHEMA if field.type == pa.string()), "")
        index = [{**zero, **texts, "uid": u, "status": "ok", "image_sha256": 2 * u} for u in uid]
        store.write("index", name, pa.Table.from_pylist(index, columns.INDEX_SCHEMA), f"i{at}")
        score = np.zeros(n, np.float32)
        store.write("net", name, columns.score_table(score, vectors.astype(np.float32), vectors), f"n{at}", job="score")
        similarity = np.linspace(0.1, 0.9, n, dtype=np.float32)
        table = pa.table({"cluster": pa.array(cluster, pa.int32()), "similarity": similarity, "margin": similarity})
        store.write("cluster_k3", name, table, f"c{at}")
        rows.append(Shard(name, f"{out}/{name}.tar", 1, str(at)))
    workspace.write_run(str(out), {"pool": {}, "jobs": {}})
    workspace.write_pool(str(out), rows)
    made = {"outputs": {"clusters/cluster_k3/centroids.safetensors": {"bytes": 1, "sha256": centroids}}}
    (out / "manifest.json").write_text(json.dumps({"cluster cluster_k3": made}))
    return out


def crowd(seed, rows, dim=16):
    random = np.random.default_rng(seed)
    made = np.random.default_rng(0).normal(size=(10, dim))[random.integers(0, 10, rows)]
    made = made + 0.2 * random.normal(size=(rows, dim))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float16)


def brute_force(vectors, cluster, order, epsilon, start=0):
    """Returns the places of samples that the released code of SemDeDup would drop."""
    wide = vectors.astype(float)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    close = (wide @ wide.T > 1 - epsilon) & (cluster[:, None] == cluster) & (order[:, None] < order)
    return set(np.flatnonzero(close.any(axis=0) & (np.arange(len(wide)) >= start) & (cluster >= 0)))


@pytest.mark.parametrize("order", ["hard", "easy"])
def test_semantic_duplicates_are_those_of_the_released_code(winnow, tmp_path, order):
    shards = [crowd(seed, 60) for seed in range(3)]
    shards[1][5] = np.nan
    shards[2][7] = 0
    clusters = [np.arange(60) % 3 for _ in shards]
    clusters[0][4] = -1
    out = embedded(tmp_path / "out", shards, clusters)
    code, _, stderr = winnow("dedup", "--output", out, "--by", "semantic", "--epsilon", 0.1, "--order", order)
    assert code == 0, stderr
    table = frame(out, "dedup_semantic")
    gone = set(np.flatnonzero(table["duplicate_of"] != ""))
    cluster = np.concatenate(clusters)
    cluster[[65, 127]] = -1
    similarity = np.tile(np.linspace(0.1, 0.9, 60, dtype=np.float32), 3)
    tie = uids.keyed_hash(uids.pairs(list(table["uid"])), 0)
    rank = np.empty(180)
    rank[np.lexsort((tie, similarity if order == "hard" else -similarity))] = np.arange(180)
    vectors = np.nan_to_num(np.concatenate(shards).astype(float)) + 1e-30
    assert gone == brute_force(vectors, cluster, rank, 0.1)
    assert 30 < len(gone) < 170
    assert set(np.flatnonzero(table["similarity"].isna())) == {4, 65, 127}
    before = digests(out, "dedup_semantic")
    shutil.rmtree(out / "columns/dedup_semantic")
    workers = ["--direct_num_workers", "2", "--direct_running_mode", "multi_threading"]
    flags = ["--by", "semantic", "--epsilon", 0.1, "--order", order]
    assert winnow("dedup", "--output", out, *flags, *workers)[0] == 0
    assert digests(out, "dedup_semantic") == before


def test_semantic_duplicates_of_an_earlier_pool_go(winnow, tmp_path):
    new, old = [crowd(1, 50)], [crowd(2, 50)]
    clusters = [np.arange(50) % 2]
    out, earlier = embedded(tmp_path / "out", new, clusters), embedded(tmp_path / "old", old, clusters, 10**6)
    flags = ["--output", out, "--by", "semantic", "--epsilon", 0.15, "--against", earlier]
    code, _, stderr = winnow("dedup", *flags)
    assert code == 0, stderr
    table = frame(out, "dedup_semantic")
    tie = uids.keyed_hash(uids.pairs(list(table["uid"])), 0)
    rank = np.empty(50)
    rank[np.lexsort((tie, np.linspace(0.1, 0.9, 50, dtype=np.float32)))] = np.arange(50)
    order = np.append(np.arange(-50, 0), rank)
    expected = brute_force(np.concatenate(old + new), np.tile(clusters[0], 2), order, 0.15, 50)
    assert {50 + row for row in np.flatnonzero(table["duplicate_of"] != "")} == expected
    assert (table["duplicate_of"] >= UID(10**6)).any()
    other = embedded(tmp_path / "other", old, clusters, 10**6, centroids="d")
    code, _, stderr = winnow("dedup", *flags[:-1], other)
    assert (code, "not known to have the same centroids" in stderr) == (2, True)


def test_samples_near_an_evaluation_set_are_listed(winnow, tmp_path):
    shards = [crowd(seed, 40) for seed in range(2)]
    out = embedded(tmp_path / "out", shards, [np.zeros(40, int)] * 2)
    target = np.stack([shards[0][3], shards[1][9], -shards[0][0]]).astype(np.float32)
    np.save(tmp_path / "eval.npy", target)
    flags = ["--output", out, "--by", "contamination", "--against_embeddings", tmp_path / "eval.npy"]
    code, stdout, stderr = winnow("dedup", *flags, "--threshold", 0.97)
    assert code == 0, stderr
    table = frame(out, "dedup_contamination")
    cosines = np.concatenate(shards).astype(float) @ target.T
    hits = np.flatnonzero(cosines.max(axis=1) > 0.97)
    assert set(np.flatnonzero(table["duplicate_of"] != "")) == set(hits) >= {3, 49}
    assert table["duplicate_of"][[3, 49]].tolist() == ["target-0", "target-1"]
    listed = pq.read_table(out / "dedup/dedup_contamination.parquet").to_pandas()
    assert len(listed) == len(hits) == json.loads(stdout)["duplicates"]
    assert (listed["target"].diff().dropna() >= 0).all()
    for row in listed.itertuples():
        place = 40 * int(row.shard) + row.row
        assert row.uid == table["uid"][place]
        assert row.target == cosines[place].argmax()
        assert row.similarity == pytest.approx(cosines[place].max(), abs=1e-3)
    manifest = json.loads((out / "manifest.json").read_text())["dedup dedup_contamination"]
    assert "dedup/dedup_contamination.parquet" in manifest["outputs"]
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: r\nsource: none\nsteps:\n- drop_duplicates: {column: dedup_contamination, above: 0.99}\n")
    assert winnow("select", "--output", out, "--recipe", recipe)[0] == 0
    dropped = json.loads((out / "books.json").read_text())["dropped"]["drop_duplicates"]
    assert dropped == (table["similarity"] > np.float32(0.99)).sum()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--by", "same"], "--by must be exact, uid, phash"),
        (["--order", "hard"], "only --by semantic reads"),
        (["--order", "best"], "--order best and --score COLUMN go together"),
        (["--radius", 9], "--radius must be in 0 .. 8"),
        (["--epsilon", 0], "--epsilon must be in (0, 1]"),
        (["--by", "contamination"], "--against_embeddings FILE go together"),
        (["--by", "semantic", "--clusters", "none"], "--clusters none is no column set"),
        (["--score", "net.scrore"], "no column set has 'net.scrore'"),
        (["--name", "net"], "--name net is a column set that `winnow score` wrote; choose another --name"),
        (["--name", "index"], "--name index is a name that Winnow needs for itself; choose another --name"),
        (["--against", "nowhere"], "--against nowhere holds no scored pool"),
        (["--by", "contamination", "--against_embeddings", "none.npy"], "--against_embeddings none.npy does not exist"),
    ],
)
def test_what_is_wrong_is_told_before_any_work(winnow, tmp_path, flags, line):
    out = embedded(tmp_path / "out", [crowd(1, 5)], [np.zeros(5, int)])
    code, _, stderr = winnow("dedup", "--output", out, *flags)
    assert code == 2
    assert line in stderr
    assert not (out / "columns/dedup_exact").exists()
