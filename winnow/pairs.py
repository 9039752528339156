"""What flows between the PTransforms: a scored pair; and how uids and numbers are read from elements of any type.

Annotations are types here, not strings: Beam would take a string for Any, which no runner in another language can read.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from apache_beam import coders

from transforms.lib import uid_rule

Reader = str | Callable[[Any], Any]
"""The name of an attribute or of a key, or a function of the element."""


class ScoredPair(NamedTuple):
    """An image and its caption after scoring, without the image.

    Attributes:
      uid: 32 hex digits.
      key: its WebDataset key.
      shard: name of its input shard.
      caption: the caption that was scored.
      score: of the first model; NaN where that gives embeddings alone.
      scores: name of each model with a score -> its score.
    """

    uid: str
    key: str
    shard: str
    caption: str
    score: float
    scores: Mapping[str, float]


coders.registry.register_coder(ScoredPair, coders.RowCoder)


def read(element: Any, reader: Reader) -> Any:
    """Returns what a reader finds in an element: a mapping's value, an attribute, or what its function returns."""
    if not isinstance(reader, str):
        return reader(element)
    return element[reader] if isinstance(element, Mapping) else getattr(element, reader)


def uid_of(element: Any, reader: Reader) -> str:
    """Returns the uid of an element, 32 hex digits by the rule of ``--uid_field``; a text is its own uid.

    Raises:
      ValueError: the element names no sample.
    """
    value = element if isinstance(element, str) else read(element, reader)
    text = uid_rule.text_of(value)
    if text is None:
        raise ValueError(f"an element has {value!r} for a uid, which names no sample; give uid= a text or a number")
    return uid_rule.of_text(text)
