"""Which runners a job can be given to, and what they need that can be seen before any work starts."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transforms.lib.errors import InputError

LOCAL = "DirectRunner"
RUNNERS = (LOCAL, "FnApiRunner", "PrismRunner", "FlinkRunner", "SparkRunner", "PortableRunner", "DataflowRunner")
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
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

    told = PipelineOptions(list(beam_args))
    runner = name_of(told.view_as(StandardOptions).runner)
    if runner not in RUNNERS and "." not in runner:
        return [f"--runner {runner} is unknown; take one of {', '.join(RUNNERS)} (docs/runners.md)"]
    files = {flag: getattr(told.view_as(group), flag) for flag, group in _files().items()}
    lost = {flag: path for flag, path in files.items() if _lost(path)}
    found = [f"--{flag} {path} does not exist; docs/runners.md says how to get it" for flag, path in lost.items()]
    if runner in _JAVA and not shutil.which("java"):
        found.append(f"--runner {runner} needs Java, and there is none; install a runtime of Java 11 or 17")
    if runner == "PortableRunner" and not told.view_as(PortableOptions).job_endpoint:
        found.append("--runner PortableRunner needs --job_endpoint HOST:PORT, where a job service listens")
    return found


def fetch_job_server(beam_args: Sequence[str]) -> None:
    """Lets Beam fetch the job server of a runner in Java, where none is named; once, into its own cache.

    Raises:
      InputError: it cannot be had.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

    told = PipelineOptions(list(beam_args))
    runner = name_of(told.view_as(StandardOptions).runner)
    if runner not in _JAVA or told.view_as(PortableOptions).job_endpoint:
        return
    from apache_beam.runners.portability import flink_runner, spark_runner

    server = {"FlinkRunner": flink_runner.FlinkJarJobServer, "SparkRunner": spark_runner.SparkJarJobServer}[runner](
        told
    )
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)  # six lines about every download
    try:
        server.local_jar(server.path_to_jar(), server._jar_cache_dir)
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:240]
        flag = "flink_job_server_jar" if runner == "FlinkRunner" else "spark_job_server_jar"
        raise InputError(
            f"--runner {runner}: its job server cannot be fetched ({said}); give --{flag}, docs/runners.md says how to "
            "get one"
        ) from error


def _files() -> dict[str, Any]:
    """Returns the flags that name files of runners, with Beam's options that hold them."""
    from apache_beam.options import pipeline_options as beam

    return {
        "prism_location": beam.PrismRunnerOptions,
        "flink_job_server_jar": beam.FlinkRunnerOptions,
        "spark_job_server_jar": beam.SparkRunnerOptions,
    }


def _lost(path: str | None) -> bool:
    return bool(path) and "://" not in str(path) and not Path(str(path)).expanduser().is_file()
