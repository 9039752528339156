"""A picture of the report, with its text."""

from __future__ import annotations

import base64
import dataclasses


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """One sample as the report shows it; ``jpeg`` is empty where the image cannot be shown."""

    uid: str
    caption: str
    score: float
    margin: float
    kept: bool
    step: str
    jpeg: bytes

    @property
    def source(self) -> str:
        """The image as a data address, or nothing."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode()}" if self.jpeg else ""
