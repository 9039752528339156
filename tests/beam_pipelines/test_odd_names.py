"""Names that look like globs, flags or parts of an address: every job takes them as they are."""

import pytest

from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from tests.stores import fill, hashed, run

NAMES = ["laion[0]", "a*b?", "#1 100% Käse", "-dash"]
KEEP = ["--recipe", "clip_score", "--keep_fraction", "0.5"]


def odd_pool(folder):
    """Writes a pool of shards with odd names, beside files that a glob would confuse with them."""
    make_pool(folder, shards=len(NAMES), rows=6, faults=False)
    for number, name in enumerate(NAMES):
        (folder / f"{number:05d}.tar").rename(folder / f"{name}.tar")
    return folder


def test_odd_names_go_through_every_job(winnow, tiny_network, tmp_path):
    out, plain = tmp_path / "run[1] *#%ä", tmp_path / "plain"
    pool = odd_pool(tmp_path / "pool[2]?")
    for output in (out, plain):
        flags = ["--output", output, "--model", f"net={tiny_network}", *KEEP]
        code, _, stderr = winnow("curate", "--input", f"{pool}/*.tar", *flags)
        assert code == 0, stderr
    near = tmp_path / "run1 *#%ä/shards/00000000.tar"
    near.parent.mkdir(parents=True)
    near.write_bytes(b"of somebody else")
    before = digests(out)
    assert before["shards/00000000.tar"] == digests(plain)["shards/00000000.tar"]
    for job in (
        ["score", "--input", f"{pool}/*.tar", "--model", f"net={tiny_network}"],
        ["select", *KEEP],
        ["reshard", "--samples_per_shard", "5"],
        ["reshard"],
        ["reshard", "--subset", out / "shards/sample_ids.npy"],
        ["verify"],
    ):
        code, stdout, stderr = winnow(*job, "--output", out)
        assert code == 0, stderr
        if job[0] == "score":
            assert '"score.shards_skipped": 4' in stdout
    assert digests(out)["shards/00000000.tar"] == before["shards/00000000.tar"]
    assert near.read_bytes() == b"of somebody else"
    assert "data:image" in (out / "report.html").read_text()


@pytest.mark.parametrize("shard", NAMES)
def test_a_shard_is_named_by_its_literal_address(winnow, tiny_network, tmp_path, shard):
    pool = odd_pool(tmp_path / "pool")
    code, stdout, stderr = winnow(
        "score", "--input", f"{pool}/{shard}.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"
    )
    assert code == 0, stderr
    assert '"shards": 1}' in stdout


def test_odd_names_in_a_bucket(bucket, tiny_network, tmp_path):
    pool = odd_pool(tmp_path / "pool")
    fill(bucket, pool, tiny_network, "odd[1]/")
    output = bucket.uri("odd[1]/run[1] *#%ä")
    command = ["curate", "--input", bucket.uri("odd[1]/pool/*.tar"), "--output", output, *KEEP]
    command += ["--model", "net=" + bucket.uri("odd[1]/models/net")]
    done = run(bucket, *command)
    assert done.returncode == 0, done.stderr
    written = hashed(bucket.download("odd[1]/run[1] *#%ä"))
    assert run(bucket, *command).returncode == 0
    assert hashed(bucket.download("odd[1]/run[1] *#%ä")) == written
    done = run(bucket, "verify", "--output", output)
    assert done.returncode == 0, done.stderr
