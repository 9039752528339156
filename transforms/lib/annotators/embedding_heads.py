"""Heads on CLIP's image embeddings, from given weights: LAION's aesthetic predictors and its safety head."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch, address
from transforms.lib.arrays import Float32
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.stamps import sha256_of

EPSILON = 1e-5
"""Added to variances, as torch's BatchNorm1d does."""
_ROWS = 4096  # rows whose activations are held at once


class Layer(NamedTuple):
    """A linear map, or a normalisation by stored means and variances.

    Attributes:
      weight: ``[out, in]`` of a linear map; ``[in]`` of a normalisation.
      bias: ``[out]``.
      mean, variance: ``[in]`` of a normalisation; None of a linear map.
    """

    weight: NDArray[Any]
    bias: NDArray[Any]
    mean: NDArray[Any] | None = None
    variance: NDArray[Any] | None = None


def layers_of(tensors: Mapping[str, NDArray[Any]]) -> list[Layer]:
    """Returns the layers of a head, in the order of the numbers in their names.

    Args:
      tensors: as torch's ``state_dict`` names them: ``weight`` and ``bias`` of one layer, or these behind
        ``layers.0.``, ``layers.2.`` and so on; ``running_mean`` and ``running_var`` beside them make a normalisation.

    Raises:
      ValueError: they are no chain of layers that ends in one number.
    """
    groups: dict[str, dict[str, NDArray[Any]]] = {}
    for name, value in tensors.items():
        owner, _, part = name.rpartition(".")
        if part != "num_batches_tracked":
            groups.setdefault(owner, {})[part] = value.astype(np.float64)
    found = []
    for owner in sorted(groups, key=lambda one: [int(n) for n in re.findall(r"\d+", one)]):
        parts = groups[owner]
        if set(parts) not in ({"weight", "bias"}, {"weight", "bias", "running_mean", "running_var"}):
            raise ValueError(f"{owner or 'it'} has {', '.join(sorted(parts))}")
        found.append(Layer(parts["weight"], parts["bias"], parts.get("running_mean"), parts.get("running_var")))
    width = None
    for layer in found:
        inputs = layer.weight.shape[-1]
        if layer.weight.ndim != (1 if layer.mean is not None else 2) or width not in (None, inputs):
            raise ValueError(f"a layer of shape {list(layer.weight.shape)} follows one of width {width}")
        width = len(layer.bias)
    if width != 1:
        raise ValueError("its last layer does not give one number")
    return found


def run(layers: Sequence[Layer], image: NDArray[Any], *, relu: bool) -> Float32:
    """Returns what a head says of embeddings, float32 ``[n]``.

    Args:
      layers: of the head.
      image: float ``[n, dim]``, unit rows.
      relu: negative values become 0 behind every linear map but the last.
    """
    found = np.empty(len(image), np.float32)
    for start in range(0, len(image), _ROWS):
        x = image[start : start + _ROWS].astype(np.float64)
        for number, layer in enumerate(layers):
            if layer.mean is not None and layer.variance is not None:
                x = (x - layer.mean) / np.sqrt(layer.variance + EPSILON) * layer.weight + layer.bias
                continue
            x = x @ layer.weight.T + layer.bias
            if relu and number < len(layers) - 1:
                x = np.maximum(x, 0)
        found[start : start + _ROWS] = x[:, 0]
    return found


def read_layers(path: str, address: str, flag: str) -> list[Layer]:
    """Reads the layers of a head from a ``.safetensors`` file.

    Raises:
      InputError: it is none, or no head; one line says how to make it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return layers_of(load_file(path))
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(
            f"{flag} {address} is no head of linear layers as .safetensors ({' '.join(str(error).split())}); save a "
            ".pth with safetensors.torch.save_file(torch.load(PTH, weights_only=True), FILE)"
        ) from None


@dataclasses.dataclass(frozen=True)
class EmbeddingHead(Annotator):
    """The column set ``aesthetic`` or ``nsfw``: ``score``, float32, of a head on a model's image embeddings.

    ``aesthetic`` is LAION's predictor: one linear layer, or the "improved" one of five with dropout between them and no
    other function (github.com/LAION-AI/aesthetic-predictor, christophschuhmann/improved-aesthetic-predictor there).
    People's ratings go from 1 to 10; more is better. ``nsfw`` is LAION's safety head: linear layers with ReLU between
    them and a sigmoid behind, after a normalisation where the file has one (LAION-AI/CLIP-based-NSFW-Detector there;
    DataComp dropped images above 0.1, Gadre et al. 2023, arXiv:2304.14108, appendix). In [0, 1]; less is better.

    Each belongs to the network whose embeddings it was trained on, which are those of OpenAI's ViT-L/14 as a rule.

    Attributes:
      model: the column set of the image embeddings.
      head: address of the weights, ``.safetensors``.
      sha256: of that file.
      dim: of the embeddings that it takes.
    """

    kind = "EmbeddingHead"
    column_sets = ("aesthetic", "nsfw")
    related = True

    model: str = ""
    head: str = address()
    sha256: str = ""
    dim: int = 0

    @classmethod
    def resolve(cls, name: str, options: Mapping[str, Any], fetch: Fetch) -> EmbeddingHead:
        flag = f"--{name}_head"
        where = options[f"{name}_head"]
        if not where:
            raise ConfigError(f"--columns {name} needs {flag} FILE: the weights of the head, .safetensors")
        path = fetch(where)
        layers = read_layers(path, where, flag)
        return cls(name, options["model"], where, sha256_of(path), layers[0].weight.shape[-1])

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.model}.score", f"{self.model}.image")

    def problems(self, types: Mapping[str, pa.DataType]) -> list[str]:
        dim = types[self.inputs()[1]].list_size
        if dim == self.dim:
            return []
        return [
            f"--{self.name}_head {self.head} takes embeddings of {self.dim} dimensions, {self.model}.image has {dim}; "
            "give the head of that model"
        ]

    def load(self, fetch: Fetch) -> Annotate:
        path = fetch(self.head)
        if sha256_of(path) != self.sha256:
            raise InputError(f"--{self.name}_head {self.head} changed while the job ran; run it again")
        layers = read_layers(path, self.head, f"--{self.name}_head")

        def work(block: Block) -> pa.Table:
            score = np.full(len(block.valid), np.nan, np.float32)
            found = run(layers, block.columns[self.inputs()[1]][block.valid], relu=self.name == "nsfw")
            score[block.valid] = _sigmoid(found) if self.name == "nsfw" else found
            return pa.table({"score": pa.array(score)})

        return work


def _sigmoid(logits: Float32) -> Float32:
    from scipy.special import expit

    found: Float32 = expit(logits)
    return found
