"""Heads on embeddings give what torch gives with the same weights, in the published forms."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from transforms.lib.annotators import embedding_heads
from transforms.lib.errors import InputError


def embeddings(n=50, dim=12):
    rows = np.random.default_rng(0).normal(size=(n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


class Improved(torch.nn.Module):
    """christophschuhmann/improved-aesthetic-predictor, ``MLP``, narrower."""

    def __init__(self, dim=12):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(dim, 10), torch.nn.Dropout(0.2), torch.nn.Linear(10, 8), torch.nn.Dropout(0.2),
            torch.nn.Linear(8, 6), torch.nn.Dropout(0.1), torch.nn.Linear(6, 4), torch.nn.Linear(4, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def safety(dim=12):
    """The form of LAION-AI/CLIP-based-NSFW-Detector: normalisation, ReLU between linear layers, sigmoid."""
    network = torch.nn.Sequential(
        torch.nn.BatchNorm1d(dim), torch.nn.Linear(dim, 8), torch.nn.ReLU(), torch.nn.Linear(8, 6), torch.nn.ReLU(),
        torch.nn.Linear(6, 1),
    )  # fmt: skip
    network[0].running_mean.normal_()
    network[0].running_var.uniform_(0.5, 2)
    return network


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def said(network, relu, tmp_path):
    save_file(network.state_dict(), tmp_path / "head.safetensors")
    layers = embedding_heads.read_layers(str(tmp_path / "head.safetensors"), "head", "--head")
    return embedding_heads.run(layers, embeddings(), relu=relu)


@pytest.mark.parametrize(("make", "relu"), [(lambda: torch.nn.Linear(12, 1), False), (Improved, False), (safety, True)])
def test_a_head_says_what_torch_says(make, relu, tmp_path):
    network = make().eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(embeddings().astype(np.float32)))[:, 0].numpy()
    np.testing.assert_allclose(said(network, relu, tmp_path), expected, rtol=1e-4, atol=1e-5)


def test_layers_are_in_the_order_of_their_numbers(tmp_path):
    network = torch.nn.Sequential(*[torch.nn.Linear(12, 12) for _ in range(11)], torch.nn.Linear(12, 1)).eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(embeddings().astype(np.float32)))[:, 0].numpy()
    np.testing.assert_allclose(said(network, False, tmp_path), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": torch.ones(2, 12), "bias": torch.zeros(2)},
        {
            "a.0.weight": torch.ones(4, 12),
            "a.0.bias": torch.zeros(4),
            "a.1.weight": torch.ones(1, 5),
            "a.1.bias": torch.zeros(1),
        },
        {"weight": torch.ones(1, 12)},
        {"weight": torch.ones(12), "bias": torch.zeros(1)},
    ],
)
def test_what_is_no_head_is_refused_in_a_line(tensors, tmp_path):
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"is no head of linear layers as \.safetensors .* save a \.pth"):
        embedding_heads.read_layers(str(tmp_path / "x.safetensors"), "x", "--nsfw_head")


def test_a_file_that_is_none_is_refused(tmp_path):
    torch.save({"weight": torch.ones(1, 12)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="--aesthetic_head x is no head"):
        embedding_heads.read_layers(str(tmp_path / "x.pth"), "x", "--aesthetic_head")
