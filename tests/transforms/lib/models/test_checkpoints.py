"""Weights files: programs are refused before anything runs, trainers' checkpoints load, and messages are whole."""

import io
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from transforms.lib.errors import InputError
from transforms.lib.models import checkpoints, clip, resolve

NAMED = "open_clip_pytorch_model.bin"


class Program:
    """Runs when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def folder(tiny_network, tmp_path):
    """The tiny network as a folder without weights."""
    (tmp_path / "net").mkdir()
    shutil.copy(tiny_network / "open_clip_config.json", tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def state(tiny_network):
    return load_file(tiny_network / "open_clip_model.safetensors")


def loaded(folder):
    return clip.load(resolve.resolve(resolve.parse_model(f"m={folder}")))


def programs(marker):
    """Returns what hides in weights: calls of the system, of importers, and of what looks like torch's own."""
    runs = f"open({marker!r}, 'w')"
    return {
        "system": Program(os.system, f"touch {marker}"),
        "open": Program(open, marker, "w"),
        "eval": Program(eval, runs),
        "exec": Program(exec, runs),
        "nested": {"state_dict": {"w": torch.zeros(1), "x": [Program(os.system, f"touch {marker}")]}},
        "load": Program(torch.load, marker),
        "numpy": Program(np.load, marker),
        "getattr": Program(getattr, "text", "upper"),
    }


def written(path, content, form):
    if form == "plain":
        path.write_bytes(pickle.dumps(content))
    elif form == "protocol4":
        torch.save(content, path, pickle_protocol=4)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "protocol4"])
@pytest.mark.parametrize("name", list(programs("")))
def test_a_program_in_weights_is_refused_before_work_and_does_not_run(folder, tmp_path, form, name):
    marker = tmp_path / "ran"
    written(folder / NAMED, programs(str(marker))[name], form)
    with pytest.raises(InputError, match=r"which is no tensor, and is not opened; save its tensors alone") as error:
        resolve.resolve(resolve.parse_model(f"m={folder}"))
    with pytest.raises(InputError):
        checkpoints.read("m", str(folder / NAMED))
    assert "weights_only" not in str(error.value)
    assert not marker.exists()


def test_a_name_that_a_pickle_puts_together_itself_is_refused(folder):
    hidden = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x04true\x85R."
    (folder / NAMED).write_bytes(hidden)
    with pytest.raises(InputError, match="which is no tensor"):
        checkpoints.check("m", str(folder / NAMED))


def test_a_program_of_torchscript_is_refused_with_its_cure(folder):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), folder / NAMED)
    with pytest.raises(InputError, match=r"a program of TorchScript, and is not opened; save its tensors alone"):
        resolve.resolve(resolve.parse_model(f"m={folder}"))


def optimizer():
    """Returns AdamW's state with a learning rate that a cosine schedule in numpy left behind."""
    weight = torch.nn.Parameter(torch.ones(2))
    found = torch.optim.AdamW([weight])
    weight.sum().backward()
    found.step()
    found.param_groups[0]["lr"] = 0.5 * (1 + np.cos(np.pi * 0.3)) * 1e-3
    return found.state_dict()


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "checkpoint",
    [
        lambda state: {"epoch": 3, "name": "run", "state_dict": prefixed(state, "module."), "optimizer": optimizer()},
        lambda state: {
            "state_dict": state,
            "scaler": {"scale": 65536.0},
            "args": __import__("argparse").Namespace(lr=1),
        },
        lambda state: {"n_averaged": torch.tensor(5), **prefixed(state, "module.")},
        lambda state: prefixed(state, "_orig_mod.module."),
        lambda state: {"model": state, "best": np.float32(0.5), "random": np.arange(4), "when": np.int64(3)},
        lambda state: {"state_dict": prefixed(state, "model."), "loss": {"bias": torch.zeros(1)}},
        dict,
    ],
    ids=["open_clip", "scaler", "averaged", "compiled", "numpy", "lightning", "bare"],
)
def test_what_a_trainer_writes_gives_the_same_embeddings(folder, tiny_network, state, checkpoint, legacy):
    torch.save(checkpoint(state), folder / NAMED, _use_new_zipfile_serialization=not legacy)
    texts = ["a dog", "two dogs"]
    assert np.array_equal(loaded(folder).embed_texts(texts), loaded(tiny_network).embed_texts(texts))


def test_weights_and_their_average_in_one_file_are_told_apart_by_the_user(folder, state):
    torch.save({"state_dict": state, "state_dict_ema": state}, folder / NAMED)
    with pytest.raises(InputError, match=r"holds 2 networks \(state_dict, state_dict_ema\); save the state_dict"):
        loaded(folder)


def test_a_file_without_a_network_is_named(folder):
    torch.save({"epoch": 1, "optimizer": optimizer()}, folder / NAMED)
    with pytest.raises(InputError, match="holds no state_dict of a network"):
        loaded(folder)


def test_another_networks_tensors_are_named(folder, state):
    torch.save({**state, "visual.proj": torch.zeros(3, 3)}, folder / NAMED)
    with pytest.raises(InputError, match=r"visual.proj is \[3, 3\] in the file, \[32, 16\] in the network; give"):
        loaded(folder)
    torch.save({**state, "odd": torch.zeros(3)}, folder / NAMED)
    with pytest.raises(InputError, match=r"has, and the network has not, 1 tensors \(odd\)"):
        loaded(folder)


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"no weights", b"\x80\x02."])
def test_bytes_that_are_no_weights_are_named_in_one_whole_line(folder, data):
    (folder / NAMED).write_bytes(data)
    with pytest.raises(InputError) as error:
        loaded(folder)
    assert str(error.value).endswith(checkpoints.HINT) or str(error.value).endswith(checkpoints.SAVE)
    assert "\n" not in str(error.value)


def test_a_zip_file_of_something_else_is_refused(folder):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("readme", "hello")
    (folder / NAMED).write_bytes(sink.getvalue())
    with pytest.raises(InputError, match=r"a zip file without a pickle of torch\); give"):
        loaded(folder)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RuntimeError("short words"), "short words"),
        (RuntimeError("First line here.\n" + "x " * 400), "First line here"),
        (RuntimeError("One sentence. " + "y " * 400), "One sentence"),
        (KeyError("x" * 400), "KeyError"),
    ],
)
def test_a_librarys_words_are_told_whole_or_not_at_all(raised, told):
    with pytest.raises(InputError, match=rf"w.pt cannot be loaded \({told}\); give"), checkpoints.reading("m", "w.pt"):
        raise raised


def test_safetensors_come_first(folder, state):
    save_file(state, folder / "open_clip_model.safetensors")
    written(folder / NAMED, programs("")["system"], "zip")
    assert np.isfinite(loaded(folder).embed_texts(["a dog"])).all()


def test_an_edited_configuration_is_noticed_on_the_worker(folder, state):
    save_file(state, folder / "open_clip_model.safetensors")
    spec = resolve.resolve(resolve.parse_model(f"m={folder}"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.4, 0.4, 0.4]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert resolve.resolve(resolve.parse_model(f"m={folder}")).files != spec.files
    with pytest.raises(InputError, match="configuration or tokenizer differ from those at the start"):
        clip.load(spec)
