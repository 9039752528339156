"""Which runners a job can be given to, and what they need that can be seen before any work starts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

LOCAL = "DirectRunner"
RUNNERS = (LOCAL, "FnApiRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "PortableRunner", "DataflowRunner")
_FILES = ("prism_location", "flink_job_server_jar", "spark_job_server_jar")
_JAVA = ("FlinkRunner", "SparkRunner")


def name_of(given: str | None) -> str:
    """Returns a runner's name as Beam writes it; any case is taken, and none given is the local one."""
    return next((name for name in RUNNERS if name.lower() == (given or LOCAL).lower()), given or LOCAL)


def problems(beam_args: Sequence[str]) -> list[str]:
    """Returns what is wrong with the choice of a runner, one line each.

    A name with dots is a class of the user's own, which is left to Beam.
    """
    if not beam_args:
        return []
    from apache_beam.options.pipeline_options import PipelineOptions

    told = PipelineOptions(list(beam_args)).get_all_options(drop_default=True)
    runner = name_of(told.get("runner"))
    if runner not in RUNNERS and "." not in runner:
        return [f"--runner {runner} is unknown; take one of {', '.join(RUNNERS)} (docs/runners.md)"]
    found = [
        f"--{flag} {told[flag]} does not exist; docs/runners.md says how to get it"
        for flag in _FILES
        if _lost(told.get(flag))
    ]
    if runner in _JAVA and not shutil.which("java"):
        found.append(f"--runner {runner} needs Java, and there is none; install a runtime of Java 11 or 17")
    if runner == "PortableRunner" and not told.get("job_endpoint"):
        found.append("--runner PortableRunner needs --job_endpoint HOST:PORT, where a job service listens")
    return found


def _lost(path: str | None) -> bool:
    return bool(path) and "://" not in str(path) and not Path(str(path)).expanduser().is_file()
