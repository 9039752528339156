"""A picture of the report, with its text."""

from __future__ import annotations

import base64
import dataclasses


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """One sample as the report shows it.

    Attributes:
      uid, key, caption: of the sample; empty where it has none.
      score: what the column that it is shown for says of it.
      margin: how far inside or outside the bound that decided it.
      kept: whether it is in the output.
      step: that dropped it; empty for a kept one.
      detail: what was found where it was rejected.
      place: its shard and first byte.
      jpeg: the picture; empty where the image cannot be shown.
    """

    uid: str
    key: str
    caption: str
    score: float
    margin: float
    kept: bool
    step: str
    detail: str
    place: str
    jpeg: bytes

    @property
    def named(self) -> bool:
        """Whether the sample has a uid, by which it can be explained."""
        return bool(self.uid.strip("0"))

    @property
    def source(self) -> str:
        """The image as a data address, or nothing."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}" if self.jpeg else ""
