"""Write what lies beside output shards anew, from their statistics."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from transforms.lib.reshard import held, shard_formats
from transforms.outputs import ledger, manifest, selections, side_files
from transforms.removal.find import AT_ONCE
from transforms.storage import filesystem


def write_side_files(root: str, form: str) -> None:
    """Writes the summary and the cards of an output, and beside tars what loaders look for.

    Args:
      root: the output folder.
      form: of the shards.
    """
    numbers = ledger.numbers(root)

    def stats_of(number: int) -> dict[str, Any]:
        return dict(json.loads(filesystem.read_bytes(filesystem.join(root, side_files.stats_path(number)))))

    with ThreadPoolExecutor(AT_ONCE) as threads:
        stats = list(threads.map(stats_of, numbers))
    suffix = shard_formats.format_of(form).suffix
    sizes = {f"{number:08d}{suffix}": one["successes"] for number, one in zip(numbers, stats, strict=True)}
    holds = held.Held.of(tuple(sorted(one["counts"].items())) for one in stats)
    side_files.write_summary(root, form, sizes, holds)
    side_files.write_cards(root, form, suffix, sizes, holds)
    if form == side_files.TARS:
        side_files.write_for_loaders(root, suffix, sizes, sum(one["blurred"] for one in stats))
        copied = manifest.read(root).section("reshard").facts.get("selection", "")
        source = filesystem.join(root, selections.path_of(copied, selections.SUBSET))
        if filesystem.exists(source):
            with filesystem.open_read(source) as file, filesystem.create_atomic(f"{root}/shards/sample_ids.npy") as new:
                while piece := file.read(1 << 24):
                    new.write(piece)
