"""A job may die anywhere: what the next run makes of it has the bytes of one that was never stopped."""

import itertools

import numpy as np
import pytest

from tests import proxy
from tests.chaos import kills
from tests.stores import curate, fill, hashed, run


def test_killed_runs_end_with_equal_bytes(tmp_path):
    equal, killed = kills.run(tmp_path, 2)
    assert equal == 2
    assert killed > 1


@pytest.fixture(scope="module")
def calm(s3, faulty_pool, tiny_network):
    """The output of a run that meets no fault, and how many requests it makes."""
    fill(s3, faulty_pool, tiny_network, "chaos/")
    with proxy.Proxy(s3) as between:
        assert run(s3.through(between.port), *curate(s3, "chaos-calm", "chaos/")).returncode == 0
    return hashed(s3.download("chaos-calm")), len(between.requests)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_whose_nth_request_is_refused_fails_in_one_line_and_goes_on(s3, calm, seed):
    expected, requests = calm
    output, wanted = f"chaos-{seed}", int(np.random.default_rng(seed).integers(1, requests))
    count = itertools.count()

    def plan(request):
        return 403 if next(count) >= wanted else None  # from then on the store is closed

    with proxy.Proxy(s3, plan) as between:
        done = run(s3.through(between.port), *curate(s3, output, "chaos/"))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "access denied" in done.stderr.splitlines()[-1]
    visible = hashed(s3.download(output))
    kept = {name: digest for name, digest in visible.items() if name.endswith((".tar", ".parquet"))}
    assert kept.items() <= expected.items(), "what is there is whole"
    done = run(s3, *curate(s3, output, "chaos/"))
    assert done.returncode == 0, done.stderr
    assert hashed(s3.download(output)) == expected
