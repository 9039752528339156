"""What recurring curation costs a sample: summaries, a pooled fit from them, drift, and looking up what was kept.

python -m benchmarks.crawls [--samples 2560000] [--crawls 30]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from transforms.lib import uids
from transforms.lib.columnstore.block import Block
from transforms.lib.recipes.steps.drop_kept import images_of
from transforms.lib.recipes.steps.top_fraction import TopFraction
from transforms.lib.stats import crawl_summary, quantiles, sorted_keys
from transforms.lib.subsets import subset_files

SHARD = 10_000


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns (CPU seconds, what the work returned)."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def block(number: int) -> Block:
    """Returns a shard of scores as a filtering network gives them."""
    chance = np.random.default_rng(number)
    scores = chance.normal(0.2, 0.05, SHARD).astype(np.float32)
    ok = np.ones(SHARD, bool)
    columns: dict[str, np.ndarray] = {"score": scores, "uid": chance.integers(0, 2**63, (SHARD, 2)).astype(np.uint64)}
    return Block(str(number), columns, ok, ok.astype(np.uint16))


class Counted(crawl_summary.SummaryFile):
    """A memory that counts the bytes it reads."""

    read = 0

    def _read(self, dtype: str, start: int, stop: int) -> Any:
        Counted.read += stop - start
        return super()._read(dtype, start, stop)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2_560_000)
    parser.add_argument("--crawls", type=int, default=30)
    told = parser.parse_args()
    step = TopFraction("top", fraction=0.15)
    blocks = [block(number) for number in range(told.samples // SHARD)]
    million = told.samples / 1e6

    seconds, parts = timed(lambda: [step.remember(one) for one in blocks])
    print(f"{'remember, CPU s a million samples':<60}{seconds / million:>10.3f}")
    seconds, data = timed(lambda: crawl_summary.to_bytes(step.join(parts)))
    print(f"{'join 256 shards into a file, CPU s a million samples':<60}{seconds / million:>10.3f}")
    print(f"{'bytes per sample':<60}{len(data) / told.samples:>10.3f}")

    def fit() -> Any:
        state = step.start()
        file = Counted(io.BytesIO(data))
        while step.needs(state):
            state = step.solve(state, step.recall(file, state))
        return state

    seconds, _ = timed(fit)
    print(f"{'recall of all rounds from a file, CPU ms':<60}{1000 * seconds:>10.1f}")
    print(f"{'bytes read of a file for it':<60}{Counted.read:>10,}")

    keys = [quantiles.ordered_bits(one.columns["score"] + np.float32(shift)) for shift in (0, 0.002) for one in blocks]
    half = len(blocks)
    sides = [crawl_summary.to_bytes(sorted_keys.arrays_of(np.concatenate(side))) for side in (keys[:half], keys[half:])]
    Counted.read = 0
    seconds, _ = timed(lambda: sorted_keys.distance(*([Counted(io.BytesIO(side))] for side in sides)))
    print(f"{'drift, CPU s a million samples a side':<60}{seconds / million:>10.3f}")
    print(f"{'bytes read of both sides, of all there are':<60}{Counted.read / sum(map(len, sides)):>10.3f}")

    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(SHARD)]
    seconds, pairs = timed(lambda: images_of(np.array(digests, object)))
    print(f"{'digests to 128 bits, CPU s a million samples':<60}{seconds / SHARD * 1e6:>10.3f}")
    lists = [
        uids.subset(np.random.default_rng(n).integers(0, 2**63, (1_000_000, 2)).astype(np.uint64)) for n in range(3)
    ]
    seconds, _ = timed(lambda: [subset_files.multiplicity(lists[n % 3], pairs) for n in range(told.crawls)])
    print(
        f"{'a search in a list of a million, CPU s a million samples':<60}{seconds / told.crawls / SHARD * 1e6:>10.3f}"
    )


if __name__ == "__main__":
    main()
