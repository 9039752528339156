"""Arrays of numbers in a ``.pt`` file, as DataComp publishes centroids and targets: read by torch, nothing is run.

Such a file holds a pickled array of numpy. torch reads it with ``weights_only``; what it names of numpy are stand-ins
of ours, which keep shape, type and bytes, and make an array of numbers of them.
"""

from __future__ import annotations

import pickle
import re
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LOADING = threading.Lock()  # torch's list of what a pickle may name belongs to the process


class _Kind:
    """Stands for numpy's dtype: the name of a type of numbers, and its order of bytes."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.name, self.order = str(name), "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])


class _Array:
    """Stands for an array: what its pickle says of it."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def numbers(self) -> NDArray[Any]:
        """Returns the array.

        Raises:
          ValueError: it is none of numbers.
        """
        _, shape, kind, by_columns, data = self.state
        if not isinstance(kind, _Kind) or not re.fullmatch("[fiu][1248]", kind.name) or not isinstance(data, bytes):
            raise ValueError("an array of something else than numbers")
        order = kind.order if kind.order in ("<", ">") else "="
        flat = np.frombuffer(data, np.dtype(f"{order}{kind.name}"))
        return flat.reshape([int(side) for side in shape], order="F" if by_columns else "C")


class _Named:
    """Stands for numpy's class of arrays, which is named and never made."""


def read(path: str) -> NDArray[Any]:
    """Returns the one array or tensor of a ``.pt`` file.

    Raises:
      ValueError: the file holds something else, or names anything but arrays of numbers.
    """
    import torch

    stand_ins: list[Any] = [(_Kind, "numpy.dtype"), (_Named, "numpy.ndarray")]
    stand_ins += [(_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("_core", "core")]
    try:
        with _LOADING, torch.serialization.safe_globals(stand_ins):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(f"it names {named[1]}, which is no array" if named else "no pickle of torch") from None
    if isinstance(found, torch.Tensor):
        array: NDArray[Any] = found.numpy()
        return array
    if not isinstance(found, _Array) or found.state is None:
        raise ValueError(f"a {type(found).__name__}")
    return found.numbers()
