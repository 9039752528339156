"""FLYT's scoring head: a gated linear unit on the embeddings of an image and its caption, and its two files.

``w2(SiLU(w1 x) * (w3 x))`` with x the two embeddings side by side (Shechter and Carmon 2025, arXiv:2503.08805; gated
linear units: Shazeer 2020, arXiv:2002.05202).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32
from transforms.lib.errors import InputError

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params

WEIGHTS, CONFIG = "flyt_head.safetensors", "flyt_head.json"
NOISE = 0.01  # standard deviation of FLYT's cosine-similarity start
BATCH = 4096  # rows scored at once, the last batch padded, so that a row's score depends on its row alone


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """What the file beside the weights says.

    Attributes:
      dim: of one embedding; x has twice as many entries.
      hidden_mod: hidden units over entries of x, at least 1; FLYT has 1.
      column_set: whose embeddings the head reads, as it was called when it was trained.
      embeddings: what those embeddings were made by: name -> value of ``ModelSpec``.
    """

    dim: int
    hidden_mod: int = 1
    column_set: str = ""
    embeddings: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def hidden(self) -> int:
        """Hidden units."""
        return self.hidden_mod * 2 * self.dim


def shapes(config: HeadConfig) -> dict[str, tuple[int, ...]]:
    """Returns name -> shape of every tensor of a head."""
    width, hidden = 2 * config.dim, config.hidden
    into: tuple[int, ...] = (hidden, width)
    return {
        "w1.weight": into, "w1.bias": (hidden,), "w3.weight": into, "w3.bias": (hidden,),
        "w2.weight": (1, hidden), "w2.bias": (1,),
    }  # fmt: skip


def start(config: HeadConfig, *, cosine: bool, generator: torch.Generator, noise: float = NOISE) -> Params:
    """Draws a head.

    With ``cosine`` it gives the cosine of the two embeddings, but for noise on every weight. Units come in
    pairs, one for each sign: ``SiLU(i) t + SiLU(-i)(-t) = i t (sigmoid(i) + sigmoid(-i)) = i t``, so the sum over the
    entries of both embeddings is exact. Without, it is torch's own start of linear layers, uniform within 1/sqrt(fan).

    Args:
      config: its sizes.
      cosine: which start.
      generator: of the draws.
      noise: standard deviation of the noise of the cosine start; without any, units of one sign learn alike.

    Returns:
      name -> float32 tensor.
    """
    import torch

    drawn = {}
    for name, shape in shapes(config).items():
        if cosine:
            drawn[name] = noise * torch.randn(shape, generator=generator)
        else:
            fan = config.hidden if name.startswith("w2") else 2 * config.dim
            drawn[name] = (2 * torch.rand(shape, generator=generator) - 1) / fan**0.5
    if cosine:
        units = torch.arange(2 * config.dim)
        entry, sign = units % config.dim, 1.0 - 2.0 * (units >= config.dim)
        drawn["w1.weight"][units, entry] += sign
        drawn["w3.weight"][units, config.dim + entry] += sign
        drawn["w2.weight"][0, units] += 1
    return drawn


def apply(params: Params, x: torch.Tensor) -> torch.Tensor:
    """Returns the scores ``[n]`` of embeddings ``[n, 2 dim]``, image first."""
    from torch.nn import functional

    gate = functional.silu(functional.linear(x, params["w1.weight"], params["w1.bias"]))
    value = functional.linear(x, params["w3.weight"], params["w3.bias"])
    return functional.linear(gate * value, params["w2.weight"], params["w2.bias"]).squeeze(-1)


def scores(params: Params, image: NDArray[np.float16], text: NDArray[np.float16]) -> Float32:
    """Scores saved embeddings.

    Args:
      params: of the head.
      image: float16 ``[n, dim]``, unit norm.
      text: float16 ``[n, dim]``, unit norm.

    Returns:
      float32 ``[n]``, unbounded.
    """
    import torch

    found = np.empty(len(image), np.float32)
    with torch.inference_mode():
        for first in range(0, len(image), BATCH):
            rows = slice(first, first + BATCH)
            x = torch.zeros(BATCH, 2 * image.shape[1])
            x[: len(image[rows])] = torch.from_numpy(np.concatenate([image[rows], text[rows]], 1)).float()
            found[rows] = apply(params, x)[: len(image[rows])].numpy()
    return found


def save(folder: Path, params: Params, config: HeadConfig) -> None:
    """Writes both files, the weights last: a folder without them was not finished."""
    from safetensors.torch import save

    (folder / CONFIG).write_text(json.dumps(dataclasses.asdict(config), indent=1, sort_keys=True) + "\n")
    (folder / WEIGHTS).write_bytes(save({name: value.cpu().contiguous() for name, value in params.items()}))


def read_config(folder: Path, shown: str) -> HeadConfig:
    """Reads the sizes of a head.

    Args:
      folder: that holds it.
      shown: the folder as the user wrote it, for the message.

    Raises:
      InputError: there is no head, or its configuration is damaged.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(f"--head {shown} holds no {WEIGHTS} and {CONFIG}; name a folder that `train-flyt` finished")
    try:
        config = HeadConfig(**json.loads((folder / CONFIG).read_text()))
        kinds = {"dim": int, "hidden_mod": int, "column_set": str, "embeddings": dict}
        wrong = [name for name, kind in kinds.items() if type(getattr(config, name)) is not kind]
        wrong += [name for name in ("dim", "hidden_mod") if name not in wrong and getattr(config, name) < 1]
        if wrong:
            raise ValueError(", ".join(f"{name} is {getattr(config, name)!r}" for name in wrong))
    except (ValueError, TypeError) as error:
        raise InputError(f"--head {shown}: {CONFIG} is damaged ({error}); copy it again") from None
    return config


def load(folder: Path, shown: str) -> Params:
    """Reads the weights of a head.

    Raises:
      InputError: as ``read_config``, or the weights have other names or shapes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_config(folder, shown)
    try:
        params: Params = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise InputError(f"--head {shown}: {WEIGHTS} is damaged ({error}); copy it again") from None
    if {name: tuple(value.shape) for name, value in params.items()} != shapes(config):
        raise InputError(f"--head {shown}: {WEIGHTS} is not of the sizes that {CONFIG} says; copy both again")
    return {name: value.float() for name, value in params.items()}
