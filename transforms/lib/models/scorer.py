"""Scorers, Winnow's own and those of other packages: one number per image, beside the networks and on their decode."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from transforms.lib import plugins, registry
from transforms.lib.arrays import Float32
from transforms.lib.errors import InputError
from transforms.lib.models.spec import ModelSpec, ParsedModel
from transforms.lib.models.trained_with import PREPROCESS
from transforms.lib.stamps import stamp

if TYPE_CHECKING:
    import threading

    from transforms.lib.models.preprocessing import Preprocess

Fetch = Callable[[str], str]
Score = Callable[[NDArray[np.uint8]], NDArray[Any]]
"""From pixels uint8 ``[n, side, side, 3]`` to one number per image, ``[n]``."""

KIND, PART = "plugin", "score"


@dataclasses.dataclass(frozen=True)
class Scorer(abc.ABC):
    """Gives every image one number; ``--model`` takes its ``kind``, or the name of its entry point.

    The pixels are RGB, resized to a square of ``side`` without keeping the ratio (bicubic). Its column set has one
    column, ``score``, float32. Images of equal bytes are scored once.

    Attributes:
      side: pixels of the square.
    """

    side: ClassVar[int] = 224

    @abc.abstractmethod
    def load(self, fetch: Fetch) -> Score:
        """Opens what is needed, once per process, and returns the function from pixels to numbers.

        A number must depend on its own image alone, and be finite. Several threads may call the function at once.

        Args:
          fetch: address -> local path.
        """


def spec_of(parsed: ParsedModel, variant: str) -> ModelSpec:
    """Returns the specification of a scorer, pinned by the digest of the module that holds it.

    Raises:
      ConfigError: the plug-in is broken.
    """
    kind: type[Scorer] = registry.SCORERS[parsed.source].load()
    return ModelSpec(
        name=parsed.name,
        kind=KIND,
        source=parsed.source,
        weights="",
        weights_sha256=plugins.digest_of(kind),
        preprocess=stamp(**_seen(kind.side), variant=variant),
        dim=1,
        image_size=kind.side,
        variant=variant,
        part=PART,
    )


def _seen(side: int) -> dict[str, Any]:
    return {**PREPROCESS, "resize_mode": "squash", "size": side}


@dataclasses.dataclass(eq=False)
class ScorerModel:
    """A scorer as ``inference.scoring`` takes models: its embedding has one dimension, the number.

    Attributes:
      name: of the column set.
      score: what ``Scorer.load`` returned.
      view: what it sees of an image.
    """

    name: str
    score: Score
    view: Preprocess
    dim: int = 1
    part: str = PART
    depth: int = 1

    def batch_of(self, pixels: Sequence[Any]) -> NDArray[np.uint8]:
        """Returns uint8 ``[n, side, side, 3]``."""
        return np.stack(pixels)

    def start_images(self, pixels: Any) -> Callable[[], tuple[Float32, float]]:
        """Scores n images; what it returns has float32 ``[n, 1]`` and no GPU seconds.

        Raises:
          ValueError: the scorer gave another number of numbers.
        """
        found = np.asarray(self.score(pixels), np.float32)
        if found.shape != (len(pixels),):
            raise ValueError(f"scorer {self.name} gave numbers of shape {found.shape} for {len(pixels)} images")
        return lambda: (found[:, None], 0.0)

    def tokens(self, texts: Sequence[str]) -> Any:
        """Is never called: a scorer reads no captions."""
        raise NotImplementedError

    def start_tokens(self, tokens: Any, turn: threading.Lock) -> Callable[[], tuple[Float32, float]]:
        """Is never called, as ``tokens``."""
        raise NotImplementedError


def load(spec: ModelSpec, fetch: Fetch) -> ScorerModel:
    """Loads a scorer on a worker.

    Raises:
      ConfigError: the plug-in is not installed here, or broken.
      InputError: its code is not that of the start.
    """
    from transforms.lib.models import preprocessing

    if spec.source not in registry.SCORERS.every():
        raise InputError(
            f"--model {spec.name}: no package here brings the scorer {spec.source!r}; install it on workers"
        )
    kind: type[Scorer] = registry.SCORERS[spec.source].load()
    if (digest := plugins.digest_of(kind)) != spec.weights_sha256:
        raise InputError(f"--model {spec.name}: its code has sha256 {digest} here, {spec.weights_sha256} at the start")
    seen = preprocessing.view(_seen(kind.side), kind.side, spec.variant)
    return ScorerModel(spec.name, kind().load(fetch), seen)
