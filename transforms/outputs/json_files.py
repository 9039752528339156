"""Files of an output folder that hold one JSON object."""

from __future__ import annotations

import json
from typing import Any

from transforms.lib.errors import InputError
from transforms.storage import filesystem

Document = dict[str, Any]


def parse(data: bytes | None, uri: str, cure: str) -> Document:
    """Returns the JSON object of a file; empty where there is no file.

    Args:
      data: its bytes; None for no file.
      uri: its address, for the message.
      cure: what may have happened to it, and what to do.

    Raises:
      InputError: it is something else.
    """
    try:
        document = {} if data is None else json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise InputError(f"{uri} is no JSON object; {cure}")
    return document


def read(uri: str, cure: str) -> Document:
    """Reads the JSON object of a file, as ``parse``."""
    return parse(filesystem.read_if_exists(uri), uri, cure)
