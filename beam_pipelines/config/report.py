"""The flag of jobs that write a report. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.crawl import PoolConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportConfig(PoolConfig):
    """What the report may show."""

    report_pictures: str = flag(
        "shown",
        "pictures of the report",
        choices={"shown": "", "blurred": "nothing small can be told", "none": "no image is read for it"},
        operational=True,
    )
    report_times: bool = flag(
        False,
        "say in the report when the job ran and for how long; its bytes then differ from run to run",
        operational=True,
    )
