"""`winnow score`: several networks on one decode, devices, variants, and what it says at the end."""

import json
import re

import pyarrow.parquet as pq
import pytest


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
    assert manifest["score"]["scored_with"] == {"device": "cpu", "precision": "fp32", "batch_size": 8}


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
    monkeypatch.setattr("transforms.lib.devices.device_of", lambda asked: "cuda")
    args = ("--input", f"{small_pool}/*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}")
    code, _, err = winnow("score", *args, "--device", "cuda", "--preprocess", "gpu")
    assert code == 2
    (line,) = err.splitlines()
    assert line.startswith("winnow score: --preprocess gpu: torchvision cannot decode on cuda (")
    assert line.endswith("); use fast")
    assert not (tmp_path / "out").exists()


def test_a_worker_that_cannot_decode_on_its_gpu_says_so_before_its_first_shard(tiny_network, tmp_path):
    import torch

    from transforms.handler import OpenClipShardHandler
    from transforms.lib import modelspec
    from transforms.lib.errors import InputError
    from transforms.scoreshard import ScoreSettings

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    spec = modelspec.resolve(modelspec.parse_model(f"net={tiny_network}"), variant="gpu")
    with pytest.raises(InputError, match="torchvision cannot decode on cuda"):
        OpenClipShardHandler(ScoreSettings(str(tmp_path), (spec,), device="cuda")).load_model()
