"""Weights files: checked before any work, read without running anything, and one line for each that is none.

A ``.safetensors`` holds tensors and names. A ``.pt``, ``.pth`` or ``.bin`` holds a pickle, which is a program: what it
calls is read here first, and anything but tensors is refused; then torch reads it with ``weights_only``. What trainers
add (optimizer, schedule, arguments) is left out, and so are the prefixes of their wrappers.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import pickletools
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from transforms.lib.errors import InputError

if TYPE_CHECKING:
    import torch

_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)  # what torch, safetensors (whose error is a class of its own), open_clip and timm raise of bytes that are no weights
HINT = "give the weights file of this network, whole"
SAVE = "save its tensors alone: torch.save({'state_dict': model.state_dict()}, FILE), or as .safetensors"
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DDP and of an averaged model, of torch.compile, of Lightning
_LONGEST = 300  # of a library's own words, which are taken whole or not at all
_LOADING = threading.Lock()  # torch's list of what a pickle may name belongs to the process

_ARRAYS = ("scalar", "_reconstruct")  # what makes a number or an array of numpy, in its modules of either name
_NUMPY = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("_core", "core") for name in _ARRAYS),
    *(f"numpy.dtypes.{name}DType" for name in ("Float64", "Float32", "Int64", "Int32", "UInt32", "Bool")),
    "numpy.dtype",
    "numpy.ndarray",
)
_TENSORS = re.compile(
    r"torch\.(storage\.)?(\w+Storage|Size|device|Tensor|\w*(float|int|uint|bool|complex)\d*\w*|half|double|long)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_\w+|torch\.nn\.parameter\.Parameter"
    r"|torch\.serialization\._get_layout|collections\.(OrderedDict|defaultdict|Counter)|_codecs\.encode"
    r"|(__builtin__|builtins)\.(set|frozenset|dict|list|tuple|int|float|bool|complex|str|bytes|bytearray|slice|range)"
    r"|argparse\.Namespace"
)  # what a file of tensors names; whether each is really harmless is decided by torch's ``weights_only``


class _Ignored:
    """Stands for numbers of numpy in a trainer's state, such as a learning rate; nothing of numpy is called."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


@contextlib.contextmanager
def reading(model: str, weights: str) -> Iterator[None]:
    """Turns what loading weights raises into one line.

    Args:
      model: as the user wrote it.
      weights: path of the file.

    Raises:
      InputError: the file is damaged, holds a program, or its tensors are not those of the network.
    """
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        what = f"holds {named[1]}, which is no tensor" if named else "is no file of tensors"
        raise InputError(f"--model {model}: {weights} {what}, and is not opened; {SAVE}") from None
    except (*_ERRORS, SafetensorError) as error:
        raise InputError(f"--model {model}: {weights} cannot be loaded ({_words(error)}); {HINT}") from None


def _words(error: BaseException) -> str:
    """Returns what a library says, whole: its first sentence or line where all of it is long, else its type."""
    text = re.sub(r"\x1b\[\d*m", "", str(error)).strip()  # torch writes in bold
    whole = " ".join(text.split())
    parts = (whole, " ".join(text.split("\n")[0].split()).rstrip(":."), re.split(r"(?<=\w)[.:;] ", whole)[0])
    return next((part for part in parts if part and len(part) <= _LONGEST), type(error).__name__)


def check(model: str, weights: str) -> None:
    """Checks that a weights file is whole and holds tensors alone; reads no tensor and imports no torch.

    Of ``.safetensors`` the header is read; of torch's present format the directory at the end of its zip file, and what
    its pickle names; of older ones what their pickles name.

    Raises:
      InputError: it is cut off or damaged, or holds a program.
    """
    from safetensors import safe_open

    with reading(model, weights):
        if weights.endswith(".safetensors"):
            safe_open(weights, "numpy").keys()
            return
        if weights.endswith((".npz", ".npy")):  # of big_vision; numpy reads them without pickles
            return
        for name in named_by(model, weights):
            if not _TENSORS.fullmatch(name) and name not in _NUMPY:
                what = f"holds {name}, which is no tensor"
                raise InputError(f"--model {model}: {weights} {what}, and is not opened; {SAVE}")


def is_zip(weights: str) -> bool:
    """Returns whether a file is in torch's present format, a zip file."""
    with open(weights, "rb") as file:
        return file.read(4) == b"PK\3\4"


