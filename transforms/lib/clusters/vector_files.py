"""Files of vectors: centroids, and the embeddings of target images, as numpy, safetensors or torch store them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from transforms.lib import stamps
from transforms.lib.arrays import Int64
from transforms.lib.clusters import pickled_arrays
from transforms.lib.clusters.kmeans import Vectors
from transforms.lib.errors import InputError

TENSOR = "centroids"


def to_file(centroids: Vectors, facts: Mapping[str, Any]) -> bytes:
    """Returns a safetensors file: the tensor ``centroids``, float32 ``[k, dim]``, and facts as JSON (``winnow``)."""
    tensors = {TENSOR: np.ascontiguousarray(centroids, np.float32)}
    return bytes(save(tensors, {"winnow": stamps.canonical(dict(facts))}))


def read_vectors(path: str, uri: str, what: str) -> NDArray[Any]:
    """Opens a matrix; ``.npy`` is mapped into memory, not read. Nothing is unpickled.

    Args:
      path: local file: ``.npy``, ``.safetensors`` or ``.pt``, each with one tensor; of ``.pt`` also one array of
        numpy, as DataComp publishes centroids and targets.
      uri: its address.
      what: the flag or parameter that names it, for messages.

    Returns:
      float ``[n, dim]``, ``n >= 1``.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    matrix = _array(path, uri, what)
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or not len(matrix):
        raise InputError(f"{what} {uri} holds {matrix.dtype} {list(matrix.shape)}; it must be float [rows, dimensions]")
    return matrix


def read_ids(path: str, uri: str, what: str) -> Int64 | None:
    """Returns the cluster numbers int64 ``[n]`` of a file of whole numbers; None where it holds floats.

    Raises:
      InputError: as ``read_vectors``.
    """
    ids = _array(path, uri, what)
    if ids.dtype.kind not in "iu":
        return None
    if ids.ndim != 1:
        raise InputError(f"{what} {uri} holds {ids.dtype} {list(ids.shape)}; cluster numbers must be [n]")
    return ids.astype(np.int64)


def _array(path: str, uri: str, what: str) -> NDArray[Any]:
    if not os.path.isfile(path):
        raise InputError(f"{what} {uri} does not exist; check the address")
    try:
        array = _open(path)
    except (OSError, ValueError, EOFError, SafetensorError, RuntimeError, TypeError, LookupError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{what} {uri} is no .npy, .safetensors or .pt with one tensor: {first}") from None
    if not isinstance(array, np.ndarray):
        raise InputError(f"{what} {uri} holds an archive; it must hold one array")
    return array


def _open(path: str) -> Any:
    if path.endswith(".safetensors"):
        return _safetensors(path)
    if path.endswith(".pt"):
        return pickled_arrays.read(path)
    return np.load(path, "r", allow_pickle=False)


def facts_of(path: str) -> dict[str, Any]:
    """Returns the facts of a file that ``to_file`` made; empty for any other."""
    try:
        with safe_open(path, "np") as file:
            return dict(json.loads((file.metadata() or {}).get("winnow", "{}")))
    except (OSError, SafetensorError, ValueError):
        return {}


_CHECKED = 4096  # target rows whose norm is looked at
Embeddings = NDArray[Any]  # float [n, dim], unit rows


def read_target(path: str, uri: str, flag: str = "--target") -> Embeddings:
    """Opens target embeddings; ``.npy`` is mapped into memory, not read.

    Args:
      path: local file, ``.npy``, or ``.safetensors`` with one tensor.
      uri: what messages call it.
      flag: by which it was named.

    Returns:
      float16, float32 or float64 ``[m, dim]``, ``m >= 1``, unit rows.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    if not os.path.isfile(path):
        raise InputError(f"{flag} {uri} does not exist; check the address")
    try:
        target = _safetensors(path) if uri.endswith(".safetensors") else np.load(path, "r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SafetensorError) as error:
        raise InputError(f"{flag} {uri} is neither .npy nor .safetensors with one tensor: {error}") from None
    if not isinstance(target, np.ndarray) or target.ndim != 2 or target.dtype.kind != "f" or not len(target):
        content = f"{target.dtype} {list(target.shape)}" if isinstance(target, np.ndarray) else "an archive"
        raise InputError(f"{flag} {uri} holds {content}; it must be float [images, dimensions]")
    norms = np.linalg.norm(target[:_CHECKED].astype(np.float32), axis=1)
    if not (np.abs(norms - 1) < 0.01).all():
        row = int(np.argmax(~(np.abs(norms - 1) < 0.01)))
        raise InputError(f"{flag} {uri}: row {row} has norm {norms[row]:.4g}, not 1; divide each row by its norm")
    return target


def _safetensors(path: str) -> Embeddings:
    tensors: list[Embeddings] = list(load_file(path).values())
    if len(tensors) != 1:
        raise ValueError(f"{len(tensors)} tensors")
    return tensors[0]
