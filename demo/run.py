"""Curate the demo pool, then say how many of the planted faults the filter caught.

python -m demo.run --output out/demo
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

POOL = Path("tests/data/pool")
KEEP_FRACTION = 0.5


def caught(output: Path, faults: Path, fault: str) -> tuple[int, int]:
    """Returns (dropped, planted) of one kind of fault, from the decisions."""
    import pyarrow.parquet as pq

    planted = [entry for entry in json.loads(faults.read_text()) if entry["fault"] == fault]
    dropped = 0
    for shard in sorted({entry["shard"] for entry in planted}):
        keys = pq.read_table(output / f"columns/index/{shard}.parquet", columns=["key"])["key"].to_pylist()
        copies = pq.read_table(output / f"decisions/{shard}.parquet", columns=["copies"])["copies"].to_pylist()
        kept = dict(zip(keys, copies, strict=True))
        dropped += sum(kept[entry["key"]] == 0 for entry in planted if entry["shard"] == shard)
    return dropped, len(planted)


def main(argv: list[str] | None = None) -> int:
    """Runs ``winnow curate`` on the demo pool; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("out/demo"))
    parser.add_argument("--pool", type=Path, default=POOL)
    told, more = parser.parse_known_args(argv)
    from beam_pipelines.cli import main as winnow

    flags = ["--input", f"{told.pool}/*.tar", "--output", str(told.output)]
    flags += ["--recipe", "dfn", "--keep_fraction", str(KEEP_FRACTION), "--samples_per_shard", "100", *more]
    print(f"$ winnow curate {shlex.join(flags)}", file=sys.stderr)
    start = time.monotonic()
    code = winnow(["curate", *flags])
    if code == 0:
        dropped, planted = caught(told.output, told.pool / "faults.json", "shuffled_caption")
        sys.stdout.flush()
        print(
            f"\nIn {time.monotonic() - start:.0f} s. The filter dropped {dropped} of the {planted} shuffled captions "
            f"({100 * dropped / planted:.0f} %) while keeping {100 * KEEP_FRACTION:.0f} % of the pool."
        )
    return code


if __name__ == "__main__":
    sys.exit(main())
