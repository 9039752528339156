"""Inputs at https:// whose server answers 503, hangs up or breaks off: jobs go on, and write the same bytes."""

import pytest

from tests import proxy
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool

WAYS = (503, 429, "reset", "truncate")
FLAGS = ("--keep_fraction", "0.5", "--samples_per_shard", "9", "--max_reject_fraction", "0.2")


@pytest.mark.parametrize("way", WAYS)
def test_a_flaky_web_server_costs_nothing(winnow, web, tiny_network, tmp_path, way):
    pool = make_pool(tmp_path / "pool")
    for path in pool.iterdir():
        web.upload(f"flaky/{path.name}", path.read_bytes())
    seen, failed = set(), []

    def plan(request):
        what = (request.method, request.path)
        if request.method != "GET" or what in seen:
            return None
        seen.add(what)  # the first look at each file fails
        failed.append(what)
        return way

    listed, output = tmp_path / "pool.txt", tmp_path / "out"
    with proxy.Proxy(web, plan) as between:
        listed.write_text("\n".join(f"http://127.0.0.1:{between.port}/demo/flaky/{n:05d}.tar" for n in range(3)))
        flags = ("--model", f"net={tiny_network}", *FLAGS)
        code, _, stderr = winnow("curate", "--input", f"@{listed}", "--output", output, *flags)
    assert code == 0, stderr
    assert len(failed) == 3
    assert winnow("curate", "--input", f"{pool}/*.tar", "--output", tmp_path / "calm", *flags)[0] == 0
    assert digests(output / "shards") == digests(tmp_path / "calm" / "shards")
