"""Fixtures.

tiny_network   a real open_clip model of one layer with seeded weights, as a folder in local-dir form
small_pool     three shards of real JPEGs with captions, and one of each common fault
gcs, s3        a bucket of a real server on loopback; bucket is each in turn
azure          the same of Azurite, where npm can install it
web, hub       a folder of a web server, and of one that speaks as the Hugging Face Hub does
faulty_pool    small_pool, written once
winnow         runs a job in this process and returns (exit code, stdout, stderr)
"""

import io
import json
import os

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from tests import servers
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

settings.register_profile("winnow", deadline=None, derandomize=True)  # equal on every machine, however busy
settings.load_profile("winnow")
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that needs the network is a mistake: let it fail at once

TINY = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic"},
}


@pytest.fixture(scope="session")
def tiny_network(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("tiny"))


def write_tiny(folder):
    """Writes a network of one layer with seeded weights."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(TINY))
    torch.manual_seed(0)
    network = CLIP(**TINY["model_cfg"])
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def picture(seed, kind="JPEG"):
    """Returns a small picture whose colours depend on the seed."""
    random = np.random.default_rng(seed)
    cells = random.integers(0, 255, (4, 5, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(cells).resize((50, 40), Image.Resampling.NEAREST).save(sink, kind)
    return sink.getvalue()


def make_pool(folder, shards=3, rows=16, faults=True):
    """Writes a pool; with faults, shard 1 has one of each and the last shard is cut short."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        tar = b""
        for row in range(rows):
            seed = 1000 * shard + row
            members = {"jpg": picture(seed), "txt": f"thing number {seed}".encode(), "cls": b"7"}
            if row % 4:
                members["json"] = json.dumps({"uid": f"{seed:032x}"}).encode()
            if faults and shard == 1 and row == 2:
                members["jpg"] = b"\xff\xd8 no picture"
            if faults and shard == 1 and row == 3:
                del members["txt"]
            if faults and shard == 1 and row == 5:
                members["txt"] = "caf\xe9".encode("latin-1")
            tar += b"".join(write_member(f"{shard:03d}{row:04d}.{e}", data) for e, data in members.items())
        tar += END_OF_ARCHIVE
        if faults and shard == shards - 1:
            tar = tar[:-3000]
        (folder / f"{shard:05d}.tar").write_bytes(tar)
    return folder


@pytest.fixture
def small_pool(tmp_path):
    return make_pool(tmp_path / "pool")


@pytest.fixture(scope="session")
def gcs(tmp_path_factory):
    with servers.gcs(tmp_path_factory.mktemp("gcs")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def s3():
    with servers.s3() as bucket:
        yield bucket


@pytest.fixture(scope="session")
def web(tmp_path_factory):
    with servers.web(tmp_path_factory.mktemp("web")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    with servers.hub(tmp_path_factory.mktemp("hub")) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def azure():
    try:
        with servers.azure() as bucket:
            yield bucket
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture(params=["gcs", "s3"])
def bucket(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def faulty_pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("faulty"))


@pytest.fixture
def winnow(capsys):
    from beam_pipelines import cli

    def run(*args):
        capsys.readouterr()
        code = cli.main([str(arg) for arg in args])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
