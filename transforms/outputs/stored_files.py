"""Whether a file of the column store is the one that was written there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

import pyarrow as pa

from transforms.lib import stamps
from transforms.lib.errors import DamagedError, MissingError

_AGAIN = "put it back, or delete it and run the job that wrote it again"


def place(column_set: str, shard: str) -> dict[str, str]:
    """Returns the facts that say where a file belongs."""
    return {"set": column_set, "shard": shard}


def check_place(facts: Mapping[str, str], column_set: str, shard: str) -> None:
    """Checks that a file lies where it belongs; files of Winnow 0.1 do not say it.

    Raises:
      ArrowInvalid: it is that of another shard or column set, or no file of Winnow's.
    """
    if "stamp" not in facts:
        raise pa.ArrowInvalid("it has no stamp, so Winnow did not write it")
    for name, here in place(column_set, shard).items():
        if facts.get(name, here) != here:
            raise pa.ArrowInvalid(f"it belongs to the {name} {facts[name]}")


def made_from(seals: Mapping[str, str]) -> dict[str, str]:
    """Returns the fact that says which files decisions were made from, by the seals of the column sets."""
    return {"made_from": stamps.canonical(seals)}


def sources_of(facts: Mapping[str, str]) -> list[str]:
    """Returns the column sets, sorted, that decisions say they were made from."""
    return sorted(json.loads(facts.get("made_from", "{}")))


def changed_since(facts: Mapping[str, str], seals: Mapping[str, str]) -> list[str]:
    """Returns the column sets, sorted, whose files are not those that decisions were made from.

    Args:
      facts: of the decisions; those of Winnow 0.1 do not say what they were made from.
      seals: column set -> seal that its file has now.
    """
    then = json.loads(facts.get("made_from", "{}"))
    return sorted(name for name, seal in seals.items() if then.get(name, seal) != seal)


@contextlib.contextmanager
def as_written(uri: str) -> Iterator[None]:
    """Turns what Arrow says of a damaged file, opened and read in a ``with`` block, into one line about it.

    Raises:
      MissingError: there is no such file.
      DamagedError: it is not as it was written.
    """
    try:
        yield
    except FileNotFoundError:
        raise MissingError(f"{uri} is missing; {_AGAIN}") from None
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the machine's; Arrow's own have none
            raise
        text = " ".join(str(error).split())
        raise DamagedError(f"{uri} is not as it was written ({text}); {_AGAIN}") from error
