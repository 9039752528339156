"""The flexTemplates.launch request of a job, as JSON and as a gcloud command."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from beam_pipelines.cloud import presets
from beam_pipelines.cloud.config import LaunchConfig
from beam_pipelines.cloud.presets import PRESETS
from beam_pipelines.cloud.template_metadata import JOB_PARAMETER, SEPARATOR, refused
from beam_pipelines.config.base import Flags
from beam_pipelines.config.jobs import JOBS


def parameters(job: str, config: Flags, preset: str) -> tuple[dict[str, str], list[str]]:
    """Returns a template's parameters for a job's settings without those at their default, and their problems.

    On workers with a GPU, ``device`` becomes ``cuda``, which is part of the scores' stamp.

    Args:
      job: name in ``JOBS``.
      config: settings of the job.
      preset: name in ``PRESETS``.
    """
    parameters: dict[str, str] = {JOB_PARAMETER: job}
    problems = []
    defaults = JOBS[job].settings()
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == getattr(defaults, field.name):
            continue
        values = [str(one) for one in value] if isinstance(value, tuple) else [str(value)]
        if isinstance(value, tuple) and any(SEPARATOR in one for one in values):
            problems.append(f"--{field.name}: {SEPARATOR!r} separates values in a template, and one value has it")
        parameters[field.name] = SEPARATOR.join(values).lower() if isinstance(value, bool) else SEPARATOR.join(values)
    if PRESETS[preset].accelerator:
        parameters["device"] = "cuda"
    return parameters, problems + (refused(job, parameters) if not config.problems() else [])


def environment(launch: LaunchConfig) -> dict[str, Any]:
    """Returns the ``FlexTemplateRuntimeEnvironment``: workers, network, account, labels."""
    shape = presets.environment(launch.preset, launch.layout)
    shape["additionalExperiments"] += launch.experiment
    if launch.image:
        shape["additionalPipelineOptions"] += [f"sdk_container_image={launch.image}"]
    shape |= {
        "numWorkers": launch.workers if PRESETS[launch.preset].accelerator else launch.num_workers,
        "maxWorkers": launch.workers,
        "ipConfiguration": "WORKER_IP_PUBLIC" if launch.public_ips else "WORKER_IP_PRIVATE",
        "additionalUserLabels": {"app": "winnow", **launch.labels()},
    }
    if launch.flexrs:
        shape["flexrsGoal"] = "FLEXRS_COST_OPTIMIZED"
    if launch.temp_location:
        shape |= {
            "tempLocation": launch.temp_location,
            "stagingLocation": f"{launch.temp_location.rstrip('/')}/staging",
        }
    named = {
        "sdkContainerImage": launch.image,
        "serviceAccountEmail": launch.service_account,
        "subnetwork": launch.subnetwork,
        "workerZone": launch.worker_zone,
        "launcherMachineType": launch.launcher_machine_type,
    }
    return shape | {name: value for name, value in named.items() if value}


def request(launch: LaunchConfig, job: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Returns the ``LaunchFlexTemplateRequest``; equal flags give equal requests.

    The job's name is fixed, and Dataflow runs one job of a name and region at a time: while the first launch runs, a
    second one, by a schedule or a retry, is refused.
    """
    body: dict[str, Any] = {
        "launchParameter": {
            "jobName": launch.job_name or f"winnow-{job}",
            "containerSpecGcsPath": launch.template,
            "parameters": parameters,
            "environment": environment(launch),
        }
    }
    return body | ({"validateOnly": True} if launch.validate_only else {})


_GCLOUD = {
    "machineType": "worker-machine-type",
    "numWorkers": "num-workers",
    "maxWorkers": "max-workers",
    "serviceAccountEmail": "service-account-email",
    "subnetwork": "subnetwork",
    "workerZone": "worker-zone",
    "launcherMachineType": "launcher-machine-type",
    "tempLocation": "temp-location",
    "stagingLocation": "staging-location",
}


def gcloud(launch: LaunchConfig, body: dict[str, Any]) -> str:
    """Returns the same launch as one ``gcloud dataflow flex-template run`` command, quoted for a shell.

    gcloud has no flags for disk, image and autoscaling; they are among the options of the pipeline.
    """
    launched = body["launchParameter"]
    shape = launched["environment"]
    lists = {
        "parameters": [f"{name}={value}" for name, value in launched["parameters"].items()],
        "additional-experiments": shape["additionalExperiments"],
        "additional-pipeline-options": shape["additionalPipelineOptions"],
        "additional-user-labels": [f"{name}={value}" for name, value in shape["additionalUserLabels"].items()],
    }
    words = ["gcloud", "dataflow", "flex-template", "run", launched["jobName"]]
    words += [f"--project={launch.project}", f"--region={launch.region}"]
    words += [f"--template-file-gcs-location={launched['containerSpecGcsPath']}"]
    words += [f"--{option}={shape[name]}" for name, option in _GCLOUD.items() if name in shape]
    words += [f"--{option}={_listed(values)}" for option, values in lists.items()]
    words += ["--disable-public-ips"] if shape["ipConfiguration"] == "WORKER_IP_PRIVATE" else []
    words += ["--flexrs-goal=COST_OPTIMIZED"] if "flexrsGoal" in shape else []
    return " \\\n  ".join([" ".join(words[:5]), *(shlex.quote(word) for word in words[5:])])


def _listed(values: list[str]) -> str:
    """Returns values joined as gcloud takes them: by commas, or after ``^MARK^`` by a mark that no value holds."""
    free = next(mark for mark in (",", "~", ":", "@", "#", "^") if not any(mark in value for value in values))
    return ",".join(values) if free == "," else f"^{free}^{free.join(values)}"
