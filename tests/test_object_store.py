"""Pool, model and output on object stores: real servers that speak Google Cloud Storage and S3, on loopback."""

import io
import json
import os
import re

import pytest

from beam_pipelines.running import beam_options
from tests import proxy
from tests.beam_pipelines.files import digests
from tests.stores import FLAGS, curate, fill, hashed, one_line, rights_enforced, run, run_with, user
from transforms.lib import uids
from transforms.lib.errors import StoreError
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, read_samples, write_member
from transforms.storage import filesystem


@pytest.fixture(scope="module")
def local(faulty_pool, tiny_network, tmp_path_factory):
    """Returns path -> sha256 of what curating the pool writes to a local folder."""
    output = tmp_path_factory.mktemp("local") / "out"
    done = run_with(
        os.environ,
        "curate",
        "--input",
        f"{faulty_pool}/*.tar",
        "--output",
        output,
        *FLAGS,
        "--model",
        f"net={tiny_network}",
    )
    assert done.returncode == 0, done.stderr
    return digests(output)


def names(paths):
    """Returns paths without the ID of the selection, which depends on the addresses of shards, nor what links show."""
    plain = {re.sub(r"^selections/[0-9a-f]{16}/", "selections/ID/", path) for path in paths}
    return {path for path in plain if not path.startswith(("decisions/", "selections/current/"))}


def test_a_pool_in_a_bucket_is_curated_by_a_model_in_a_bucket(bucket, faulty_pool, local, tiny_network):
    fill(bucket, faulty_pool, tiny_network)
    done = run(bucket, *curate(bucket, "out"))
    assert done.returncode == 0, done.stderr
    written = hashed(bucket.download("out"))
    assert names(written) == names(local)
    tars = [name for name in local if name.endswith(".tar") or name == "subset.npy"]
    assert {name: written[name] for name in tars} == {name: local[name] for name in tars}
    again = run(bucket, *curate(bucket, "out"))
    assert json.loads(again.stdout)["counters"]["score.shards_skipped"] == 3
    assert hashed(bucket.download("out")) == written
    assert run(bucket, "verify", "--output", bucket.uri("out")).returncode == 0
    uid = f"{1:032x}"
    explained = run(bucket, "explain", uid, "--output", bucket.uri("out"))  # a job without a pipeline
    assert uid in explained.stdout, explained.stderr


def test_what_is_not_in_the_bucket_is_one_line(bucket):
    done = run(bucket, "curate", "--input", bucket.uri("none/*.tar"), "--output", bucket.uri("o2"),
               "--model", "net=" + bucket.uri("models/none"))  # fmt: skip
    assert done.returncode == 2
    assert f"--input '{bucket.uri('none/*.tar')}' matches no file" in done.stderr
    assert f"{bucket.uri('models/none')} does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bucket_that_is_not_there_is_one_line(bucket, faulty_pool):
    shards = ["--input", f"{faulty_pool}/*.tar", "--subset", faulty_pool / "s.npy"]
    with (faulty_pool / "s.npy").open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs([f"{1:032x}"])))
    missing = f"{bucket.scheme}://nowhere"
    done = run(bucket, "reshard", *shards, "--output", f"{missing}/out")
    one_line(done, f"{missing}/out", ": there is no bucket nowhere")
    done = run(bucket, "reshard", "--input", f"{missing}/*.tar", *shards[2:], "--output", bucket.uri("o3"))
    one_line(done, f"{missing}/*.tar: there is no bucket nowhere")


def test_resharding_asks_for_the_byte_ranges_it_wants_and_little_more(bucket, tmp_path):
    tar, listed = b"", [f"{number:032x}" for number in range(1, 601)]
    for uid in listed:
        tar += write_member(f"{uid}.json", json.dumps({"uid": uid}).encode()) + write_member(
            f"{uid}.jpg", bytes(40_000)
        )
    bucket.upload("ranges/0.tar", tar + END_OF_ARCHIVE)
    wanted = [listed[3], listed[300], listed[598]]
    for name, kept in (("all", listed[:5]), ("few", wanted)):
        with (tmp_path / f"{name}.npy").open("wb") as file:
            uids.write_subset(file, uids.subset(uids.pairs(kept)))
    output = ["--output", bucket.uri("out-ranges")]
    first = ["--input", bucket.uri("ranges/*.tar"), "--subset", tmp_path / "all.npy"]
    assert run(bucket, "reshard", *first, *output).returncode == 0
    with proxy.Proxy(bucket) as between:
        done = run(bucket.through(between.port), "reshard", "--subset", tmp_path / "few.npy", *output)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counters"]["reshard.requests"] == 3
    asked = [r.answered for r in between.requests if r.method == "GET" and "ranges/0.tar" in r.path]
    block = 512 + 512 + 512 + 40_448  # headers, json and image, padded
    assert asked.count(block) >= 3  # the copies; all else is for the report's pictures, which are read through gaps
    assert sum(request.answered for request in between.requests) < len(tar)
    shard = bucket.download("out-ranges/shards")["00000000.tar"]
    assert sorted(sample.key for sample in read_samples(io.BytesIO(shard))) == [f"{uid}-0" for uid in wanted]


