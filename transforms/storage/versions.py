"""Read, change and write a file that others change too: what another writer did meanwhile is never lost."""

from __future__ import annotations

import time
from collections.abc import Callable

from transforms.lib.errors import MissingError, NoBucketError, StoreError
from transforms.storage.clients import client_of
from transforms.storage.errors import one_line

_ATTEMPTS = 60
_PAUSE = 0.05  # seconds; doubled up to _LONGEST
_LONGEST = 2.0


def read(uri: str) -> tuple[bytes | None, str]:
    """Returns a whole file and its version, which ``replace`` takes; None and "" where there is none.

    Raises:
      NoBucketError: there is no such bucket.
      StoreError: the store refuses or does not answer.
    """
    try:
        with one_line(uri):
            return client_of(uri).read_version(uri)
    except NoBucketError:
        raise
    except (FileNotFoundError, MissingError):
        return None, ""


def replace(uri: str, data: bytes, version: str) -> bool:
    """Writes a file only if the one that is there is still the version named; tells whether it did.

    A store answers that another writer was first also where that writer was this one, and the answer to its first
    attempt was lost. So equal content counts as written.
    """
    with one_line(uri, writes=True):
        return client_of(uri).replace(uri, data, version) or read(uri)[0] == data


def update(uri: str, change: Callable[[bytes | None], bytes]) -> bytes:
    """Changes a file, again and again until no other writer came between reading and writing.

    Args:
      uri: of the file.
      change: content, None where there is no file, -> new content; called once per attempt.

    Returns:
      what was written.

    Raises:
      StoreError: other writers were first all the time; or the store refuses, or does not answer.
    """
    pause = _PAUSE
    for _ in range(_ATTEMPTS):
        data, version = read(uri)
        changed = change(data)
        if changed == data or replace(uri, changed, version):
            return changed
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)
    raise StoreError(f"{uri} was changed by others at every attempt; run the same command again")