def named_by(model: str, weights: str) -> set[str]:
    """Returns what the pickles of a weights file name, as ``module.name``; nothing is unpickled.

    Raises:
      InputError: it is a program of TorchScript.
      ValueError: it holds no pickle, or a damaged one.
    """
    if not is_zip(weights):
        with open(weights, "rb") as file:
            found = _globals(file)
            with contextlib.suppress(ValueError):
                for _ in range(4):  # magic and protocol, then system, tensors, and their keys
                    found |= _globals(file)
        return found
    with zipfile.ZipFile(weights) as archive:
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise InputError(f"--model {model}: {weights} is a program of TorchScript, and is not opened; {SAVE}")
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if not pickles:
            raise ValueError("a zip file without a pickle of torch")
        with archive.open(pickles[0]) as inner:
            return _globals(inner)


def _globals(file: IO[bytes]) -> set[str]:
    """Returns what one pickle names; a name that it puts together itself is told as ``?``."""
    found, texts = set(), ["", ""]
    for code, value, _ in pickletools.genops(file):
        if code.name in ("GLOBAL", "INST"):
            found.add(str(value).replace(" ", "."))
        elif code.name == "STACK_GLOBAL":
            found.add(".".join(texts) if all(texts) else "?")
        elif code.name.startswith("EXT"):
            found.add(f"{code.name}")
        if "UNICODE" in code.name:
            texts = [texts[1], str(value)]
        elif code.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "FRAME"):
            texts = ["", ""]
    return found


def read(model: str, weights: str) -> dict[str, torch.Tensor]:
    """Returns the tensors of a network by name; those of ``.safetensors`` and of zip files are mapped, not read.

    Args:
      model: as the user wrote it.
      weights: path of the file.

    Raises:
      InputError: it is damaged, holds a program, no network, or several.
    """
    from safetensors.torch import load_file

    with reading(model, weights):
        if weights.endswith(".safetensors"):
            return dict(load_file(weights))
        check(model, weights)
        return tensors_of(model, weights, _loaded(weights))


def _loaded(weights: str) -> Any:
    import torch

    stand_ins: list[Any] = [argparse.Namespace, *((_Ignored, name) for name in _NUMPY)]
    with _LOADING, torch.serialization.safe_globals(stand_ins):
        return torch.load(weights, map_location="cpu", weights_only=True, mmap=is_zip(weights))


def tensors_of(model: str, weights: str, found: Any) -> dict[str, torch.Tensor]:
    """Returns the one network of a checkpoint: the mapping of names to tensors in it.

    Raises:
      InputError: it has none, or several, such as weights and their running average.
    """
    if _is_network(found):
        return dict(found)
    entries = dict(found).items() if isinstance(found, Mapping) else ()
    networks = {str(name): value for name, value in entries if _is_network(value)}
    most = max(map(len, networks.values()), default=0)
    networks = {
        name: value for name, value in networks.items() if 2 * len(value) > most
    }  # no loss with a weight or two
    if len(networks) == 1:
        return dict(next(iter(networks.values())))
    if not networks:
        raise InputError(f"--model {model}: {weights} holds no state_dict of a network; {SAVE}")
    first = next(iter(networks))
    raise InputError(
        f"--model {model}: {weights} holds {len(networks)} networks ({', '.join(networks)}); save the state_dict that "
        f"you mean alone: torch.save({{'state_dict': torch.load(FILE)[{first!r}]}}, NEW)"
    )


def _is_network(value: Any) -> bool:
    import torch

    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, torch.Tensor) for one in value.values())


def unwrapped(state: Mapping[str, torch.Tensor], own: Sequence[str]) -> dict[str, torch.Tensor]:
    """Returns tensors under the names of a network, without the prefixes of what a trainer wrapped it in.

    Args:
      state: name -> tensor, as in the file.
      own: names of the network's own tensors.
    """
    found = {name: value for name, value in state.items() if name != "n_averaged"}
    for _ in range(len(PREFIXES)):
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in found) and not any(name.startswith(prefix) for name in own):
                found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def check_names(model: str, missing: Sequence[str], unexpected: Sequence[str]) -> None:
    """Checks that a file holds the tensors of a network, and no others.

    Args:
      model: as the user wrote it.
      missing: names of the network that the file lacks.
      unexpected: names of the file that the network lacks.

    Raises:
      InputError: there are some.
    """
    for names, what in ((missing, "lacks"), (unexpected, "has, and the network has not,")):
        if names:
            more = " ..." if len(names) > 1 else ""
            raise InputError(f"--model {model}: its file {what} {len(names)} tensors ({names[0]}{more}); {HINT}")
