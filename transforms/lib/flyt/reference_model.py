"""The reference models of FLYT: what takes the virtual step, as functions of its parameters.

The paper's is a whole CLIP model, started from published weights (``Towers``). ``Projections`` is the cheap one: two
linear maps over frozen embeddings, started as the identity, so that it starts as the model that made the embeddings;
the towers are locked (Zhai et al. 2021, LiT, arXiv:2111.07991) and run once, and a step costs two products of matrices.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from transforms.lib import stamps
from transforms.lib.flyt.meta_gradient import DOWNSTREAM_SCALE, LOGIT_SCALE, LOGIT_SCALE_RANGE

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params
    from transforms.lib.flyt.meta_gradient import Encode


@dataclasses.dataclass(frozen=True)
class Projections:
    """Two square maps over frozen unit embeddings, one for images and one for texts.

    Attributes:
      dim: of the embeddings.
      logit_scale: where the temperature starts, natural logarithm: that of the model behind the embeddings.
      random_seed: of a start that knows nothing of how images and texts belong together: maps drawn from
        N(0, 1 / dim), another one at each restart, and CLIP's first temperature; None for the identity.
    """

    dim: int
    logit_scale: float
    random_seed: int | None = None

    def start(self, restart: int = 0) -> Params:
        """Returns the parameters before training, float32; ``restart`` counts how often it started before."""
        import torch

        scale = torch.tensor(self.logit_scale).clamp(*LOGIT_SCALE_RANGE)
        if self.random_seed is None:
            return {"image": torch.eye(self.dim), "text": torch.eye(self.dim), LOGIT_SCALE: scale}
        key = int(stamps.stamp(seed=self.random_seed, restart=restart, what="reference"), 16) >> 1
        generator = torch.Generator().manual_seed(key)
        drawn = [torch.randn(self.dim, self.dim, generator=generator) / self.dim**0.5 for _ in range(2)]
        return {"image": drawn[0], "text": drawn[1], LOGIT_SCALE: torch.tensor(DOWNSTREAM_SCALE)}

    def image(self, embeddings: torch.Tensor) -> list[Encode]:
        """Returns the image side of a batch of embeddings, float ``[n, dim]``."""
        return [_projected("image", embeddings)]

    def text(self, embeddings: torch.Tensor) -> list[Encode]:
        """Returns the text side of a batch of embeddings, float ``[n, dim]``."""
        return [_projected("text", embeddings)]


def _projected(side: str, embeddings: torch.Tensor) -> Encode:
    from torch.nn import functional

    return lambda params: functional.normalize(embeddings @ params[side].T, dim=-1)


@dataclasses.dataclass(frozen=True)
class Towers:
    """A whole open_clip model, in evaluation mode: no dropout, and running statistics stay as they are.

    Attributes:
      network: the model; its own parameters are never changed.
      part_size: samples a forward pass takes; the memory of a graph is that of one part.
    """

    network: Any
    part_size: int

    def start(self, restart: int = 0) -> Params:
        """Returns a copy of the model's parameters, the temperature brought into its range; every time the same."""
        params = {name: value.detach().clone() for name, value in self.network.named_parameters()}
        params[LOGIT_SCALE].clamp_(*LOGIT_SCALE_RANGE)
        return params

    def image(self, pixels: torch.Tensor) -> list[Encode]:
        """Returns the image side of a batch of normalised pixels, float ``[n, 3, size, size]``."""
        return self._side("encode_image", pixels)

    def text(self, tokens: torch.Tensor) -> list[Encode]:
        """Returns the text side of a batch of tokens, int64 ``[n, context]``."""
        return self._side("encode_text", tokens)

    def _side(self, method: str, inputs: torch.Tensor) -> list[Encode]:
        import torch

        class Called(torch.nn.Module):
            """The network, whose call is one of its methods."""

            def __init__(self, network: torch.nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, part: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = getattr(self.network, method)(part, normalize=True)
                return found

        module = Called(self.network)

        def encode(part: torch.Tensor) -> Callable[[Params], torch.Tensor]:
            def run(params: Params) -> torch.Tensor:
                named = {f"network.{name}": value for name, value in params.items()}
                found: torch.Tensor = torch.func.functional_call(module, named, (part,))
                return found

            return run

        return [encode(part) for part in inputs.split(self.part_size)]


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """Lets attention be computed by its formula alone; the fast kernels lack the derivatives that are needed."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
