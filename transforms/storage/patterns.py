"""What users write to name files: braces, lists of addresses and globs, with one address for each file they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from apache_beam.io.filesystem import BeamIOError
from braceexpand import braceexpand

from transforms.lib import addresses
from transforms.lib.errors import InputError
from transforms.storage import filesystem
from transforms.storage.errors import one_line
from transforms.storage.filesystem import FileInfo, client_of


def expand(texts: Sequence[str], flag: str = "--input") -> list[str]:
    """Returns globs and addresses: braces expanded, ``@FILE`` replaced by the lines of the file.

    A file whose very name has braces is meant, rather than what they stand for.

    Args:
      texts: as the user wrote them.
      flag: that they were given to, for the messages.

    Raises:
      InputError: a list of addresses cannot be read, or braces do not balance.
    """
    found: list[str] = []
    for text in map(addresses.without_scheme, texts):
        if text.startswith("@"):
            lines = _listed(addresses.without_scheme(text[1:]), flag).splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        elif "{" in text and filesystem.stat(text):
            found.append(text)
        else:
            try:
                found += braceexpand(text)
            except ValueError:  # braceexpand's UnbalancedBracesError is one
                raise InputError(f"{flag} {text!r} has unbalanced braces; write {{00000..00127}}") from None
    return [addresses.without_scheme(text) for text in found]


def _listed(uri: str, flag: str) -> str:
    try:
        return filesystem.read_bytes(uri).decode("utf-8-sig")
    except (OSError, BeamIOError, UnicodeDecodeError) as error:
        raise InputError(f"{flag} @{uri}: the manifest cannot be read ({error}); it is one address a line") from None


def literal_first(pattern: str) -> str:
    """Returns a glob in which folders, and a file, that have the very names that stand in it are meant.

    ``run[1]/*.tar`` means what is in the folder ``run[1]`` where there is one, and in ``run1`` elsewhere.

    Raises:
      StoreError: a store does not tell what is there.
    """
    if not client_of(pattern).lists:
        return pattern
    parts = pattern.split("/")
    for number, part in enumerate(parts):
        if addresses.is_glob(part):
            here = "/".join(parts[: number + 1])
            there = filesystem.stat(here) if number == len(parts) - 1 else _is_folder(here)
            if not there:
                return "/".join([*map(addresses.escaped, parts[:number]), *parts[number:]])
    return addresses.escaped(pattern)


def _is_folder(uri: str) -> bool:
    """Tells whether there is a folder of this name; in a bucket, whether something is in it."""
    if filesystem.is_local(uri):
        return os.path.isdir(uri)
    with one_line(uri, writes=True):
        return next(iter(client_of(uri).children(uri)), None) is not None


def match(patterns: Sequence[str], flag: str = "--input") -> list[list[FileInfo]]:
    """Returns the files that each pattern of a user means, sorted; an empty list where it means nothing.

    Args:
      patterns: globs, in which what is there literally comes first.
      flag: that they were given to, for the messages.

    Raises:
      InputError: a location cannot be listed.
    """
    try:
        return filesystem.match([literal_first(pattern) for pattern in patterns])
    except (BeamIOError, OSError) as error:
        raise InputError(f"{flag} cannot be listed: {_cause(error)}; check the address and your access to it") from None


def _cause(error: Exception) -> str:
    causes = getattr(error, "exception_details", None) or {}
    return "; ".join(str(cause) for cause in causes.values()) or str(error)


def resolved(patterns: Sequence[str]) -> list[str]:
    """Returns globs that are equal where they name one place: links, ``..``, ``.`` and doubled slashes are followed.

    Local ones stay relative to the working folder when all of them are, so that a folder can move as a whole. The
    parts behind the first wildcard, and addresses in buckets, where every key is its own, stay as they are written.

    Raises:
      StoreError: a store does not tell what is there.
    """
    literal = [literal_first(pattern) for pattern in patterns]
    here = os.path.realpath(".")
    relative = all(_below(here, glob) is not None for glob in literal if filesystem.is_local(glob))
    return [_resolved(glob, here if relative else "") if filesystem.is_local(glob) else glob for glob in literal]


def same(texts: Sequence[str], others: Sequence[str]) -> bool:
    """Tells whether two lists of a user's patterns are spellings of one: equal once resolved, in any order.

    Raises:
      InputError: a list of addresses cannot be read, or braces do not balance.
    """
    one, other = (
        {os.path.abspath(glob) if filesystem.is_local(glob) else glob for glob in resolved(expand(some))}
        for some in (texts, others)
    )
    return one == other


def _folder(glob: str) -> str:
    """Returns the folder in which everything lies that a local glob matches; a real path."""
    start = addresses.literal_start(glob)
    return os.path.realpath(start.rpartition("/")[0] or "/" * start.startswith("/") or ".")


def _below(here: str, glob: str) -> str | None:
    """Returns the folder of a relative glob below ``here``, empty for ``here``; None when it is not below."""
    folder = _folder(glob)
    inside = folder == here or folder.startswith(f"{here}/")
    return folder[len(here) + 1 :] if inside and not os.path.isabs(glob) else None


def _resolved(glob: str, here: str) -> str:
    slashes = addresses.literal_start(glob).count("/")
    tail = "/".join(part for part in glob.split("/")[slashes:] if part not in ("", ".")) or "*"
    folder = _folder(glob)
    if here:
        folder = folder[len(here) + 1 :]
        return f"{addresses.escaped(folder)}/{tail}" if folder else tail
    return f"{addresses.escaped(folder.rstrip('/'))}/{tail}"


def distinct(files: Iterable[FileInfo]) -> list[FileInfo]:
    """Returns each file once, sorted; of several addresses the one without a link, else the first."""
    by_file: dict[str, FileInfo] = {}
    for info in sorted(files):
        real = os.path.realpath(info.uri) if filesystem.is_local(info.uri) else info.uri
        if real not in by_file or os.path.abspath(info.uri) == real:
            by_file[real] = info
    return sorted(by_file.values())


def without_hidden(glob: str, files: Iterable[FileInfo], leave: Callable[[FileInfo], None]) -> list[FileInfo]:
    """Returns the files of a glob that are not hidden; those whose hidden names the glob does not spell are left out.

    Args:
      glob: that matched them.
      files: what it matched.
      leave: gets each one that is left out.
    """
    start = addresses.literal_start(glob).rpartition("/")[0]
    tail = "/".join(glob.split("/")[start.count("/") + 1 :]) if start else glob
    spelled = addresses.only_match(glob) is not None or addresses.has_hidden(tail)
    taken = []
    for info in files:
        if spelled or not addresses.has_hidden(info.uri[len(start) :]):
            taken.append(info)
        else:
            leave(info)
    return taken
