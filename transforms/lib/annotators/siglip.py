"""SigLIP's score of a pair: the log-odds that image and caption belong together, with the network's own bias."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch
from transforms.lib.arrays import Float32
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError


def log_odds(cosine: NDArray[Any], scale: float, bias: float) -> Float32:
    """Returns ``scale * cosine + bias``; float32 ``[n]``.

    Source: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", arXiv:2303.15343, section 3: the
    probability of a pair is the sigmoid of ``exp(t') x.y + b``.

    Args:
      cosine: float ``[n]``.
      scale: ``exp(t')``.
      bias: ``b``.
    """
    return (cosine.astype(np.float64) * scale + bias).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class SigLip(Annotator):
    """The column set ``siglip``: ``score``, the log-odds of a pair, and ``probability``, both float32.

    The order is that of the cosine; a threshold means the same for every caption, and log-odds are what draws take.

    Attributes:
      model: the column set of the cosine.
      logit_scale: of the network, not its logarithm.
      logit_bias: of the network.
    """

    kind = "SigLip"
    column_sets = ("siglip",)
    related = True

    name: str = "siglip"
    model: str = ""
    logit_scale: float = 0.0
    logit_bias: float = 0.0

    @classmethod
    def resolve(cls, name: str, options: Mapping[str, Any], fetch: Fetch) -> SigLip:
        if options["logit_scale"] == 0:
            raise ConfigError(
                "--columns siglip needs --logit_scale and --logit_bias, those of the network: in open_clip "
                "model.logit_scale.exp().item() and model.logit_bias.item()"
            )
        return cls(name, options["model"], options["logit_scale"], options["logit_bias"])

    def inputs(self) -> tuple[str, ...]:
        return (f"{self.model}.score",)

    def load(self, fetch: Fetch) -> Annotate:
        return self._scores

    def _scores(self, block: Block) -> pa.Table:
        from scipy.special import expit

        cosine = np.where(block.valid, block.columns[self.inputs()[0]].astype(np.float32), np.nan)
        odds = log_odds(cosine, self.logit_scale, self.logit_bias)
        return pa.table({"score": pa.array(odds), "probability": pa.array(expit(odds))})
