"""docs/cost.md, written from the formula.

python -m beam_pipelines.cloud.costpage --output docs/cost.md      (`make templates`)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from beam_pipelines.cloud import costs
from beam_pipelines.cloud.config import CostConfig

NETWORKS = {"ViT-B-32": (14.8, 512), "ViT-B-16": (41.1, 512), "ViT-L-14": (175.3, 768)}


def page() -> str:
    """Returns the page: formula, inputs, a table for each of three networks."""
    lines = [
        "# What a billion samples cost",
        "",
        f"Made from the formula below and inputs of {costs.AS_OF}, as `winnow plan` does; tests hold it to them.",
        "**Nothing here was measured on Dataflow or on these GPUs.** Prices change: give yours by `--set NAME=VALUE`.",
        "",
        "```",
        "winnow plan --samples 12800000000 --gflop_per_pair 175.3 --dim 768 --set l4_hour=0.6 --set l4_tflops=60",
        "```",
        "",
        "## Formula",
        "",
        "```",
        "pairs/s of a worker = busy * min(TFLOP/s * 1000 / GFLOP per pair,  vCPUs * decodes per vCPU)",
        "USD per hour        = vCPUs * vcpu_hour + GB * gb_hour + disk GB * disk_gb_hour + GPU_hour",
        "USD of scoring      = samples / (pairs/s) / 3600 * USD per hour",
        "USD of reshard      = samples * bytes * (1 + kept) / copy_bytes / 3600 * USD per hour of cpu, FlexRS",
        "```",
        "",
        "The number of workers sets the time, not the cost. GFLOP per pair, image and text, are of open_clip's table",
        "of profiles. Where a worker waits for decoding, more vCPUs help and a larger GPU does not; where it waits for",
        "the GPU, the reverse.",
        "",
        "## Inputs",
        "",
        "| name | value | unit | source |",
        "|---|---|---|---|",
        *(f"| `{name}` | {one.value:g} | {one.unit} | {one.source} |" for name, one in costs.INPUTS.items()),
        "",
    ]
    for network, (gflop, dim) in NETWORKS.items():
        config = CostConfig(gflop_per_pair=gflop, dim=dim)
        lines += [f"## {network}: {gflop:g} GFLOP per pair, 10⁹ samples, 100 workers", ""]
        lines += [costs.tables(config, costs.inputs()), ""]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page; returns 0."""
    parser = argparse.ArgumentParser(description="Write docs/cost.md.")
    parser.add_argument("--output", type=Path, default=Path("docs/cost.md"), help="file to write")
    parser.parse_args(argv).output.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
