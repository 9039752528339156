"""Flags of the commands about Google Cloud that are no jobs: ``winnow launch`` and ``winnow plan``."""

from __future__ import annotations

import dataclasses
from typing import Any

from beam_pipelines.cloud.presets import PRESETS
from beam_pipelines.config.base import Flags, Form, Range, any_of, flag

FORMS = {
    "project": Form(r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]", "a project's id, for example my-project-1"),
    "region": Form(r"[a-z]+-[a-z]+[0-9]+", "a region, for example us-central1"),
    "job_name": Form(
        r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", "lower-case letters, digits and hyphens, from a letter on, at most 63"
    ),
}
"""Flags that Beam's own options for Dataflow have too -> what they must look like."""

WORKERS = Range(at_least=1, at_most=1000)
"""Numbers of workers that a job on Dataflow can have."""

_TEMPLATE = Form(r"gs://[a-z0-9][a-z0-9._-]+/.+\.json", "the template's file, gs://BUCKET/templates/JOB.json")
_BUCKET_FOLDER = Form(r"gs://[a-z0-9][a-z0-9._-]+(/.*)?", "a folder, gs://BUCKET/tmp")
_ACCOUNT = Form(r"[^@\s]+@[^@\s]+\.[^@\s]+", "an account's address")
_MACHINE = Form(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", "a machine type, for example n2-highmem-4")
_ZONE = Form(r"[a-z]+-[a-z]+[0-9]+-[a-z]", "a zone, for example us-central1-a")
_ADDRESS = Form(r"https?://[^/\s:]+(:\d+)?(/\S*)?", "an address, http://HOST:PORT or https://HOST")
_LABEL = Form(r"[a-z][-_a-z0-9]{0,62}=[-_a-z0-9]{0,63}", "KEY=VALUE of lower-case letters, digits, _ and -")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreConfig(Flags):
    """Flags about stores, Beam's and Winnow's own, that are also parameters of every template.

    Secrets are none of them: whoever may see a job reads its parameters. Workers take keys from the machine's own role.
    """

    gcs_user_project: str = flag("", "project that pays for requests to requester-pays buckets", form=FORMS["project"])
    hf_endpoint: str = flag("", "address of the Hugging Face Hub; default https://huggingface.co", form=_ADDRESS)
    s3_disable_ssl: str = flag("", "speak http to the S3 store", choices={"true": ""})
    s3_endpoint_url: str = flag("", "address of an S3 store that is not Amazon's", form=_ADDRESS)
    s3_region_name: str = flag("", "region of the S3 store, for example eu-west-1")
    s3_verify: str = flag("", "file of certificates by which the S3 store is checked, in the workers' image, or false")

    def parameters(self) -> dict[str, str]:
        """Returns name -> value of those that are given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaunchConfig(Flags):
    """Flags of ``winnow launch``, before ``--``; those of the job come after it."""

    project: str = flag("", "project that pays", form=FORMS["project"], required=f"name {FORMS['project'].words}")
    region: str = flag(
        "",
        "region of the job and its workers; that of the buckets",
        form=FORMS["region"],
        required=f"name {FORMS['region'].words}",
    )
    template: str = flag(
        "",
        "the job's template, gs://BUCKET/templates/JOB.json; terraform writes it",
        form=_TEMPLATE,
        required=f"name {_TEMPLATE.words}",
    )
    preset: str = flag("cpu", f"shape of the workers: {any_of(list(PRESETS))}; a GPU sets the job's --device cuda")
    layout: str = flag("", "A: a process per vCPU, B: one process; default: the preset's own")
    job_name: str = flag(
        "", "name of the Dataflow job; one of a name runs at a time; default: winnow-JOB", form=FORMS["job_name"]
    )
    workers: int = flag(
        1,
        "workers; exactly as many with a GPU, at most as many without",
        at_least=WORKERS.at_least,
        at_most=WORKERS.at_most,
    )
    num_workers: int = flag(
        1,
        "workers that a job without a GPU starts with, before the autoscaler looks",
        at_least=WORKERS.at_least,
        at_most=WORKERS.at_most,
    )
    image: str = flag("", "container image of the workers, pinned by digest; default: the template's own")
    temp_location: str = flag(
        "", "gs:// folder for temporary and staged files; default: the template's own", form=_BUCKET_FOLDER
    )
    service_account: str = flag("", "account of launcher and workers; default: the template's own", form=_ACCOUNT)
    subnetwork: str = flag("", "regions/REGION/subnetworks/NAME; default: the template's own")
    public_ips: bool = flag(False, "give workers public addresses; without, the subnetwork needs Private Google Access")
    worker_zone: str = flag("", "zone of the workers; default: Dataflow chooses in the region", form=_ZONE)
    launcher_machine_type: str = flag(
        "",
        "machine that finds the input, hashes weights and writes the job down; one with more memory for millions of "
        "shards; default: Dataflow's own",
        form=_MACHINE,
    )
    flexrs: bool = flag(False, "cheaper workers that may start up to six hours later; only with --preset cpu")
    label: tuple[str, ...] = flag((), "label of job and workers, KEY=VALUE; may be repeated", form=_LABEL)
    experiment: tuple[str, ...] = flag((), "another experiment or service option of Dataflow; may be repeated")
    validate_only: bool = flag(False, "let Dataflow check the request and start nothing")
    print: str = flag(
        "", "print the request in this form and send nothing", choices={"json": "", "gcloud": "a command"}
    )
    endpoint: str = flag("https://dataflow.googleapis.com", "where to send the request")

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.flexrs and self.preset != "cpu":
            problems.append(f"--flexrs: FlexRS has no GPUs, and --preset is {self.preset}; leave it out, or take cpu")
        if self.flexrs and self.worker_zone:
            problems.append("--flexrs chooses among the zones of the region; leave --worker_zone out")
        if self.num_workers > self.workers:
            problems.append(f"--num_workers must be at most --workers, {self.workers}, got {self.num_workers}")
        return problems

    def labels(self) -> dict[str, Any]:
        """Returns the labels as a mapping."""
        return dict(text.split("=", 1) for text in self.label)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostConfig(Flags):
    """Flags of ``winnow plan``."""

    samples: int = flag(1_000_000_000, "samples of the pool", at_least=1)
    sample_bytes: int = flag(35_000, "bytes per sample in its shard", at_least=1)
    gflop_per_pair: float = flag(
        14.8, "work of the network on one pair; ViT-B-32 14.8, ViT-B-16 41.1, ViT-L-14 175.3", above=0
    )
    dim: int = flag(512, "length of an embedding; two per sample are stored as float16", at_least=1)
    keep_fraction: float = flag(0.15, "share that is kept and copied", above=0, at_most=1)
    workers: int = flag(100, "workers; they set the time and not the cost", at_least=1)
    set: tuple[str, ...] = flag((), "another price or speed, NAME=VALUE, NAME as printed; may be repeated")
    print: str = flag("text", "form of the plan", choices=("text", "json", "markdown"))
