"""Samples that were taken down, as salted digests: whoever meets one again knows it, and nobody can read it off.

A digest is the first 128 bits of a SHA-256 over a salt, what is named, and the text that names it: ``uid`` (32 hex
digits), ``image`` (the sha256 of the encoded image) or ``sample`` (both), for one sample of several with that uid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from transforms.lib import uids
from transforms.lib.arrays import Bool
from transforms.lib.subsets.subset_files import UidRecords, places


def digest_of(salt: str, kind: str, text: str) -> str:
    """Returns the digest of what a text names: 32 hex digits."""
    return hashlib.sha256(f"{salt}\0{kind}\0{text}".encode()).hexdigest()[:32]


def digests_of(salt: str, kind: str, texts: Iterable[str]) -> UidRecords:
    """Returns the digests of some texts, sorted, each once; empty texts name nothing."""
    found = [digest_of(salt, kind, text) for text in texts if text]
    return np.unique(uids.subset(uids.pairs(found))) if found else np.zeros(0, uids.SUBSET_DTYPE)


def named(listed: UidRecords, salt: str, index: pa.Table) -> Bool:
    """Returns bool ``[n]``: which rows of an index a list names.

    Cost: three SHA-256 per sample, some 3 microseconds.

    Args:
      listed: digests, sorted.
      salt: of the list.
      index: table ``[n]`` with the columns uid and image_sha256.
    """
    names, images = index["uid"].to_pylist(), index["image_sha256"].to_pylist()
    found = np.zeros(len(names), np.bool_)
    for kind, texts in (("uid", names), ("image", images), ("sample", [*map(sample_text, names, images)])):
        rows = np.flatnonzero([bool(text) for text in texts])
        if len(rows):
            pairs = uids.pairs([digest_of(salt, kind, texts[row]) for row in rows.tolist()])
            found[rows] |= places(listed, pairs) >= 0
    return found


def sample_text(uid: str, image_sha256: str) -> str:
    """Returns the text that names one sample; empty for one without uid."""
    return f"{uid} {image_sha256}" if uid else ""
