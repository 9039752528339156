"""The runners that can run a job, and a check of what they need before any work starts."""

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
    """Returns a runner's name as Beam writes it, from any case; the local runner's when none is given."""
    return next((name for name in RUNNERS if name.lower() == (given or LOCAL).lower()), given or LOCAL)


def problems(beam_args: Sequence[str]) -> list[str]:
    """Returns what is wrong with the choice of a runner, one line each.

    A name with dots is a class of the user's own, which is left to Beam.
    """
    if not beam_args:
        return []
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

    options = PipelineOptions(list(beam_args))
    runner = name_of(options.view_as(StandardOptions).runner)
    if runner not in RUNNERS and "." not in runner:
        return [f"--runner {runner} is unknown; take one of {', '.join(RUNNERS)} (docs/runners.md)"]
    files = {flag: getattr(options.view_as(group), flag) for flag, group in _files().items()}
    problems = [
        f"--{flag} {path} does not exist; docs/runners.md says how to get it"
        for flag, path in files.items()
        if _is_missing(path)
    ]
    if runner in _JAVA and not shutil.which("java"):
        problems.append(f"--runner {runner} needs Java, and there is none; install a runtime of Java 11 or 17")
    if runner == "PortableRunner" and not options.view_as(PortableOptions).job_endpoint:
        problems.append("--runner PortableRunner needs --job_endpoint HOST:PORT, where a job service listens")
    return problems


def fetch_job_server(beam_args: Sequence[str]) -> None:
    """Lets Beam download the job server of a runner in Java, where no flag names one; once, into Beam's own cache.

    Raises:
      InputError: the download fails.
    """
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions

    options = PipelineOptions(list(beam_args))
    runner = name_of(options.view_as(StandardOptions).runner)
    if runner not in _JAVA or options.view_as(PortableOptions).job_endpoint:
        return
    from apache_beam.runners.portability import flink_runner, spark_runner

    server = {"FlinkRunner": flink_runner.FlinkJarJobServer, "SparkRunner": spark_runner.SparkJarJobServer}[runner](
        options
    )
    logging.getLogger("apache_beam.utils.subprocess_server").setLevel(logging.ERROR)  # six lines about every download
    try:
        server.local_jar(server.path_to_jar(), server._jar_cache_dir)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:240]
        flag = "flink_job_server_jar" if runner == "FlinkRunner" else "spark_job_server_jar"
        raise InputError(
            f"--runner {runner}: its job server cannot be fetched ({reason}); give --{flag}, docs/runners.md says how "
            "to get one"
        ) from error


def _files() -> dict[str, Any]:
    """Returns the flags that name files of runners -> the class of Beam's options that has them."""
    from apache_beam.options import pipeline_options as beam

    return {
        "prism_location": beam.PrismRunnerOptions,
        "flink_job_server_jar": beam.FlinkRunnerOptions,
        "spark_job_server_jar": beam.SparkRunnerOptions,
    }


def _is_missing(path: str | None) -> bool:
    """Returns whether a path is given, is on this machine, and leads to no file."""
    return bool(path) and "://" not in str(path) and not Path(str(path)).expanduser().is_file()
