"""Flags of ``winnow demo``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import Flags, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoConfig(Flags):
    """Flags of ``demo``."""

    output: str = flag("winnow-demo", "folder for the result; new, or that of an earlier demo")
    no_open: bool = flag(False, "do not open the report in a browser")
