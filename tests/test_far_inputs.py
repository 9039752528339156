"""Pools on the web, the Hub and Azure, on servers of loopback: the bytes of a local run, and no secret told."""

import json
import urllib.parse

import pytest

from tests.conftest import make_pool
from tests.stores import asking, fill
from tests.web_server import TOKEN, Web

FLAGS = ["--keep_fraction", "0.4", "--max_reject_fraction", "0.2", "--samples_per_shard", "7"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("near") / "pool")


@pytest.fixture(scope="module")
def expected(pool, tiny_network, tmp_path_factory):
    from beam_pipelines import cli

    output = tmp_path_factory.mktemp("near") / "out"
    assert (
        cli.main(
            ["curate", "--input", f"{pool}/*.tar", "--output", str(output), "--model", f"net={tiny_network}", *FLAGS]
        )
        == 0
    )
    return shards_of(output)


def shards_of(output):
    found = {path.name: path.read_bytes() for path in (output / "shards").glob("*.tar")}
    assert found
    return found


def texts_of(folder):
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "pool.parquet")


@pytest.mark.parametrize("kind", ["web", "hub", "azure"])
def test_a_far_pool_gives_the_bytes_of_a_local_one(kind, request, pool, expected, tiny_network, tmp_path, winnow):
    bucket = request.getfixturevalue(kind)
    fill(bucket, pool, tiny_network, "far/")
    pattern = bucket.uri("far/pool/") + ("{00000..00002}.tar" if kind == "web" else "*.tar")
    model = str(tiny_network) if kind == "web" else bucket.uri("far/models/net")
    flags = ["--model", f"net={model}", *FLAGS, *bucket.flags]
    code, _, err = winnow("curate", "--input", pattern, "--output", tmp_path / "out", *flags)
    assert code == 0, err
    assert shards_of(tmp_path / "out") == expected
    assert winnow("verify", "--output", tmp_path / "out", *bucket.flags)[0] == 0


def test_an_azure_container_is_written_too(azure, pool, expected, tiny_network, winnow, monkeypatch):
    output = azure.uri("written/out")
    code, _, err = winnow(
        "curate", "--input", f"{pool}/*.tar", "--output", output, "--model", f"net={tiny_network}", *FLAGS, *azure.flags
    )
    assert code == 0, err
    from transforms.storage import filesystem

    with asking(azure, monkeypatch):
        for name, data in expected.items():
            assert filesystem.read_bytes(f"{output}/shards/{name}") == data


def test_signed_addresses_are_read_and_their_signatures_told_to_nobody(web, pool, tiny_network, tmp_path, winnow):
    fill(web, pool, tiny_network, "signed/")
    lines = [f"{web.address}/signed/demo/signed/pool/{n:05d}.tar?sig={{}}&n=a%2Fb" for n in range(3)]
    (tmp_path / "list.txt").write_text("\n".join(lines).format(*["SECRET"] * 3))
    score = [
        "score",
        "--input",
        f"@{tmp_path / 'list.txt'}",
        "--output",
        tmp_path / "out",
        "--model",
        f"net={tiny_network}",
    ]
    assert winnow(*score)[0] == 0
    assert (
        winnow("score", "--input", lines[0].format("SECRET"), "--output", tmp_path / "one", "--dry_run", *score[5:])[0]
        == 0
    )
    code, out, err = winnow("score", "--input", lines[0].format("WRONGSIG"), "--output", tmp_path / "no", *score[5:])
    assert code == 2
    assert "a signature may have run out" in err
    assert "WRONGSIG" not in out + err
    assert b"SECRET" not in texts_of(tmp_path / "out")
    (tmp_path / "list.txt").write_text("\n".join(lines).format(*["SECRET&fresh=1"] * 3))
    code, out, _ = winnow(*score)
    assert code == 0
    assert json.loads(out.splitlines()[-1])["counters"].get("score.shards_scored", 0) == 0, (
        "a new signature is no new shard"
    )


def test_a_web_server_without_ranges_is_read(web, pool, expected, tiny_network, tmp_path, winnow):
    fill(web, pool, tiny_network, "whole/")
    pattern = f"{web.address}/whole/demo/whole/pool/{{00000..00002}}.tar"
    code, _, err = winnow(
        "curate", "--input", pattern, "--output", tmp_path / "out", "--model", f"net={tiny_network}", *FLAGS
    )
    assert code == 0, err
    assert shards_of(tmp_path / "out") == expected


def test_a_glob_on_the_web_is_refused_with_the_cure(web, tiny_network, tmp_path, winnow):
    code, _, err = winnow(
        "score", "--input", web.uri("") + "*.tar", "--output", tmp_path / "out", "--model", f"net={tiny_network}"
    )
    assert code == 2
    assert "a web server cannot be listed; name every file, with braces ({00000..00127}) or in @FILE" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("output", ["https://127.0.0.1:1/out", "hf://datasets/a/b/out"])
def test_what_cannot_be_written_is_no_output(output, small_pool, tiny_network, winnow):
    code, _, err = winnow(
        "score", "--input", f"{small_pool}/*.tar", "--output", output, "--model", f"net={tiny_network}"
    )
    assert code == 2
    assert "is read, never written; name a local folder, gs://, s3:// or az://" in err
    assert len(err.splitlines()) == 1


def test_the_token_is_sent_to_the_hub_alone(tmp_path, monkeypatch):
    from beam_pipelines.running import beam_options
    from transforms.storage import filesystem

    with Web(tmp_path).running() as server:
        server.upload("datasets/demo/pool/refs/convert/parquet/x.parquet", b"data")
        server.upload("datasets/demo/pool/main/x y.tar", b"tar")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        beam_options.tell_stores(["--hf_endpoint", server.address])
        try:
            (found,) = filesystem.match(["hf://datasets/demo/pool/*.tar"])
            assert [info.uri for info in found] == ["hf://datasets/demo/pool/x y.tar"]
            assert filesystem.read_bytes("hf://datasets/demo/pool@main/x y.tar") == b"tar"
        finally:
            beam_options.tell_stores([])
        port = urllib.parse.urlparse(server.address).port
        assert {one.token for one in server.asked if one.port == port} == {True}
        assert {one.token for one in server.asked if one.port != port} == {False}


def test_a_repository_that_is_not_there_is_one_line(hub, tiny_network, tmp_path, winnow):
    code, _, err = winnow(
        "score", "--input", "hf://datasets/demo/none/*.tar", "--output", tmp_path / "out",
        "--model", f"net={tiny_network}", *hub.flags,
    )  # fmt: skip
    assert code == 2
    assert "hf://datasets/demo/none/*.tar does not exist; check owner, name, revision and path" in err
    assert len(err.splitlines()) == 1
