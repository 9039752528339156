"""Shapes of Dataflow workers by name, as the flags of Beam that ask for them; imports nothing heavy.

docs/dataflow.md gives the reasons for each number, docs/cost.md what each shape costs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.base import any_of

DRIVER = "install-nvidia-driver:5xx"  # the newer branch: the locked torch needs CUDA 13, and that 580 or later
LAYOUTS = ("A", "B")
_SINGLE_PROCESS = "no_use_multiple_sdk_containers"


@dataclasses.dataclass(frozen=True)
class Preset:
    """One shape of worker.

    Attributes:
      name: the value of ``--preset``.
      machine_type: of Compute Engine.
      vcpus: of the machine.
      memory_gb: of the machine.
      accelerator: Dataflow's name of the GPU; a worker has one; empty for a worker without.
      disk_gb: boot disk; it holds the container image twice (layers and unpacked) and the logs.
      layout: the container layout when none is named.
      threads: bundles that one process works on at once in layout B.
    """

    name: str
    machine_type: str
    vcpus: int
    memory_gb: float
    accelerator: str
    disk_gb: int
    layout: str
    threads: int

    def worker_accelerator(self, layout: str) -> str:
        """Returns Dataflow's ``worker_accelerator`` option, driver and process sharing included; empty without a GPU.

        Layout A has a copy of the model in every process; NVIDIA MPS lets them use the GPU at the same time.
        """
        if not self.accelerator:
            return ""
        shared = ";use_nvidia_mps" if layout == "A" else ""
        return f"worker_accelerator=type:{self.accelerator};count:1;{DRIVER}{shared}"

    def harness_threads(self, layout: str) -> int:
        """Returns how many bundles one process works on at once."""
        return 1 if layout == "A" else self.threads

    def experiments(self, layout: str) -> list[str]:
        """Returns Dataflow's experiments of a container layout."""
        return ["use_runner_v2"] + ([_SINGLE_PROCESS] if layout == "B" else [])


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("cpu", "n2-standard-4", 4, 16, "", 50, "A", 4),
        Preset("t4", "n1-standard-8", 8, 30, "nvidia-tesla-t4", 100, "B", 3),
        Preset("l4", "g2-standard-12", 12, 48, "nvidia-l4", 100, "B", 3),
        Preset("a100", "a2-highgpu-1g", 12, 85, "nvidia-tesla-a100", 100, "B", 4),
        Preset("h100", "a3-highgpu-1g", 26, 234, "nvidia-h100-80gb", 100, "B", 4),
    )
}


def environment(preset: str, layout: str) -> dict[str, Any]:
    """Returns a preset's part of a launch request's ``FlexTemplateRuntimeEnvironment``.

    Args:
      preset: a name in ``PRESETS``.
      layout: ``A``, ``B`` or empty for the preset's own.
    """
    shape = PRESETS[preset]
    layout = layout or shape.layout
    accelerator = shape.worker_accelerator(layout)
    return {
        "machineType": shape.machine_type,
        "diskSizeGb": shape.disk_gb,
        # the autoscaler watches the CPU, so a busy GPU looks idle to it
        "autoscalingAlgorithm": f"AUTOSCALING_ALGORITHM_{'NONE' if accelerator else 'BASIC'}",
        "additionalExperiments": [*shape.experiments(layout), *([accelerator] if accelerator else [])],
        # disk and autoscaling once more: a Python launcher passes these on, and not the fields of the environment
        "additionalPipelineOptions": [
            f"number_of_worker_harness_threads={shape.harness_threads(layout)}",
            f"disk_size_gb={shape.disk_gb}",
            f"autoscaling_algorithm={'NONE' if accelerator else 'THROUGHPUT_BASED'}",
        ],
    }


def check(preset: str, layout: str, device: str | None) -> list[str]:
    """Returns what is wrong with a choice of worker, one line each.

    Args:
      preset: name, or empty for none.
      layout: ``A``, ``B`` or empty for the preset's own.
      device: value of the job's ``--device``; None for a job that has no use for a GPU.
    """
    if preset and preset not in PRESETS:
        return [f"--preset must be {any_of(list(PRESETS))}, got {preset!r}"]
    if layout and layout not in LAYOUTS:
        return [f"--layout must be {any_of(LAYOUTS)}, got {layout!r}"]
    if layout and not preset:
        return ["--layout needs a --preset, whose workers it lays out"]
    gpu = bool(preset) and bool(PRESETS[preset].accelerator)
    if gpu and device is None:
        return [f"--preset {preset}: this job has no use for a GPU; take --preset cpu"]
    if gpu and device == "cpu":
        return [f"--preset {preset}: its GPU would idle; add --device cuda, or take --preset cpu"]
    if preset and not gpu and device == "cuda":
        return [f"--device cuda: the workers of --preset {preset} have no GPU; take t4, l4, a100 or h100"]
    return []


def beam_flags(preset: str, layout: str, given: Sequence[str] = ()) -> list[str]:
    """Returns the flags of Beam that ask for a preset's workers, less those that the user gave.

    Args:
      preset: a name in ``PRESETS``; empty gives no flags.
      layout: ``A``, ``B`` or empty for the preset's own.
      given: flags of Beam on the command line, which win.
    """
    if not preset:
        return []
    shape = PRESETS[preset]
    layout = layout or shape.layout
    threads = shape.harness_threads(layout)
    flags = {
        "--machine_type": shape.machine_type,
        "--disk_size_gb": str(shape.disk_gb),
        "--number_of_worker_harness_threads": str(threads),
    }
    names = {text.split("=")[0] for text in given}
    if shape.accelerator:
        flags["--autoscaling_algorithm"] = "NONE"  # as in ``environment``
    own = [f"{name}={value}" for name, value in flags.items() if name not in names]
    own += [f"--experiments={name}" for name in shape.experiments(layout)]
    accelerator = shape.worker_accelerator(layout)
    if accelerator and not any("worker_accelerator" in text for text in given):
        own.append(f"--dataflow_service_options={accelerator}")
    return own
