"""How much of a hostile or broken tar is read: limits with their reasons."""

from __future__ import annotations

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class TarLimits:
    """What no tar of an image-text pool needs; what is beyond it is rejected.

    Attributes:
      max_member_bytes: of one member; it is held in memory. As for a sample, since the image is most of it.
      max_name_bytes: of a member's name; 4096 is the longest path of Linux (PATH_MAX).
      max_header_bytes: of one pax or GNU header; 1 MiB holds any name with all extended attributes that Linux allows.
      max_empty_members: members without data in one shard. They cost a row each, and next to nothing where they lie.
      max_unpacked_bytes: of one packed shard, unpacked; 64 GiB is far more than any shard in use.
      max_unpack_ratio: unpacked bytes per packed byte, once 64 MiB are unpacked. Shards of images have about 1, of text
        alone up to 20; zeros in gzip have 1030.
      max_caption_bytes: of a caption; the index holds those of all samples of a shard at once, and 128 KiB are
        some 20,000 words; networks read 77 tokens.
    """

    max_member_bytes: int = 1 << 28
    max_name_bytes: int = 4096
    max_header_bytes: int = 1 << 20
    max_empty_members: int = 100_000
    max_unpacked_bytes: int = 1 << 36
    max_unpack_ratio: int = 200
    max_caption_bytes: int = 1 << 17


DEFAULT_LIMITS = TarLimits()
NO_LIMITS = TarLimits(*[sys.maxsize] * len(dataclasses.fields(TarLimits)))
"""For bytes that were read under limits before."""
