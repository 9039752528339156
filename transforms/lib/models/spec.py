"""What names a network: as --model spells it, and as a stamp pins it."""

from __future__ import annotations

import dataclasses

PARTS = ("image", "text")


@dataclasses.dataclass(frozen=True)
class ParsedModel:
    """``--model`` taken apart.

    Attributes:
      name: of the column set.
      kind: ``tinyclip``, ``tag``, ``hub``, ``folder``, ``file``, ``timm``, or ``plugin`` for a scorer.
      source: architecture (tag, file, timm), hub id or folder; empty for tinyclip.
      weights: pretrained tag, or address of the weights file.
      sha256: that the user pinned; empty when not.
      part: ``image`` or ``text`` for that tower alone; ``score`` for a number alone; empty for all.
      options: of a weights file, what it was trained with, as ``trained_with.options_of`` reads it; empty to find out.
    """

    name: str
    kind: str
    source: str = ""
    weights: str = ""
    sha256: str = ""
    part: str = ""
    options: str = ""


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A network, found and pinned: what a worker needs to load exactly the same one.

    Attributes:
      name: of the column set.
      kind: as in ``ParsedModel``.
      source: as in ``ParsedModel``.
      weights: as in ``ParsedModel``.
      weights_sha256: of the weights; workers refuse any other.
      preprocess: fingerprint of the image preprocessing, its variant included.
      dim: of the embeddings.
      image_size: pixels of the square input.
      variant: of the preprocessing, one of ``preprocessing.VARIANTS``.
      part: as in ``ParsedModel``.
      options: as in ``ParsedModel``.
      files: digest of configuration, tokenizer and text tower; workers refuse any other. Empty in older outputs.
    """

    name: str
    kind: str
    source: str
    weights: str
    weights_sha256: str
    preprocess: str
    dim: int
    image_size: int
    variant: str = "exact"
    part: str = ""
    options: str = ""
    files: str = ""
