"""The best centroids of each row by torch, on a GPU or wherever else it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transforms.lib.arrays import Float32
from transforms.lib.clusters.candidates import Ranked
from transforms.lib.clusters.kmeans import HalfRows
from transforms.lib.errors import InputError

if TYPE_CHECKING:
    import torch

_ROWS = 16_384  # sent to the device at once
_TILE = 8_192  # centroids compared at once: with as many rows, 512 MiB


class TorchRanks:
    """Finds the best centroids of each row: float16 ``[n, dim]`` and their number in, ``candidates.Ranked`` out.

    Sums are float32, in whatever order the device adds; TF32 is off, so that they are as good as numpy's. Rows travel
    as float16. Of equal centroids any may be named: the caller decides close calls.

    Args:
      centroids: float32 ``[k, dim]``.
      half: float32 ``[k]``, taken from each product.
      device: of torch.

    Raises:
      InputError: the device is not there.
    """

    def __init__(self, centroids: Float32, half: Float32, device: str) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: no GPU is visible to torch; install the driver, or use --device cpu")
        torch.backends.cuda.matmul.allow_tf32 = False
        self._device = torch.device(device)
        self._centroids = torch.from_numpy(centroids).to(self._device)
        self._half = torch.from_numpy(half).to(self._device)

    def __call__(self, rows: HalfRows, number: int) -> Ranked:
        which, scores = np.zeros((number, len(rows)), np.int64), np.empty((number + 1, len(rows)), np.float32)
        for at in range(0, len(rows), _ROWS):
            here = slice(at, at + _ROWS)
            top, where = self._of(rows[here], number)
            which[:, here], scores[:, here] = where.cpu().numpy().T, top.cpu().numpy().T
        return Ranked(which, scores)

    def _of(self, rows: HalfRows, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns of a block of rows the best ``number + 1`` scores, ``[n, m + 1]``, and the centroids, ``[n, m]``."""
        import torch

        some = torch.from_numpy(np.array(rows)).to(self._device).float()
        top = torch.full((len(rows), number + 1), -torch.inf, device=self._device)
        where = torch.zeros((len(rows), number + 1), dtype=torch.int64, device=self._device)
        for at in range(0, len(self._centroids), _TILE):
            scores = some @ self._centroids[at : at + _TILE].T
            scores -= self._half[at : at + _TILE]
            here, places = scores.topk(min(number + 1, scores.shape[1]), dim=1)
            top, order = torch.cat([top, here], dim=1).topk(number + 1, dim=1)
            where = torch.cat([where, places + at], dim=1).gather(1, order)
        return top, where[:, :number]
