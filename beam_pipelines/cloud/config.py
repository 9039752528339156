"""Flags of the commands about Google Cloud that are no jobs: ``winnow launch`` and ``winnow plan``."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from beam_pipelines.config.base import flag

_NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
PATTERNS = {
    "project": (r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]", "a project's id, for example my-project-1"),
    "region": (r"[a-z]+-[a-z]+[0-9]+", "a region, for example us-central1"),
    "template": (r"gs://[a-z0-9][a-z0-9._-]+/.+\.json", "the template's file, gs://BUCKET/templates/JOB.json"),
    "job_name": (_NAME, "lower-case letters, digits and hyphens, from a letter on, at most 63"),
    "temp_location": (r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", "a folder, gs://BUCKET/tmp"),
    "service_account": (r"[^@\s]+@[^@\s]+\.[^@\s]+", "an account's address"),
    "launcher_machine_type": (r"[a-z][a-z0-9]*(-[a-z0-9]+)+", "a machine type, for example n2-highmem-4"),
    "worker_zone": (r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a zone, for example us-central1-a"),
}
_LABEL = r"[a-z][-_a-z0-9]{0,62}=[-_a-z0-9]{0,63}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig:
    """Flags of ``winnow launch``, before ``--``; those of the job come after it."""

    project: str = flag("", "project that pays (required)")
    region: str = flag("", "region of the job and its workers; that of the buckets (required)")
    template: str = flag("", "the job's template, gs://BUCKET/templates/JOB.json; terraform writes it (required)")
    preset: str = flag("cpu", "shape of the workers: cpu, t4, l4, a100 or h100; a GPU sets the job's --device cuda")
    layout: str = flag("", "A: a process per vCPU, B: one process; default: the preset's own")
    job_name: str = flag("", "of the Dataflow job; one of a name runs at a time; default: winnow-JOB")
    workers: int = flag(1, "workers: as many as this with a GPU, at most this without, in 1 to 1000")
    image: str = flag("", "container image of the workers, pinned by digest; default: the template's own")
    temp_location: str = flag("", "gs:// folder for temporary and staged files; default: the template's own")
    service_account: str = flag("", "account of launcher and workers; default: the template's own")
    subnetwork: str = flag("", "regions/REGION/subnetworks/NAME; default: the template's own")
    public_ips: bool = flag(False, "give workers public addresses; without, the subnetwork needs Private Google Access")
    worker_zone: str = flag("", "zone of the workers; default: Dataflow chooses in the region")
    launcher_machine_type: str = flag(
        "",
        "machine that finds the input, hashes weights and writes the job down; one with more memory for millions of "
        "shards; default: Dataflow's own",
    )
    flexrs: bool = flag(False, "cheaper workers that may start up to six hours later; only with --preset cpu")
    label: tuple[str, ...] = flag((), "label of job and workers, KEY=VALUE; may be repeated")
    experiment: tuple[str, ...] = flag((), "another experiment or service option of Dataflow; may be repeated")
    validate_only: bool = flag(False, "let Dataflow check the request and start nothing")
    print: str = flag("", "json or gcloud: print the request, or the same as a command, and send nothing")
    endpoint: str = flag("https://dataflow.googleapis.com", "where to send the request")

    def problems(self) -> list[str]:
        """Returns what is wrong with the values, one line each: flag, value, what is allowed, hint."""
        found = [
            f"--{name} is missing; name {PATTERNS[name][1]}"
            for name in ("project", "region", "template")
            if not getattr(self, name)
        ]
        for name, (pattern, meaning) in PATTERNS.items():
            value = getattr(self, name)
            if value and not re.fullmatch(pattern, value):
                found.append(f"--{name} must be {meaning}, got {value!r}")
        if not 1 <= self.workers <= 1000:
            found.append(f"--workers must be in 1 to 1000, got {self.workers}")
        found += [
            f"--label must be KEY=VALUE of lower-case letters, digits, _ and -, got {text!r}"
            for text in self.label
            if not re.fullmatch(_LABEL, text)
        ]
        if self.print not in ("", "json", "gcloud"):
            found.append(f"--print must be json or gcloud, got {self.print!r}")
        if self.flexrs and self.preset != "cpu":
            found.append(f"--flexrs: FlexRS has no GPUs, and --preset is {self.preset}; leave it out, or take cpu")
        if self.flexrs and self.worker_zone:
            found.append("--flexrs chooses among the zones of the region; leave --worker_zone out")
        return found

    def labels(self) -> dict[str, Any]:
        """Returns the labels as a mapping."""
        return dict(text.split("=", 1) for text in self.label)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostConfig:
    """Flags of ``winnow plan``."""

    samples: int = flag(1_000_000_000, "samples of the pool")
    sample_bytes: int = flag(35_000, "bytes of a sample in its shard")
    gflop_per_pair: float = flag(14.8, "work of the network on one pair: ViT-B-32 14.8, ViT-B-16 41.1, ViT-L-14 175.3")
    dim: int = flag(512, "length of an embedding, of which two a sample are stored as float16")
    keep_fraction: float = flag(0.15, "share that is kept and copied, in (0, 1]")
    workers: int = flag(100, "workers, which set the time and not the cost")
    set: tuple[str, ...] = flag((), "another price or speed, NAME=VALUE, NAME as printed; may be repeated")
    print: str = flag("text", "text, json or markdown")

    def problems(self) -> list[str]:
        """Returns what is wrong with the values, one line each: flag, value, what is allowed, hint."""
        found = [
            f"--{name} must be at least 1, got {getattr(self, name)}"
            for name in ("samples", "sample_bytes", "dim", "workers")
            if getattr(self, name) < 1
        ]
        if not 0 < self.gflop_per_pair < float("inf"):
            found.append(f"--gflop_per_pair must be a number above 0, got {self.gflop_per_pair}")
        if not 0 < self.keep_fraction <= 1:
            found.append(f"--keep_fraction must be in (0, 1], got {self.keep_fraction}")
        if self.print not in ("text", "json", "markdown"):
            found.append(f"--print must be text, json or markdown, got {self.print!r}")
        return found
