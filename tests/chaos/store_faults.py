"""Runs jobs on a store that fails at the n-th request, n drawn anew, and looks at what is there then and in the end.

python -m tests.chaos.store_faults --runs 100
"""

import argparse
import collections
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests import proxy, servers
from tests.conftest import make_pool, write_tiny
from tests.stores import curate, fill, hashed, run

CLOSED = "closed"  # from the n-th request on the store refuses every one
WAYS = (CLOSED, 503, 429, "reset", "lost", "truncate", "cut")
"""How the n-th request fails; ``proxy.Request.fault`` says what each but the first is."""


def plan_of(way, wanted):
    """Returns which fault a request gets."""
    count = itertools.count(1)

    def plan(request):
        number = next(count)
        if way == CLOSED:
            return 403 if number >= wanted else None
        return way if number == wanted and fits(way, request) else None

    return plan


def fits(way, request):
    """Tells whether a request can fail so: an answer that is cut must have a body, and so must a request that is."""
    return {"truncate": request.method == "GET", "cut": request.body > 0}.get(way, True)


def calm(bucket, output="chaos-calm"):
    """Returns what a run without faults writes, and how many requests it makes."""
    with proxy.Proxy(bucket) as between:
        done = run(bucket.through(between.port), *curate(bucket, output, "chaos/"))
    assert done.returncode == 0, done.stderr
    return hashed(bucket.download(output)), len(between.requests)


def once(bucket, expected, requests, seed):
    """Runs a job once with a fault, and once more where it failed.

    Returns:
      what happened, in words.

    Raises:
      AssertionError: something is lost, or half visible.
    """
    draw = np.random.default_rng(seed)
    way, output = WAYS[seed % len(WAYS)], f"chaos-{seed}"
    with proxy.Proxy(bucket, plan_of(way, int(draw.integers(1, requests)))) as between:
        done = run(bucket.through(between.port), *curate(bucket, output, "chaos/"))
    assert "Traceback" not in done.stderr, done.stderr
    visible = hashed(bucket.download(output))
    if way != CLOSED:
        assert done.returncode == 0, (way, done.stderr)
        assert visible == expected, way
        return "went on at once"
    assert done.returncode in (1, 2), done.stderr
    assert "access denied" in done.stderr, done.stderr
    whole = {name: digest for name, digest in visible.items() if name.endswith((".tar", ".parquet"))}
    lost = {name: digest for name, digest in whole.items() if expected.get(name) != digest}
    assert all(name.startswith("columns/") for name in lost), "what is there is whole, or says that a shard was lost"
    done = run(bucket, *curate(bucket, output, "chaos/"))
    assert done.returncode == 0, done.stderr
    assert hashed(bucket.download(output)) == expected
    return "failed and went on"


def run_all(bucket, pool, network, runs, seed=0, tell=lambda line: None):
    """Returns how often what happened in so many runs; an ``AssertionError`` ends it."""
    fill(bucket, pool, network, "chaos/")
    expected, requests = calm(bucket)
    counts = collections.Counter()
    for number in range(seed, seed + runs):
        counts[once(bucket, expected, requests, number)] += 1
        tell(json.dumps({"runs": sum(counts.values()), **counts}))
    return dict(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, servers.s3() as bucket:
        pool, network = make_pool(Path(folder) / "pool"), write_tiny(Path(folder) / "net")
        counts = run_all(bucket, pool, network, told.runs, told.seed, lambda line: print(line, file=sys.stderr))
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
