"""``train-mix`` and ``train-flyt`` as commands, on a pool of small pictures and a real, tiny network."""

import gzip
import io
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool, picture
from transforms.lib.columnstore import columns
from transforms.lib.flyt import meta_gradient, scoring_head, training_loop
from transforms.lib.models import clip
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def coloured(colour, seed):
    random = np.random.default_rng(seed)
    pixels = np.clip(np.array(colour) + random.integers(-30, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def folder(tmp_path):
    for name, colour in COLOURS.items():
        (tmp_path / "labelled" / name).mkdir(parents=True)
        for seed in range(4):
            (tmp_path / "labelled" / name / f"{seed}.png").write_bytes(coloured(colour, seed))
    (tmp_path / "labelled/red/broken.png").write_bytes(b"no picture")
    return tmp_path / "labelled"


@pytest.fixture
def scored(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=True)
    out = tmp_path / "scored"
    code, _, stderr = winnow("score", "--input", f"{pool}/*.tar", "--output", out, "--model", f"m={tiny_network}")
    assert code == 0, stderr
    return out


SMALL = ["--steps", "8", "--warmup", "2", "--batch_size", "12", "--downstream_batch_size", "6", "--shards_at_once", "2",
         "--checkpoint_every", "3"]  # fmt: skip


LONE = save({"x": np.zeros(3, np.float32)})  # of another program


def history(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_head_is_trained_and_scores_the_pool(winnow, scored, folder, tmp_path):
    out = tmp_path / "flyt"
    code, stdout, stderr = winnow("train-flyt", "--pool", scored, "--output", out, "--downstream", folder, *SMALL)
    assert code == 0, stderr
    result = json.loads(stdout)
    assert (result["steps"], result["skipped"], result["labelled"], result["classes"]) == (8, 0, 12, 3)
    rows = history(out)
    assert [row["step"] for row in rows] == list(range(8))
    assert all(0 < row["effective"] <= 1 for row in rows)
    assert (out / "curves.svg").read_text().count("<polyline") == 4
    config = scoring_head.read_config(out, "x")
    assert (config.dim, config.column_set, config.embeddings["name"]) == (16, "m", "m")
    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", out)
    assert code == 0, stderr
    assert np.isfinite(pq.read_table(scored / "columns/flyt/00000.parquet")["score"].to_numpy()).all()


def test_a_mix_is_trained_and_written_as_a_step(winnow, scored, folder, tmp_path):
    out, head = tmp_path / "mix", tmp_path / "head"
    assert winnow("train-flyt", "--pool", scored, "--output", head, "--downstream", folder, *SMALL)[0] == 0
    assert winnow("score-flyt", "--output", scored, "--head", head)[0] == 0
    flags = ["--score", "m.score", "--score", "flyt.score", "--scoring_learning_rate", "0.1"]
    code, stdout, stderr = winnow(
        "train-mix", "--pool", scored, "--output", out, "--downstream", folder, *flags, *SMALL
    )
    assert code == 0, stderr
    weights = json.loads(stdout)["weights"]
    assert list(weights) == ["flyt.score", "m.score"]
    step = yaml.safe_load((out / "mix.yaml").read_text())["mix"]
    assert step["standardise"] is True
    assert step["weights"] == pytest.approx(weights, abs=1e-5)
    facts = json.loads((out / "mix.json").read_text())
    for name in weights:
        owner, column = name.split(".")
        found = np.concatenate([
            pq.read_table(path)[column].to_numpy() for path in sorted((scored / f"columns/{owner}").glob("*.parquet"))
        ]).astype(np.float64)  # fmt: skip
        found = found[np.isfinite(found)]
        assert facts["mean"][name] == pytest.approx(found.mean(), rel=1e-9)
        assert facts["std"][name] == pytest.approx(found.std(), rel=1e-9)


@pytest.mark.parametrize(
    ("job", "more"),
    [
        ("train-flyt", []),
        ("train-mix", ["--score", "m.score"]),
        ("train-mix", ["--score", "m.score", "--reference_start", "random", "--restart_every", "2"]),
    ],
)
def test_a_run_that_was_killed_continues_to_the_same_bytes(winnow, scored, folder, tmp_path, monkeypatch, job, more):
    flags = ["--pool", scored, "--downstream", folder, *SMALL, *more]
    assert winnow(job, "--output", tmp_path / "whole", *flags)[0] == 0
    calls = []

    def killed(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return meta_step(*args, **kwargs)

    meta_step = meta_gradient.meta_step
    monkeypatch.setattr(meta_gradient, "meta_step", killed)
    with pytest.raises(KeyboardInterrupt):
        winnow(job, "--output", tmp_path / "parts", *flags)
    assert len(history(tmp_path / "parts")) == 5
    code, _, stderr = winnow(job, "--output", tmp_path / "parts", *flags)
    assert code == 0, stderr
    assert "continuing at step 3 of 8" in stderr
    assert len(calls) == 6 + 5
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert winnow(job, "--output", tmp_path / "parts", *flags)[0] == 0
    assert len(calls) == 6 + 5
    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    code, _, stderr = winnow(job, "--output", tmp_path / "parts", *flags, "--seed", "1")
    assert code == 2
    assert "name a new folder" in stderr


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(winnow, scored, folder, tmp_path, monkeypatch):
    flags = ["--pool", scored, "--downstream", folder, *SMALL, "--output", tmp_path / "out"]

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training_loop.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            winnow("train-flyt", *flags)
    (tmp_path / "out/metrics.jsonl").touch()
    code, stdout, stderr = winnow("train-flyt", *flags)
    assert code == 0, stderr
    assert json.loads(stdout)["steps"] == 8
    (tmp_path / "out/checkpoint.safetensors").unlink()
    code, _, stderr = winnow("train-flyt", *flags)
    assert code == 2
    assert "holds no run of this job; name a new folder" in stderr


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:200], lambda data: data[:-9], lambda data: LONE]
)
def test_a_damaged_checkpoint_is_told(winnow, scored, folder, tmp_path, damage):
    flags = ["--pool", scored, "--downstream", folder, *SMALL, "--output", tmp_path / "out"]
    assert winnow("train-flyt", *flags)[0] == 0
    path = tmp_path / "out/checkpoint.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    code, _, stderr = winnow("train-flyt", *flags)
    assert code == 2
    (line,) = stderr.splitlines()
    assert f"--output {tmp_path}/out: checkpoint.safetensors is damaged" in line
    assert "name a new folder" in line


def test_a_run_goes_on_without_its_metrics(winnow, scored, folder, tmp_path, monkeypatch):
    flags = ["--pool", scored, "--downstream", folder, *SMALL]
    assert winnow("train-flyt", *flags, "--output", tmp_path / "whole")[0] == 0
    whole = (tmp_path / "whole/metrics.jsonl").read_text()
    for kept in ("", whole[: len(whole) // 2], None):
        out = tmp_path / f"out{kept is None}"
        shutil.copytree(tmp_path / "whole", out, dirs_exist_ok=True)
        (out / "metrics.jsonl").unlink() if kept is None else (out / "metrics.jsonl").write_text(kept)
        code, stdout, stderr = winnow("train-flyt", *flags, "--output", out)
        assert code == 0, stderr
        assert json.loads(stdout)["steps"] == 8
        assert f"metrics.jsonl lacks {8 - len(history(out))} of them" in stderr
        assert (out / scoring_head.WEIGHTS).read_bytes() == (tmp_path / "whole" / scoring_head.WEIGHTS).read_bytes()


def test_a_run_continues_under_other_paths_to_equal_data(winnow, scored, folder, tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    (tmp_path / "prompts.txt").write_text("a {}\n")
    files = ["--class_names", tmp_path / "names.txt", "--prompts", tmp_path / "prompts.txt"]
    flags = ["--pool", scored, "--downstream", folder, *files, *SMALL]
    assert winnow("train-flyt", "--output", tmp_path / "out", *flags)[0] == 0
    before = digests(tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    folder.rename(tmp_path / "moved")
    again = ["--pool", "scored", "--column_set", "m", "--downstream", "moved", "--class_names", "names.txt",
             "--prompts", "./prompts.txt", "--output", "out", *SMALL]  # fmt: skip
    code, _, stderr = winnow("train-flyt", *again)
    assert code == 0, stderr
    assert "continuing at step 8 of 8" in stderr
    assert digests(tmp_path / "out") == before
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\nblack\n")
    code, _, stderr = winnow("train-flyt", *again)
    assert code == 2
    assert "holds a run with other settings or data" in stderr


def test_other_seeds_give_other_weights(winnow, scored, folder, tmp_path):
    flags = ["--pool", scored, "--downstream", folder, *SMALL, "--score", "m.score"]
    for seed in (0, 1):
        assert winnow("train-mix", "--output", tmp_path / str(seed), "--seed", seed, *flags)[0] == 0
    assert history(tmp_path / "0") != history(tmp_path / "1")


def test_whole_towers_are_the_reference(winnow, scored, folder, tmp_path, tiny_network):
    flags = ["--pool", scored, "--downstream", folder, *SMALL, "--reference", "towers", "--part_size", "5"]
    code, _, stderr = winnow("train-flyt", "--output", tmp_path / "flyt", "--learning_rate", "1e-3", *flags)
    assert code == 0, stderr
    state = training_loop.load(tmp_path / "flyt")
    from safetensors.torch import load_file

    before = load_file(tiny_network / "open_clip_model.safetensors")
    assert not (state.reference["visual.conv1.weight"] == before["visual.conv1.weight"]).all()
    assert all(row["skipped"] == 0 for row in history(tmp_path / "flyt"))
    flags[flags.index("towers")] = "projections"
    assert winnow("train-flyt", "--output", tmp_path / "frozen", *flags)[0] == 0
    first = [history(tmp_path / name)[0] for name in ("flyt", "frozen")]
    assert first[0]["up_loss"] == pytest.approx(first[1]["up_loss"], abs=2e-3)  # float16 embeddings against images


def test_the_towers_under_the_head_are_trained_with_it(winnow, scored, folder, tmp_path, tiny_network):
    from safetensors.torch import load_file

    flags = ["--pool", scored, "--downstream", folder, *SMALL, "--scoring_learning_rate", "1e-3", "--part_size", "5"]
    out = tmp_path / "flyt"
    code, _, stderr = winnow("train-flyt", "--output", out, "--train_towers", "true", *flags)
    assert code == 0, stderr
    assert "winnow score --model flyt_towers=" in stderr
    assert all(row["skipped"] == 0 for row in history(out))
    before = load_file(tiny_network / "open_clip_model.safetensors")
    after = load_file(out / "towers/open_clip_model.safetensors")
    assert set(before) == set(after)
    assert not (after["visual.conv1.weight"] == before["visual.conv1.weight"]).all()
    assert not (after["text_projection"] == before["text_projection"]).all()
    assert after["logit_scale"] == before["logit_scale"]
    assert winnow("train-flyt", "--output", tmp_path / "frozen", *flags)[0] == 0
    first = [history(folder)[0] for folder in (out, tmp_path / "frozen")]
    assert first[0]["effective"] == pytest.approx(
        first[1]["effective"], abs=1e-4
    )  # the head starts on equal embeddings

    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", out)
    assert code == 2
    assert "--column_set flyt_towers is no column set with image; there are m" in stderr
    pool = ["--input", f"{tmp_path}/pool/*.tar", "--output", scored]
    models = ["--model", f"m={tiny_network}", "--model", f"flyt_towers={out}/towers"]
    assert winnow("score", *pool, *models)[0] == 0
    code, _, stderr = winnow("score-flyt", "--output", scored, "--head", out)
    assert code == 0, stderr
    table = pq.read_table(scored / "columns/flyt/00000.parquet")["score"].to_numpy()
    assert np.isfinite(table).all()


def test_several_tasks_have_names_prompts_and_fields_of_their_own(winnow, scored, folder, tmp_path):
    samples = [
        {"png": coloured(COLOURS[name], seed), "json": json.dumps({"n": number}).encode()}
        for number, name in enumerate(("red", "blue")) for seed in range(10, 13)
    ]  # fmt: skip
    write_shard(tmp_path / "labels.tar", samples)
    (tmp_path / "names.txt").write_text("crimson\nnavy\n")
    (tmp_path / "prompts.txt").write_text("{}\n")
    tasks = ["--downstream", f"one={folder}", "--downstream", f"two={tmp_path}/labels.tar"]
    own = [
        "--label_field",
        "two=n",
        "--class_names",
        f"two={tmp_path}/names.txt",
        "--prompts",
        f"{tmp_path}/prompts.txt",
    ]
    flags = ["--pool", scored, *SMALL, *own]
    code, stdout, stderr = winnow("train-flyt", "--output", tmp_path / "both", *tasks, *flags)
    assert code == 0, stderr
    result = json.loads(stdout)
    assert (result["labelled"], result["classes"], result["skipped"]) == (12 + 6, 3 + 2, 0)
    alone = []
    for name, path in (("one", folder), ("two", f"{tmp_path}/labels.tar")):
        told = [text for text in flags if not str(text).startswith("two=")] if name == "one" else flags
        if name == "one":
            told = [flag for flag in told if flag not in ("--label_field", "--class_names")]
        assert winnow("train-flyt", "--output", tmp_path / name, "--downstream", f"{name}={path}", *told)[0] == 0
        alone.append(history(tmp_path / name)[0]["down_loss"])
    assert history(tmp_path / "both")[0]["down_loss"] == pytest.approx(sum(alone) / 2, rel=1e-6)
    code, _, stderr = winnow(
        "train-flyt", "--pool", scored, "--output", tmp_path / "wrong", "--downstream", folder, *tasks[:2],
        "--prompts", f"three={tmp_path}/prompts.txt", "--label_field", "one=a", "--label_field", "one=b",
    )  # fmt: skip
    assert code == 2
    for expected in ("belongs to no task", "--prompts three=...: no --downstream is of this task", "given 2 times"):
        assert expected in stderr


def test_labelled_pictures_are_embedded_once_for_all_runs(winnow, scored, folder, tmp_path, monkeypatch):
    flags = ["--pool", scored, "--downstream", folder, *SMALL]
    assert winnow("train-flyt", "--output", tmp_path / "first", *flags)[0] == 0
    kept = sorted((scored / "labelled").glob("*.safetensors"))
    assert [path.name.split("-")[0] for path in kept] == ["images", "scale", "texts"]
    with monkeypatch.context() as patch:
        patch.setattr(clip, "load", lambda *args, **kwargs: pytest.fail("the network was loaded"))
        assert winnow("train-flyt", "--output", tmp_path / "second", *flags)[0] == 0
        assert winnow("train-mix", "--output", tmp_path / "mix", "--score", "m.score", *flags)[0] == 0
    kept[0].write_bytes(kept[0].read_bytes()[:50])
    assert winnow("train-flyt", "--output", tmp_path / "third", *flags, "--cache", scored / "labelled")[0] == 0
    assert winnow("train-flyt", "--output", tmp_path / "fourth", *flags, "--cache", tmp_path / "cache")[0] == 0
    assert digests(tmp_path / "cache") == digests(scored / "labelled")
    (folder / "red/9.png").write_bytes(coloured(COLOURS["red"], 9))
    assert winnow("train-flyt", "--output", tmp_path / "more", *flags)[0] == 0
    assert len(list((scored / "labelled").iterdir())) == 4
    assert history(tmp_path / "more") != history(tmp_path / "first")
    weights = {(tmp_path / run / scoring_head.WEIGHTS).read_bytes() for run in ("first", "second", "third", "fourth")}
    assert len(weights) == 1


def write_shard(path, samples):
    tar = b"".join(
        write_member(f"{number:05d}.{extension}", data)
        for number, members in enumerate(samples)
        for extension, data in members.items()
    )
    path.write_bytes(tar + END_OF_ARCHIVE)


def test_labels_are_read_from_shards_and_folders_alike(winnow, scored, folder, tmp_path):
    order = sorted(COLOURS)
    samples = [
        {"png": (folder / name / f"{seed}.png").read_bytes(), "cls": str(number).encode(),
         "json": json.dumps({"kind": name, "n": number}).encode()}
        for number, name in enumerate(order) for seed in range(4)
    ]  # fmt: skip
    samples += [{"png": b"broken", "cls": b"1"}, {"png": picture(1)}, {"txt": b"x", "cls": b"0"}]
    write_shard(tmp_path / "labels.tar", samples)
    (tmp_path / "names.txt").write_text("\n".join(order) + "\n")
    shards = ["--downstream", tmp_path / "labels.tar"]
    named = ["--class_names", tmp_path / "names.txt"]
    ways = {
        "folder": ["--downstream", folder],
        "cls": [*shards, *named],
        "json": [*shards, "--label_field", "kind"],
        "number": [*shards, "--label_field", "n", *named],
        "folders": ["--downstream", folder, *named],
    }
    for way, flags in ways.items():
        code, stdout, stderr = winnow("train-flyt", "--pool", scored, "--output", tmp_path / way, *flags, *SMALL)
        assert code == 0, stderr
        assert json.loads(stdout)["labelled"] == 12
        in_folder = {"image_undecodable": 1}
        expected = in_folder if way.startswith("folder") else {**in_folder, "image_missing": 1, "label_missing": 1}
        assert json.loads(stdout)["labelled_left_out"] == expected
        told = ", ".join(f"1 {reason}" for reason in sorted(expected))
        assert f"12 labelled pictures, 3 classes; labelled pictures left out: {told}\n" in stderr
    weights = {(tmp_path / way / scoring_head.WEIGHTS).read_bytes() for way in ways}
    assert len(weights) == 1


def test_every_problem_is_told_at_once(winnow, scored, folder, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("")
    (tmp_path / "prompts.txt").write_text("a photo\n")
    code, _, stderr = winnow(
        "train-mix", "--pool", scored, "--output", tmp_path / "full", "--downstream", tmp_path / "none.tar",
        "--score", "m.scor", "--column_set", "vit", "--class_names", tmp_path / "no.txt",
        "--prompts", tmp_path / "prompts.txt", "--steps", "0", "--learning_rate", "nan", "--weight_decay", "-1",
        "--device", "tpu", "--reference_start", "mind", "--runner", "DirectRunner",
    )  # fmt: skip
    assert code == 2
    for expected in ("holds no run of this job", f"--downstream '{tmp_path}/none.tar' matches",
                     "did you mean m.score", "--column_set vit",
                     "--class_names", "no {} for the class", "--steps must be", "--learning_rate", "--weight_decay",
                     "--device must be", "--reference_start must be", "train-mix runs none; leave it out"):  # fmt: skip
        assert expected in stderr
    code, _, stderr = winnow("train-mix")
    assert code == 2
    for flag in ("--pool", "--output", "--downstream", "--score"):
        assert f"{flag} is missing" in stderr


def test_labels_that_cannot_be_used_are_named(winnow, scored, folder, tmp_path):
    write_shard(tmp_path / "numbers.tar", [{"png": picture(n), "cls": str(n).encode()} for n in range(4)])
    write_shard(tmp_path / "one.tar", [{"png": picture(n), "cls": b"dog"} for n in range(4)])
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    for flags, expected in (
        (["--downstream", tmp_path / "numbers.tar"], "name the classes by --class_names"),
        (["--downstream", tmp_path / "numbers.tar", "--class_names", tmp_path / "names.txt"], "2 labels are none"),
        (["--downstream", tmp_path / "one.tar"], "4 pictures with a label, of 1 classes"),
        (
            ["--downstream", folder, "--class_names", tmp_path / "names.txt"],
            "2 names, and --downstream 3 class folders",
        ),
        (["--downstream", folder, "--downstream", tmp_path / "one.tar"], "give one kind"),
    ):
        code, _, stderr = winnow("train-flyt", "--pool", scored, "--output", tmp_path / "out", *flags, *SMALL)
        assert code == 2
        assert expected in stderr
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_labelled_shard_that_is_cut_short_is_named(winnow, scored, tmp_path, suffix):
    write_shard(tmp_path / "whole.tar", [{"png": picture(n), "cls": b"cat" if n % 2 else b"dog"} for n in range(20)])
    data = (tmp_path / "whole.tar").read_bytes()
    data = gzip.compress(data) if suffix == ".tar.gz" else data
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "empty.tar").write_bytes(b"")
    for shard, reason in (
        (cut, "tar_truncated at byte"),
        (tmp_path / "empty.tar", "not_a_tar at byte 0: an empty file"),
    ):
        flags = ["--downstream", tmp_path / "whole.tar", "--downstream", shard, *SMALL]
        code, _, stderr = winnow("train-flyt", "--pool", scored, "--output", tmp_path / "out", *flags)
        assert code == 2
        assert f"--downstream {shard} is damaged ({reason}" in stderr
        assert not (tmp_path / "out").exists()


def test_a_column_that_says_nothing_is_refused(winnow, scored, folder, tmp_path):
    for path in sorted((scored / "columns/m").glob("*.parquet")):
        table = pq.read_table(path, columns=["score"])
        same = table.set_column(0, "score", [np.ones(len(table), np.float32)])
        (scored / "columns/flat").mkdir(exist_ok=True)
        (scored / "columns/flat" / path.name).write_bytes(columns.to_parquet(same, "s"))
    flags = ["--pool", scored, "--downstream", folder, "--score", "flat.score", "--score", "m.score", *SMALL]
    code, _, stderr = winnow("train-mix", "--output", tmp_path / "out", *flags)
    assert code == 2
    assert "--score flat.score is the same for every sample" in stderr


def test_columns_that_are_no_scores_are_told_before_any_work(winnow, scored, folder, tmp_path):
    wrong = {"index.caption": "string", "index.status": "string", "uid": "string", "m.image": "fixed_size_list"}
    flags = [text for name in [*wrong, "index.width", "m.score"] for text in ("--score", name)]
    more = ["--downstream", folder, "--output", tmp_path / "out", "--dry_run"]
    code, _, stderr = winnow("train-mix", "--pool", scored, *flags, *more)
    assert code == 2
    lines = sorted(stderr.splitlines())
    assert len(lines) == len(wrong)
    for line, (name, kind) in zip(lines, sorted(wrong.items()), strict=True):
        assert f"--score {name} is no number per sample ({kind}" in line
        assert "there are m.score;" in line


def test_embeddings_of_one_tower_are_none_to_learn_from(winnow, folder, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=False)
    model = ["--model", f"m=image:{tiny_network}"]
    assert winnow("score", "--input", f"{pool}/*.tar", "--output", tmp_path / "scored", *model)[0] == 0
    flags = ["--downstream", folder, "--output", tmp_path / "out"]
    for more in ([], ["--column_set", "m"]):
        code, _, stderr = winnow("train-flyt", "--pool", tmp_path / "scored", *flags, *more)
        assert code == 2
        assert "there are none; `winnow score` adds one" in stderr


def test_a_dry_run_starts_nothing(winnow, scored, folder, tmp_path):
    flags = ["--pool", scored, "--downstream", folder, "--dry_run"]
    code, stdout, stderr = winnow("train-flyt", "--output", tmp_path / "out", *flags)
    assert code == 0, stderr
    shown = json.loads(stdout)
    assert (shown["job"], shown["configuration"]["steps"], shown["shards"]) == ("train-flyt", 5000, 3)
    assert shown["model"]["name"] == "m"
    assert not (tmp_path / "out").exists()
