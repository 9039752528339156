"""Which entries of a metadata list a caption names, as MetaCLIP matches them."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.arrays import Int64
from transforms.lib.columnstore.text import as_text
from transforms.lib.errors import InputError

HINT = "pip install 'winnow-beam[metaclip]'"
_HIT = np.dtype([("end", "<i8"), ("entry", "<i8")])


def spaced(captions: NDArray[Any] | pa.Array) -> pa.Array:
    """Returns captions as MetaCLIP matches them.

    A space at either end, each of ``, . ; : ? ! ``` wrapped in spaces, tabs and line breaks replaced by spaces.

    Source: ``spacing`` of MetaCLIP, metaclip/substr_matching.py (Xu et al. 2023, arXiv:2309.16671).

    Args:
      captions: object array of str ``[n]``, or an Arrow array of text.
    """
    text = pc.binary_join_element_wise("", as_text(captions), "", " ")
    wrapped = pc.replace_substring_regex(text, r"([,.;:?!`])", r" \1 ")
    return pc.replace_substring_regex(wrapped, r"[\t\n\r]", " ")


class EntryMatcher:
    """All entries in one Aho-Corasick automaton; the memory is some 100 bytes per letter of the list.

    Attributes:
      entries: how many there are.
    """

    def __init__(self, entries: Sequence[str]) -> None:
        """Builds the automaton; entries with a tab or a line break are kept, and match nothing.

        Raises:
          InputError: the package is missing.
        """
        try:
            import ahocorasick
        except ImportError:
            raise InputError(f"step metaclip: the package pyahocorasick is missing; {HINT}") from None
        self.entries = len(entries)
        self._automaton: Any = ahocorasick.Automaton(ahocorasick.STORE_INTS)
        for number, entry in enumerate(entries):
            if not set(entry) & set("\t\n\r"):
                self._automaton.add_word(f" {entry} ", number)
        self._automaton.make_automaton()

    def match(self, captions: NDArray[Any] | pa.Array) -> tuple[Int64, Int64]:
        """Finds the entries that captions name, each once per caption.

        Args:
          captions: object array of str ``[n]``, or an Arrow array of text.

        Returns:
          (row, entry), int64 ``[m]`` each, sorted by row and entry.
        """
        text = spaced(captions)
        lengths = pc.utf8_length(text).to_numpy(zero_copy_only=False)
        starts = np.concatenate([[0], np.cumsum(lengths + 1)])
        joined = "\n".join(text.to_pylist())  # no entry holds a line feed, so none reaches into the next caption
        matches = self._automaton.iter(joined) if len(self._automaton) else ()
        hits = np.fromiter(matches, _HIT)
        rows = np.searchsorted(starts, hits["end"], side="right") - 1
        keys = np.unique(rows * self.entries + hits["entry"])
        row, entry = np.divmod(keys, max(self.entries, 1))
        return row, entry


def read_entries(path: str) -> list[str]:
    """Reads a metadata list: a JSON list of strings, as MetaCLIP's ``metadata.json`` is, or one entry per line.

    Args:
      path: local file.

    Returns:
      the entries, each once, in the order of the file.

    Raises:
      InputError: it is not UTF-8, no such list, or empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        entries = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise InputError(f"{path} is no metadata list: {error}") from None
    if not all(isinstance(entry, str) for entry in entries):
        raise InputError(f"{path} is no metadata list: it holds something else than strings")
    distinct = list(dict.fromkeys(entry for entry in entries if entry.strip()))
    if not distinct:
        raise InputError(f"{path} holds no entry; write a JSON list of strings, or one per line")
    return distinct


def matcher(path: str) -> EntryMatcher:
    """Returns the matcher of a local metadata list; built once per process, and again when the file changes."""
    about = os.stat(path)
    return _matcher(path, about.st_mtime_ns, about.st_size)


def read_languages(path: str) -> dict[str, list[str]]:
    """Reads the metadata lists of languages: a JSON object, language -> list of strings.

    Args:
      path: local file.

    Returns:
      language -> entries, each once, languages in sorted order.

    Raises:
      InputError: it is none, or a list is empty.
    """
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except ValueError as error:
        raise InputError(f"{path} is no JSON object of lists: {error}") from None
    if not isinstance(found, dict) or not found:
        raise InputError(f'{path} is no JSON object of lists, such as {{"en": ["dog"], "de": ["Hund"]}}')
    for language, entries in found.items():
        good = isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)
        if not good or not any(entry.strip() for entry in entries):
            raise InputError(f"{path}: {language} has no list of strings; write at least one entry")
    return {name: list(dict.fromkeys(one for one in found[name] if one.strip())) for name in sorted(found)}


def matchers(path: str) -> dict[str, EntryMatcher]:
    """Returns language -> matcher of a local file of ``read_languages``; cached as by ``matcher``."""
    about = os.stat(path)
    return _matchers(path, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=2)
def _matchers(path: str, changed: int, size: int) -> dict[str, EntryMatcher]:
    return {language: EntryMatcher(entries) for language, entries in read_languages(path).items()}


@functools.lru_cache(maxsize=2)
def _matcher(path: str, changed: int, size: int) -> EntryMatcher:
    return EntryMatcher(read_entries(path))
