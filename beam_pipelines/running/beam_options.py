"""What follows from the flags for Beam: its options, how stores are reached, and where the workers are."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from beam_pipelines.running import dataflow, runners

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_OF_STORES = ("--gcs_user_project", "--s3_", "--azure_", "--blob_service_", "--hf_")


def pipeline_options(beam_args: Sequence[str], spread: bool = False) -> PipelineOptions:
    """Returns Beam's options, with ``FnApiRunner``, in this process, in the place of ``DirectRunner``.

    ``DirectRunner`` would first try to download another runner, and then fall back to ``FnApiRunner``.

    Args:
      beam_args: the flags that are not ours.
      spread: whether a local run uses every core; ``--direct_num_workers`` among the flags wins.
    """
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, SetupOptions, StandardOptions

    options = PipelineOptions(list(beam_args))
    standard = options.view_as(StandardOptions)
    standard.runner = runners.name_of(standard.runner)
    if standard.runner == runners.LOCAL:
        standard.runner = "FnApiRunner"
        if spread and not any(one.startswith("--direct_num_workers") for one in beam_args):
            options.view_as(DirectOptions).direct_num_workers = 0
    options.view_as(SetupOptions).save_main_session = False
    return options


def tell_stores(beam_args: Sequence[str]) -> None:
    """Gives Beam's file systems the flags about stores; call it before the first file is looked for.

    It also silences what store clients log of credentials and retries: an error reaches the user as one line, at the
    end.
    """
    from apache_beam.io.filesystems import FileSystems

    from transforms.storage import gcs, hub  # noqa: F401  they declare their flags to Beam

    for name in ("apache_beam.internal.gcp.auth", "apache_beam.utils.retry", "google.auth"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    FileSystems.set_options(pipeline_options(beam_args))


def store_problems(beam_args: Sequence[str]) -> list[str]:
    """Returns what is wrong with the flags about stores, one line each."""
    if not beam_args:
        return []
    from apache_beam.options.pipeline_options import AzureOptions, PipelineOptions, S3Options

    from transforms.storage.hub import HubOptions

    options = PipelineOptions(list(beam_args))
    endpoints = {
        "s3_endpoint_url": options.view_as(S3Options).s3_endpoint_url,
        "hf_endpoint": options.view_as(HubOptions).hf_endpoint,
        "blob_service_endpoint": options.view_as(AzureOptions).blob_service_endpoint,
    }
    return [
        f"--{name} must be http://HOST:PORT or https://HOST, got {endpoint!r}"
        for name, endpoint in endpoints.items()
        if endpoint and not re.fullmatch(r"https?://[^/\s:]+(:\d+)?(/\S*)?", endpoint)
    ]


def not_for_stores(beam_args: Sequence[str]) -> list[str]:
    """Returns Beam's flags without those about stores, and without their values."""
    others: list[str] = []
    skipping = False
    for text in beam_args:
        if text.startswith("--"):
            skipping = text.startswith(_OF_STORES)
        if not skipping:
            others.append(text)
    return others


def runs_elsewhere(beam_args: Sequence[str]) -> bool:
    """Returns whether the workers are other machines, so that the devices of this one say nothing about theirs."""
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    return runners.name_of(PipelineOptions(list(beam_args)).view_as(StandardOptions).runner) == dataflow.RUNNER
