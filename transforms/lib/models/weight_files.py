"""Weights files that are damaged, or another network's: one line that says so, whatever a library raises of them."""

from __future__ import annotations

import contextlib
import pickle
import re
import zipfile
from collections.abc import Iterator, Sequence

from transforms.lib.errors import InputError

_ERRORS = (
    AttributeError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)  # what torch, safetensors (whose error is a class of its own), open_clip and timm raise of bytes that are no weights
HINT = "give the weights file of this network, whole"


@contextlib.contextmanager
def reading(model: str, weights: str) -> Iterator[None]:
    """Turns what loading weights raises into one line.

    Args:
      model: as the user wrote it.
      weights: path of the file.

    Raises:
      InputError: the file is damaged, or its tensors are not those of the network.
    """
    from safetensors import SafetensorError

    try:
        yield
    except InputError:
        raise
    except (*_ERRORS, SafetensorError) as error:
        text = re.sub(r"\x1b\[\d*m", "", str(error))  # torch writes in bold
        why = " ".join(text.split())[:160] or type(error).__name__
        raise InputError(f"--model {model}: {weights} cannot be loaded ({why}); {HINT}") from None


def check_whole(model: str, weights: str) -> None:
    """Checks that a weights file is as long as its header says, reading no tensor and importing no torch.

    Of ``.safetensors`` the header is read, of torch's present format the directory at the end of its zip file. Older
    pickles say nothing of the kind.

    Raises:
      InputError: it is cut off or damaged.
    """
    from safetensors import safe_open

    with reading(model, weights):
        if weights.endswith(".safetensors"):
            safe_open(weights, "numpy").keys()
            return
        with open(weights, "rb") as file:
            zipped = file.read(4) == b"PK\3\4"
        if zipped:
            zipfile.ZipFile(weights).close()


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
