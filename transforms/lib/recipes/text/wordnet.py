"""WordNet 3.0 as far as DataComp's text_based filter needs it: the first synset of a word.

The reader is ours because the rule is that of nltk 3.8.1, and later versions of nltk have another.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterable, Iterator

from transforms.lib.errors import InputError

_POS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}  # in the order in which nltk lists synsets
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "n": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
          ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip

Offsets = dict[str, int]


class WordNet:
    """The index of WordNet: lemma -> offset of its first synset, per part of speech.

    Source: ``morphy`` of WordNet (Fellbaum 1998; morphy(7WN)) as nltk 3.8.1, DataComp's, has it in ``synsets``: per
    part of speech the word itself and what its irregular forms or one round of endings give, further rounds only
    while nothing is found. (Later versions of nltk stop after one round.)
    """

    def __init__(self, lemmas: dict[str, Offsets], irregular: dict[str, dict[str, list[str]]]) -> None:
        """Takes ``pos -> lemma -> offset`` and ``pos -> form -> lemmas``; pos is n, v, a or r."""
        self._lemmas = lemmas
        self._irregular = irregular

    @classmethod
    def read(cls, path: str) -> WordNet:
        """Reads ``index.*`` and ``*.exc`` of WordNet 3.0 from a zip file, in whatever folder of it they lie.

        Args:
          path: local zip file, such as ``nltk_data/corpora/wordnet.zip``.

        Raises:
          InputError: it is no zip file, lacks one of the files, or they are no index of WordNet.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                names = {name.rpartition("/")[2]: name for name in archive.namelist()}
                files = [f"index.{pos}" for pos in _POS.values()] + [f"{pos}.exc" for pos in _POS.values()]
                lacking = [name for name in files if name not in names]
                if lacking:
                    raise InputError(f"{path} holds no {', '.join(lacking)}; give the wordnet.zip of WordNet 3.0")
                text = {name: archive.read(names[name]).decode("latin-1").splitlines() for name in files}
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is no zip file of WordNet 3.0: {error}") from None
        try:
            lemmas = {pos: dict(_first_offsets(text[f"index.{name}"])) for pos, name in _POS.items()}
        except (ValueError, IndexError):
            raise InputError(f"{path}: its index files are not those of WordNet 3.0") from None
        irregular = {pos: _irregular_forms(text[f"{name}.exc"]) for pos, name in _POS.items()}
        return cls(lemmas, irregular)

    def first_offset(self, word: str) -> int | None:
        """Returns the offset of the first synset that nltk lists for a word, or None where it lists none."""
        word = word.lower()
        for pos, lemmas in self._lemmas.items():
            for form in self._forms(word, pos):
                return lemmas[form]
        return None

    def _forms(self, word: str, pos: str) -> list[str]:
        lemmas = self._lemmas[pos]
        if word in self._irregular[pos]:
            return [form for form in (word, *self._irregular[pos][word]) if form in lemmas]
        forms = _without_endings([word], pos)
        known = [form for form in (word, *forms) if form in lemmas]
        while forms and not known:
            forms = _without_endings(forms, pos)
            known = [form for form in forms if form in lemmas]
        return known


def _without_endings(forms: Iterable[str], pos: str) -> list[str]:
    return [form[: -len(old)] + new for form in forms for old, new in _ENDINGS[pos] if form.endswith(old)]


def _first_offsets(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yields lemma and first offset: ``lemma pos n_synsets n_pointers [pointers] n_senses n_tagged offset ...``."""
    for line in lines:
        if not line.startswith(" "):  # the licence
            fields = line.split()
            yield fields[0], int(fields[-int(fields[2])])


def _irregular_forms(lines: Iterable[str]) -> dict[str, list[str]]:
    return {form: lemmas for form, *lemmas in (line.split() for line in lines if line.strip())}


def read_ids(path: str) -> frozenset[int]:
    """Reads a list of synsets, one per line: ``n01440764`` or the number alone.

    Args:
      path: local text file.

    Returns:
      their offsets, the part of speech dropped, as DataComp drops it.

    Raises:
      InputError: a line is something else, or there is none.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    wrong = next((line for line in lines if not line.removeprefix("n").isdecimal() or len(line) > 9), None)
    if wrong is not None or not lines:
        raise InputError(f"{path}: {wrong!r} is no synset id; write one per line, n01440764")
    return frozenset(int(line.removeprefix("n")) for line in lines)


class SynsetMatcher:
    """Tells of words whether their first synset is listed; remembers the answers of a million words."""

    def __init__(self, wordnet: WordNet, ids: frozenset[int]) -> None:
        self._wordnet = wordnet
        self._ids = ids
        self.matches = functools.lru_cache(1 << 20)(self._matches)

    def _matches(self, word: str) -> bool:
        return self._wordnet.first_offset(word) in self._ids


def matcher(wordnet: str, ids: str) -> SynsetMatcher:
    """Returns the matcher of two local files; read once per process, and again when one of them changes.

    Cost: some 50 MB and 0.2 seconds.
    """
    about = [os.stat(path) for path in (wordnet, ids)]
    return _matcher(wordnet, ids, tuple((one.st_mtime_ns, one.st_size) for one in about))


@functools.lru_cache(maxsize=4)
def _matcher(wordnet: str, ids: str, version: tuple[tuple[int, int], ...]) -> SynsetMatcher:
    return SynsetMatcher(WordNet.read(wordnet), read_ids(ids))
