"""Makes the pool of ``winnow demo`` from the demo pool: 60 samples that are whole, and two that are not.

python -m demo.make_small_pool    # writes beam_pipelines/demo_pool
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

SOURCE = Path("tests/data/pool")
TARGET = Path("beam_pipelines/demo_pool")
PER_SHARD = 30
SHARDS = ("00000", "00003")
DAMAGED = ("undecodable_image", "caption_not_utf8")
LARGEST = 12_000  # bytes of a picture


def make(source: Path, target: Path) -> None:
    """Writes two shards, ``faults.json`` and ``attribution.json`` below ``target``."""
    faults = json.loads((source / "faults.json").read_text())
    fault_of = {(one["shard"], one["key"]): one for one in faults}
    titles = {key: (title, author) for key, title, author in json.loads((source / "attribution.json").read_text())}
    target.mkdir(parents=True, exist_ok=True)
    kept: list[dict[str, str]] = []
    keys: list[str] = []
    for shard in SHARDS:
        tar = b""
        whole = 0
        with (source / f"{shard}.tar").open("rb") as file:
            for sample in read_samples(file):
                fault = fault_of.get((shard, sample.key), {})
                small = all(len(data) <= LARGEST for data in sample.members.values())
                usual = {"json", "txt"} <= {*sample.members} and len(sample.members) == 3
                plain = sample.problem is None and usual and small
                takes = plain and whole < PER_SHARD and fault.get("fault", "shuffled_caption") == "shuffled_caption"
                whole += takes
                if takes or (sample.problem is None and fault.get("fault") in DAMAGED):
                    tar += b"".join(write_member(f"{sample.key}.{e}", data) for e, data in sample.members.items())
                    keys.append(sample.key)
                    kept += [{"shard": shard, **fault}] if fault else []
        (target / f"{shard}.tar").write_bytes(tar + END_OF_ARCHIVE)
    (target / "faults.json").write_text(json.dumps(kept, indent=0) + "\n")
    named = [[key, *titles[key]] for key in keys if key in titles]
    (target / "attribution.json").write_text(json.dumps(named, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    make(SOURCE, Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
