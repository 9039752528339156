"""FLYT's scorer as a whole: both towers of a CLIP model under the head, trained together.

The option ``--train_full_scoring`` of the paper's script; the paper reports that training from raw inputs did not work
out, and published frozen towers under a trained head (Shechter and Carmon 2025, arXiv:2503.08805).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.flyt import scoring_head
from transforms.lib.flyt.meta_gradient import LOGIT_SCALE
from transforms.lib.flyt.reference_model import Towers
from transforms.lib.models import clip
from transforms.lib.samples import images
from transforms.lib.training import network_folder

if TYPE_CHECKING:
    import torch

    from transforms.lib.flyt.adamw import Params

PREFIX = "towers."
FOLDER = "towers"  # beside the head's files


@dataclasses.dataclass(frozen=True)
class TowerScorer:
    """A head over the towers of a model; every parameter but the temperature, which embeddings do not have, is trained.

    Attributes:
      model: the towers, in evaluation mode; its own parameters are never changed.
      part_size: samples a forward pass takes; activations of one part are held at a time, and computed twice.
      pool: runs the decoding.
    """

    model: clip.ClipModel
    part_size: int
    pool: Executor

    def start(self, head: Params) -> Params:
        """Returns the parameters before training: of the head, and ``towers.`` and the name of each of the towers'."""
        named = self.model.network.named_parameters()
        own = {f"{PREFIX}{name}": value.detach().clone() for name, value in named if name != LOGIT_SCALE}
        return {**head, **own}

    def see(self, encoded: Sequence[bytes], captions: Sequence[str]) -> tuple[NDArray[np.uint8], Int64]:
        """Returns the pixels uint8 ``[n, size, size, 3]`` and the tokens int64 ``[n, context]`` of a batch."""
        pixels = list(self.pool.map(lambda data: self.model.pixels(images.decode(data)), encoded))
        return np.stack(pixels), self.model.tokens(captions).numpy()

    def apply(self, params: Params, seen: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Returns the scores ``[n]`` of what ``see`` gave, as tensors."""
        import torch
        from torch.utils.checkpoint import checkpoint

        own = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
        towers = Towers(self.model.network, self.part_size)
        sides = towers.image(self.model.normalise(seen[0])), towers.text(seen[1])
        rows = [
            torch.cat([checkpoint(side, own, use_reentrant=False) for side in part], 1)
            for part in zip(*sides, strict=True)
        ]
        return scoring_head.apply(params, torch.cat(rows))

    def save(self, folder: Path, params: Params, config: dict[str, Any], text_files: Sequence[Path]) -> None:
        """Writes the trained towers as a folder in open_clip's local-dir form.

        Args:
          folder: to write to; made when absent.
          params: as ``start`` has them.
          config: open_clip's, of the model that was trained.
          text_files: as in ``network_folder.Network``.
        """
        own = {name.removeprefix(PREFIX): value for name, value in params.items() if name.startswith(PREFIX)}
        state = {name: own.get(name, value).detach().cpu() for name, value in self.model.network.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        network_folder.write_network(folder, config, text_files, state)