def test_rights_that_are_lacking_on_s3_are_one_line(s3, faulty_pool, tmp_path):
    for path in faulty_pool.glob("*.tar"):
        s3.upload(f"rights/{path.name}", path.read_bytes())
    with (tmp_path / "s.npy").open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs([f"{1:032x}"])))
    reader, stranger = user(s3, "s3:GetObject", "s3:ListBucket"), user(s3, "s3:PutObject")
    job = ["reshard", "--input", s3.uri("rights/*.tar"), "--subset", tmp_path / "s.npy", "--output"]
    with rights_enforced(s3):
        one_line(run(reader, *job, s3.uri("forbidden")), s3.uri("forbidden/"), "access denied", "AccessDenied")
        one_line(run(stranger, *job, tmp_path / "o"), s3.uri("rights/*.tar"), "access denied")
    assert s3.sizes("forbidden") == {}


@pytest.mark.parametrize("job", ["verify", "select"])
def test_a_pool_is_looked_for_in_no_bucket_that_is_not_there(bucket, job):
    done = run(bucket, job, "--output", f"{bucket.scheme}://nowhere/out")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "keep_fraction" not in line]
    assert lines, done.stderr
    for line in lines:
        assert "there is no bucket nowhere; create it, or check the address" in line


def test_what_may_not_be_deleted_is_one_line(s3, monkeypatch):
    writer = user(s3, "s3:PutObject", "s3:GetObject", "s3:ListBucket")
    s3.upload("kept/x", b"1")
    beam_options.tell_stores(writer.flags)
    try:
        with rights_enforced(s3), pytest.raises(StoreError) as caught:
            filesystem.delete([s3.uri("kept/x")])
    finally:
        beam_options.tell_stores([])
    (line,) = caught.value.problems
    assert line.startswith(f"{s3.uri('kept/x')}: access denied")
    assert s3.sizes("kept/") == {"kept/x": 1}


@pytest.mark.parametrize("told", [None, b"{}"])
def test_credentials_that_are_named_and_are_none_are_one_line_and_no_wait(tmp_path, told):
    named = tmp_path / "adc.json"
    if told is not None:
        named.write_bytes(told)
    environment = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(named)}
    done = run_with(environment, "verify", "--output", "gs://demo/out")
    one_line(done, "gs://demo/out/pool.parquet: there are no credentials for gs://", str(named), "gcloud auth")


def test_an_endpoint_that_is_no_address_is_one_line(s3):
    done = run_with(s3.environment, "verify", "--output", s3.uri("out"), *s3.flags[2:], "--s3_endpoint_url", "foo")
    assert done.returncode == 2
    assert "--s3_endpoint_url must be http://HOST:PORT or https://HOST, got 'foo'" in done.stderr
    assert "Traceback" not in done.stderr
    environment = {**s3.environment, "AWS_ENDPOINT_URL": "foo"}
    one_line(run_with(environment, "verify", "--output", s3.uri("out"), *s3.flags[2:]), "Invalid endpoint: foo")


def test_no_credentials_for_s3_is_one_line_and_no_wait(s3):
    done = run_with(s3.environment, "verify", "--output", s3.uri("out"), *s3.flags[:4])
    one_line(done, "there are no credentials for s3://", "set AWS_ACCESS_KEY_ID", "--s3_access_key_id")


def test_a_missing_boto3_is_one_line(tmp_path, s3):
    (tmp_path / "boto3.py").write_text("raise ModuleNotFoundError(\"No module named 'boto3'\", name='boto3')\n")
    environment = {**s3.environment, "PYTHONPATH": str(tmp_path)}
    done = run_with(environment, "verify", "--output", s3.uri("out"), *s3.flags)
    one_line(done, "s3:// needs boto3", "pip install 'winnow-beam[aws]'")


def test_every_request_to_google_names_the_project_that_pays(gcs, faulty_pool, tiny_network):
    fill(gcs, faulty_pool, tiny_network, "paid/")
    with proxy.Proxy(gcs) as between:
        seen = gcs.through(between.port)
        done = run(seen, *curate(gcs, "paid-out", "paid/"), "--gcs_user_project", "payer-1234")
        assert done.returncode == 0, done.stderr
        again = run(seen, "verify", "--output", gcs.uri("paid-out"), "--gcs_user_project", "payer-1234")
        assert again.returncode == 0, again.stderr
    assert len(between.requests) > 50
    assert {request.path for request in between.requests if "userProject=payer-1234" not in request.path} == set()
