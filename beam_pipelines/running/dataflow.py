"""A check of what a job on Dataflow needs, before any work starts; ``winnow launch`` asks for the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from beam_pipelines.cloud.config import FORMS, WORKERS
from beam_pipelines.cloud.presets import PRESETS
from beam_pipelines.config.base import Flags
from beam_pipelines.running import runners

RUNNER = "DataflowRunner"
_REQUIRED = ("project", "region")
_PATHS = ("input", "output")  # what workers read and write; models may lie in their image
_REMOTE = re.compile(r"[a-z0-9+.-]+://")
_FOLDER = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/.*")  # Beam wants the slash


def problems(config: Flags, beam_args: Sequence[str], preset: str = "") -> list[str]:
    """Returns what is wrong with running a job on Dataflow, one line each; nothing for another runner.

    Beam itself would notice some of it only after the job has written its first files, and would make up a bucket where
    none is named.

    Args:
      config: of the job.
      beam_args: the flags that are not ours, the preset's among them.
      preset: name of the shape of workers; empty for none.
    """
    if not beam_args:
        return []
    from apache_beam.options import pipeline_options as beam

    options = beam.PipelineOptions(list(beam_args))
    if runners.name_of(options.view_as(beam.StandardOptions).runner) != RUNNER:
        return []
    cloud, workers = options.view_as(beam.GoogleCloudOptions), options.view_as(beam.WorkerOptions)
    return [*_local(config), *_cloud(cloud), *_temporary(cloud), *_workers(cloud, workers, preset)]


def _local(config: Flags) -> list[str]:
    given = {name: getattr(config, name, ()) for name in _PATHS}
    texts = [(name, text) for name, value in given.items() for text in ([value] if isinstance(value, str) else value)]
    return [
        f"--{name} {text} is on this machine, and Dataflow's workers are others; name gs:// or s3://"
        for name, text in texts
        if text and not _REMOTE.match(text)
    ]


def _cloud(cloud: Any) -> list[str]:
    """Returns what is wrong with where the job is to run; with ``--template_location``, its launch says where."""
    needed = () if cloud.template_location else _REQUIRED
    problems = [
        f"--{name} is missing; --runner {RUNNER} needs {FORMS[name].words}"
        for name in needed
        if not getattr(cloud, name)
    ]
    for name in (*_REQUIRED, "job_name"):
        value = getattr(cloud, name)
        if value and not FORMS[name].matches(value):
            problems.append(f"--{name} must be {FORMS[name].words}, got {value!r}")
    return problems


def _temporary(cloud: Any) -> list[str]:
    given = {name: getattr(cloud, name) for name in ("temp_location", "staging_location")}
    if not any(given.values()):
        return [f"--temp_location is missing; --runner {RUNNER} needs a folder for what it stages, gs://BUCKET/tmp"]
    return [
        f"--{name} must be a folder, gs://BUCKET/tmp, got {value!r}"
        for name, value in given.items()
        if value and not _FOLDER.fullmatch(value)
    ]


def _workers(cloud: Any, workers: Any, preset: str) -> list[str]:
    number, most = workers.num_workers, workers.max_num_workers
    problems = [
        f"--{name} must be {WORKERS.text(whole=True)}, got {value}"
        for name, value in (("num_workers", number), ("max_num_workers", most))
        if value is not None and not WORKERS.holds(value)
    ]
    if not problems and number and most and number > most:
        problems.append(
            f"--num_workers {number} is more than --max_num_workers {most}; leave the second out, or raise it"
        )
    if preset not in PRESETS or not PRESETS[preset].accelerator:
        return problems
    if cloud.flexrs_goal == "COST_OPTIMIZED":
        problems.append(f"--flexrs_goal: FlexRS has no GPUs, and --preset is {preset}; leave it out, or take cpu")
    if workers.autoscaling_algorithm == "NONE" and number is None:
        problems.append(
            f"--num_workers is missing; --preset {preset} runs without an autoscaler, which would take a busy GPU for "
            "an idle worker: say how many workers there are to be"
        )
    return problems
