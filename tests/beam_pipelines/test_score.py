"""`winnow score`: several networks on one decode, devices, variants, and what it says at the end."""

import io
import json
import math
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import make_pool, picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


def columns_of(folder, name):
    return pq.read_table(folder / "columns" / name / "00000.parquet")


def test_networks_and_towers_share_a_run_and_write_sets_of_their_own(winnow, tiny_network, small_pool, tmp_path):
    towers = (("net", ""), ("eye", "image:"), ("ear", "text:"))
    models = [f"--model={name}={part}{tiny_network}" for name, part in towers]
    code, out, err = winnow("score", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", *models)
    assert code == 0, err
    net, eye, ear = (columns_of(tmp_path / "out", name) for name in ("net", "eye", "ear"))
    assert (eye.column_names, ear.column_names) == (["image"], ["text"])
    assert eye["image"].equals(net["image"])
    assert ear["text"].equals(net["text"])
    counters = json.loads(out)["counters"]
    assert counters["score.images_scored"] == counters["score.out"]
    assert counters["score.bytes_read"] == sum(path.stat().st_size for path in small_pool.glob("*.tar"))
    assert counters["score.gpu_busy_ms"] == 0
    assert re.search(r"^--device auto: (cpu|cuda)$", err, re.M)
    assert re.search(r"^scoring was bound by .*: of its time \d+ % ", err, re.M)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    made = {"device": "cpu", "precision": "fp32", "batch_size": 8}
    assert manifest["score"]["scored_with"] == dict.fromkeys(("net", "eye", "ear"), made)


def test_variants_and_precisions_have_stamps_of_their_own(winnow, tiny_network, small_pool, tmp_path):
    stamps = set()
    for number, flags in enumerate([(), ("--preprocess", "fast"), ("--precision", "bf16")]):
        output = tmp_path / f"out{number}"
        args = ("--input", f"{small_pool}/*.tar", "--output", output, "--model", f"net={tiny_network}", *flags)
        assert winnow("score", *args)[0] == 0
        stamps.add(columns_of(output, "net").schema.metadata[b"winnow.stamp"])
    assert len(stamps) == 3


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--device", "tpu", "--device must be auto, cpu or cuda, got 'tpu'"),
        ("--precision", "int8", "--precision must be auto, fp32, bf16 or fp16, got 'int8'"),
        ("--preprocess", "slow", "--preprocess must be exact, fast or gpu, got 'slow'"),
        ("--preprocess", "gpu", "--preprocess gpu needs a GPU: give --device cuda too, or use --preprocess fast"),
    ],
)
def test_what_is_not_there_is_said_before_the_start(winnow, small_pool, tmp_path, flag, value, message):
    code, _, err = winnow("score", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", flag, value)
    assert code == 2
    assert message in err


def test_a_gpu_that_is_asked_for_and_absent_is_an_error(winnow, small_pool, tiny_network, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    code, _, err = winnow("score", *args, "--device", "cuda")
    assert code == 2
    assert "--device cuda: no GPU is visible to torch" in err


def test_a_named_gpu_that_is_absent_is_one_problem_and_not_two(winnow, small_pool, tiny_network, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    code, _, err = winnow("score", *args, "--device", "cuda", "--preprocess", "gpu")
    assert code == 2
    assert "--device cuda: no GPU is visible to torch" in err
    assert "--preprocess gpu needs" not in err


def test_a_torchvision_without_nvjpeg_is_one_line_before_the_start(
    winnow, small_pool, tiny_network, tmp_path, monkeypatch
):
    """torch says that there is a GPU; torchvision, asked for real, has no decoder for it."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr("transforms.lib.devices.devices.device_of", lambda asked: "cuda")
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    code, _, err = winnow("score", *args, "--device", "cuda", "--preprocess", "gpu")
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("winnow score: --preprocess gpu: torchvision cannot decode on cuda (")
    assert line.endswith("); use fast")
    assert not (tmp_path / "out").exists()


def test_a_worker_that_cannot_decode_on_its_gpu_says_so_before_its_first_shard(tiny_network, tmp_path):
    import torch

    from transforms.lib.errors import InputError
    from transforms.lib.models import resolve
    from transforms.workers.score_shard import ScoreSettings, ScoreShard

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    spec = resolve.resolve(resolve.parse_model(f"net={tiny_network}"), variant="gpu")
    with pytest.raises(InputError, match="torchvision cannot decode on cuda"):
        ScoreShard(ScoreSettings(str(tmp_path), (spec,), device="cuda")).load()


@pytest.mark.parametrize("part", ["", "text:", "image:"])
def test_an_image_of_no_bytes_costs_itself_alone(winnow, tiny_network, tmp_path, part):
    tar = b""
    for row in range(6):
        members = {"jpg": b"" if row in (1, 4) else picture(row), "txt": f"number {row}".encode()}
        tar += b"".join(write_member(f"{row:04d}.{e}", data) for e, data in members.items())
    (tmp_path / "00000.tar").write_bytes(tar + END_OF_ARCHIVE)
    model = f"net={part}{tiny_network}"
    code, _, err = winnow("score", "--input", tmp_path / "00000.tar", "--output", tmp_path / "out", "--model", model)
    assert code == 0, err
    index = columns_of(tmp_path / "out", "index").to_pylist()
    assert [row["status"] == "ok" for row in index] == [True, False, True, True, False, True]
    assert {(row["status"], row["detail"], row["phash"]) for row in index if row["status"] != "ok"} == {
        ("image_undecodable", "the image has no bytes", 0)
    }
    made = columns_of(tmp_path / "out", "net")
    assert len(made) == 6
    if not part:
        assert [math.isnan(score) for score in made["score"].to_pylist()] == [row in (1, 4) for row in range(6)]


def test_the_order_of_networks_decides_nothing(winnow, tiny_network, tmp_path):
    """One sees an image by its shorter side, the other by its longer one, of which a 700 x 1 image has no row left."""
    other = shutil.copytree(tiny_network, tmp_path / "other")
    told = json.loads((other / "open_clip_config.json").read_text())
    told["preprocess_cfg"]["resize_mode"] = "longest"
    (other / "open_clip_config.json").write_text(json.dumps(told))
    sink = io.BytesIO()
    Image.new("RGB", (700, 1), "teal").save(sink, "JPEG")
    tar = b""
    for row, data in enumerate([picture(0), sink.getvalue(), picture(1)]):
        tar += write_member(f"{row:04d}.jpg", data) + write_member(f"{row:04d}.txt", b"a thing")
    (tmp_path / "00000.tar").write_bytes(tar + END_OF_ARCHIVE)
    models = {"short": tiny_network, "long": other}
    for order in (("short", "long"), ("long", "short")):
        for name in order:
            args = ("--input", tmp_path / "00000.tar", "--output", tmp_path / order[0], "--model")
            code, out, err = winnow("score", *args, f"{name}={models[name]}")
            assert code == 0, err
            assert json.loads(out)["counters"].get("score.unseen_by_long", 0) == (name == "long")
    for name in ("index", "short", "long"):
        one, two = ((tmp_path / first / "columns" / name / "00000.parquet").read_bytes() for first in models)
        assert one == two
    assert set(columns_of(tmp_path / "long", "index")["status"].to_pylist()) == {"ok"}
    assert math.isnan(columns_of(tmp_path / "long", "long")["score"][1].as_py())
    output = ("--output", tmp_path / "long")
    assert winnow("annotate", *output, "--columns", "clipscore", "--model", "long")[0] == 0
    assert math.isnan(columns_of(tmp_path / "long", "clipscore")["score"][1].as_py())
    recipe = ("--recipe", "clip_score", "--set", "top_fraction.column=long.score", "--max_reject_fraction", "0.5")
    code, _, err = winnow("select", *output, *recipe)
    assert code == 0, err
    assert json.loads((tmp_path / "long/books.json").read_text())["rejected"] == {"score_not_finite": 1}


@pytest.mark.parametrize(("flag", "most"), [("--threads", 1024), ("--decode_threads", 1024), ("--batch_size", 16_384)])
@pytest.mark.parametrize("value", [-1, 100_000, 3_000_000])
def test_what_no_machine_has_is_refused_in_a_line(winnow, small_pool, tmp_path, flag, most, value):
    code, _, err = winnow("score", "--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", flag, value)
    assert code == 2
    assert err == f"winnow score: {flag} must be in 0 .. {most}, got {value}; 0 chooses by the machine\n"


def test_a_second_network_leaves_the_first_in_the_manifest(winnow, tiny_network, tmp_path):
    pool = make_pool(tmp_path / "pool", faults=False)
    args = ("--input", f"{pool}/*.tar", "--output", tmp_path / "out", "--model")
    assert winnow("score", *args, f"a={tiny_network}", "--precision", "bf16")[0] == 0
    before = json.loads((tmp_path / "out/manifest.json").read_text())["score"]
    assert winnow("score", *args, f"b={tiny_network}")[0] == 0
    now = json.loads((tmp_path / "out/manifest.json").read_text())["score"]
    assert sorted(now["stamps"]["models"]) == ["a", "b"]
    assert now["stamps"]["models"]["a"] == before["stamps"]["models"]["a"]
    assert {name: told["precision"] for name, told in now["scored_with"].items()} == {"a": "bf16", "b": "fp32"}
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out/columns").rglob("*.parquet")}
    assert set(now["outputs"]) == written
    assert len(written) == 9
    assert winnow("select", "--output", tmp_path / "out", "--set", "top_fraction.column=b.score")[0] == 0
    assert winnow("verify", "--output", tmp_path / "out")[0] == 0
    damaged = tmp_path / "out/columns/a/00001.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    code, _, err = winnow("verify", "--output", tmp_path / "out")
    assert code == 1
    assert "columns/a/00001.parquet is not what was written" in err
    assert winnow("score", *args, f"b={tiny_network}")[0] == 0
    again = json.loads((tmp_path / "out/manifest.json").read_text())["score"]
    assert (again["outputs"], again["stamps"]) == (now["outputs"], now["stamps"])


def test_what_was_rejected_is_said_at_the_end(winnow, tiny_network, small_pool, tmp_path):
    args = ("--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}", "--output")
    code, out, err = winnow("score", *args, tmp_path / "out")
    rejected = {row["status"] for n in range(3) for row in index_of(tmp_path / "out", n) if row["status"] != "ok"}
    assert code == 0
    said = re.search(r"^(\d+) of (\d+) samples were rejected: (.*)$", err, re.M)
    counters = json.loads(out)["counters"]
    assert int(said[1]) == counters["score.in"] - counters["score.out"]
    assert {part.split()[1] for part in said[3].split(", ")} == rejected
    assert "nothing is left" not in err
    code, _, err = winnow("score", *args, tmp_path / "none", "--caption_field", "nope")
    assert code == 0
    assert "nothing is left of this pool: name the json field that holds the caption by --caption_field" in err


def test_deep_images_score_as_their_8_bits_and_are_counted(winnow, tiny_network, tmp_path):
    levels = np.asarray(Image.open(io.BytesIO(picture(3))).convert("L"))
    tar = b""
    for key, values in (("a", levels), ("b", levels.astype(np.uint16) * 257)):
        sink = io.BytesIO()
        Image.fromarray(values).save(sink, "PNG")
        tar += write_member(f"{key}.png", sink.getvalue()) + write_member(f"{key}.txt", b"a grey thing")
    (tmp_path / "00000.tar").write_bytes(tar + END_OF_ARCHIVE)
    args = ("--input", tmp_path / "00000.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    code, _, err = winnow("score", *args)
    assert code == 0
    assert "1 samples have an image of more than 8 bits per channel" in err
    one, two = index_of(tmp_path / "out", 0)
    assert (one["phash"], one["notices"], two["notices"]) == (two["phash"], "", "image_depth")
    scores = pq.read_table(tmp_path / "out/columns/net/00000.parquet")["score"].to_pylist()
    assert scores[0] == scores[1]


def index_of(folder, shard):
    return pq.read_table(folder / "columns/index" / f"{shard:05d}.parquet").to_pylist()


@pytest.mark.parametrize("spoil", ["cut", "other"])
def test_weights_that_do_not_fit_are_one_line(winnow, tiny_network, small_pool, tmp_path, spoil):
    folder = shutil.copytree(tiny_network, tmp_path / "net")
    file = folder / "open_clip_model.safetensors"
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        told = json.loads((folder / "open_clip_config.json").read_text())
        told["model_cfg"]["vision_cfg"]["layers"] = 2
        (folder / "open_clip_config.json").write_text(json.dumps(told))
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={folder}")
    code, _, err = winnow("score", *args)
    assert code == (2 if spoil == "cut" else 1)
    assert (tmp_path / "out").exists() == (spoil != "cut")
    assert "Traceback" not in err
    said = r"cannot be loaded \(.*\)" if spoil == "cut" else "its file lacks 12 tensors .*"
    assert re.search(rf"^winnow score: --model net: .*{said}; give the weights file of this network, whole$", err, re.M)
