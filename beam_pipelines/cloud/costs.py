"""What a pool costs on each shape of worker: a formula and its inputs.

Every input is a guess with a date until it is measured on the machine that is paid for; ``winnow plan --set`` replaces
any of them. docs/cost.md is written from this module.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from beam_pipelines.cloud.config import CostConfig
from beam_pipelines.cloud.presets import PRESETS, Preset

AS_OF = "2026-11-21"


class Input(NamedTuple):
    """A number that the formula takes.

    Attributes:
      value: in ``unit``.
      unit: of the value.
      source: where it is from.
    """

    value: float
    unit: str
    source: str


_LIST = "Dataflow batch list price, us-central1, noted from older pages and unchecked"
_GUESS = "40 to 50 % of the dense peak of the data sheet; not measured here"
INPUTS: dict[str, Input] = {
    "vcpu_hour": Input(0.056, "USD", _LIST),
    "gb_hour": Input(0.003557, "USD per GB of memory", _LIST),
    "disk_gb_hour": Input(0.000054, "USD per GB of standard disk", _LIST),
    "t4_hour": Input(0.42, "USD", _LIST),
    "l4_hour": Input(0.67, "USD", _LIST),
    "a100_hour": Input(3.5, "USD, 40 GB", _LIST),
    "h100_hour": Input(11.8, "USD, 80 GB", _LIST),
    "shuffle_gb": Input(0.011, "USD", _LIST),
    "storage_gb_month": Input(
        0.02, "USD, standard class, one region", "Cloud Storage list price; check the price page"
    ),
    "flexrs_factor": Input(0.6, "of the price of vCPUs and memory", "FlexRS is said to be about 40 % cheaper; check"),
    "cpu_tflops": Input(0.2, "TFLOP/s of 4 vCPUs, fp32", "0.05 per vCPU; not measured on this machine type"),
    "t4_tflops": Input(25, "TFLOP/s, fp16", _GUESS),
    "l4_tflops": Input(55, "TFLOP/s, bf16", _GUESS),
    "a100_tflops": Input(160, "TFLOP/s, bf16", _GUESS),
    "h100_tflops": Input(400, "TFLOP/s, bf16", _GUESS),
    "decodes_per_vcpu": Input(300, "images/s", "JPEG of 512 px to 224 px by Pillow, measured on two other cores"),
    "busy": Input(0.85, "share of the time that the bound is reached", "what a canary should show; lower costs more"),
    "copy_bytes": Input(300e6, "bytes/s that a worker of 4 vCPUs copies", "not measured on Cloud Storage"),
    "index_bytes": Input(150, "bytes per sample in columns/index, compressed", "a guess; captions are most of it"),
}


def inputs(changes: Mapping[str, float] | None = None) -> dict[str, float]:
    """Returns the value of every input, name -> number in the unit of ``INPUTS``, with changes applied."""
    return {name: entry.value for name, entry in INPUTS.items()} | dict(changes or {})


class Cost(NamedTuple):
    """What scoring costs on one shape.

    Attributes:
      preset: name of the shape.
      usd_hour: of one worker.
      pairs_per_second: of one worker.
      bound: what the worker waits for: ``GPU``, ``network`` on a CPU, or ``decode``.
      usd: of all samples.
      hours: of all workers together, on the clock.
    """

    preset: str
    usd_hour: float
    pairs_per_second: float
    bound: str
    usd: float
    hours: float


def usd_per_hour(shape: Preset, given: Mapping[str, float], *, flexrs: bool = False) -> float:
    """Returns the price of a worker in USD per hour: vCPUs, memory, disk, GPU."""
    machine = shape.vcpus * given["vcpu_hour"] + shape.memory_gb * given["gb_hour"]
    disk = shape.disk_gb * given["disk_gb_hour"]
    gpu = given[f"{shape.name}_hour"] if shape.accelerator else 0.0
    return machine * (given["flexrs_factor"] if flexrs else 1.0) + disk + gpu


def scoring(config: CostConfig, given: Mapping[str, float]) -> list[Cost]:
    """Returns the cost in USD and the time of scoring on each shape, in the order of the presets.

    A worker is as fast as the slower of its two halves: the network, ``TFLOP/s / GFLOP per pair``, and the decoding
    of images, ``vCPUs * images/s``; it reaches that speed for the share ``busy`` of the time.
    """
    rows = []
    for name, shape in PRESETS.items():
        network = given[f"{name}_tflops"] * 1000 / config.gflop_per_pair
        decode = shape.vcpus * given["decodes_per_vcpu"]
        rate = min(network, decode) * given["busy"]
        bound = "decode" if decode < network else ("GPU" if shape.accelerator else "network")
        worker_hours = config.samples / rate / 3600
        usd_hour = usd_per_hour(shape, given)
        rows.append(Cost(name, usd_hour, rate, bound, worker_hours * usd_hour, worker_hours / config.workers))
    return rows


def others(config: CostConfig, given: Mapping[str, float]) -> dict[str, float]:
    """Returns the cost in USD of what is not scoring: select, reshard, shuffle, and a month of storage.

    ``reshard`` is assumed to read the whole pool, as it does when kept samples lie close together; it pays for reading
    and writing at ``copy_bytes``. The shuffle carries some ten rows of 200 bytes per shard of 10,000 samples.
    """
    shape = PRESETS["cpu"]
    price = usd_per_hour(shape, given, flexrs=True)
    pool = config.samples * config.sample_bytes
    columns = config.samples * (given["index_bytes"] + 2 * 2 * config.dim + 4)
    read = config.samples * (given["index_bytes"] + 4 * 4)  # the index once, a float32 score in each of four rounds
    return {
        "select": read / given["copy_bytes"] / 3600 * price,
        "reshard": pool * (1 + config.keep_fraction) / given["copy_bytes"] / 3600 * price,
        "shuffle": config.samples / 10_000 * 200 * 10 / 1e9 * given["shuffle_gb"],
        "columns, a month": columns / 1e9 * given["storage_gb_month"],
        "output, a month": pool * config.keep_fraction / 1e9 * given["storage_gb_month"],
    }


def as_values(config: CostConfig, given: Mapping[str, float]) -> dict[str, Any]:
    """Returns everything as JSON values."""
    return {
        "as_of": AS_OF,
        "pool": {name: value for name, value in dataclasses.asdict(config).items() if name not in ("set", "print")},
        "inputs": dict(given),
        "scoring": [row._asdict() for row in scoring(config, given)],
        "others_usd": others(config, given),
    }


def tables(config: CostConfig, given: Mapping[str, float]) -> str:
    """Returns scoring and the rest as two Markdown tables."""
    lines = [
        "| preset | machine | USD per hour | pairs/s per worker | waits for | USD | hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in scoring(config, given):
        machine = PRESETS[row.preset].machine_type
        numbers = f"{row.usd_hour:.2f} | {row.pairs_per_second:,.0f} | {row.bound} | {row.usd:,.0f} | {row.hours:,.1f}"
        lines.append(f"| {row.preset} | {machine} | {numbers} |")
    lines += ["", "| on CPUs, with FlexRS | USD |", "|---|---|"]
    lines += [f"| {name} | {usd:,.2f} |" for name, usd in others(config, given).items()]
    return "\n".join(lines)


def text(config: CostConfig, given: Mapping[str, float]) -> str:
    """Returns the tables and the inputs for a terminal."""
    head = (
        f"{config.samples:,} samples of {config.sample_bytes:,} bytes, {config.gflop_per_pair:g} GFLOP per pair, "
        f"{config.keep_fraction:g} kept, {config.workers} workers. Prices of {AS_OF} unless --set: check them."
    )
    changed = [f"{name}={value:g}{'' if value == INPUTS[name].value else '  (set)'}" for name, value in given.items()]
    return "\n".join([head, "", tables(config, given), "", "inputs:", *(f"  {line}" for line in changed)])
