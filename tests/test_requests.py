"""What a store is asked, counted on the wire of a real server."""

import json

import pytest

from tests import proxy
from tests.stores import run
from transforms.lib import uids
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member


@pytest.fixture(scope="module")
def many(s3):
    """Uploads 40 shards of a sample each."""
    for number in range(40):
        uid = f"{number + 1:032x}"
        members = write_member(f"{uid}.json", json.dumps({"uid": uid}).encode()) + write_member(f"{uid}.jpg", b"x")
        s3.upload(f"many/{number:05d}.tar", members + END_OF_ARCHIVE)
    return s3


@pytest.mark.parametrize("form", ["@", "{}"])
def test_a_list_of_addresses_is_one_listing(many, tmp_path, form):
    with (tmp_path / "subset.npy").open("wb") as file:
        uids.write_subset(file, uids.subset(uids.pairs([f"{1:032x}"])))
    asked = []
    for count in (20, 40):
        given = many.uri(f"many/{{00000..{count - 1:05d}}}.tar")
        if form == "@":
            (tmp_path / "list").write_text("".join(many.uri(f"many/{n:05d}.tar\n") for n in range(count)))
            given = f"@{tmp_path / 'list'}"
        flags = ["--input", given, "--subset", tmp_path / "subset.npy", "--output", many.uri("out-many"), "--dry_run"]
        with proxy.Proxy(many) as between:
            done = run(many.through(between.port), "reshard", *flags)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["shards"] == count
        asked.append(len(between.requests))
    assert asked[0] == asked[1] < 12


def test_an_address_of_a_list_that_is_not_there_is_named(many, tmp_path):
    (tmp_path / "list").write_text("".join(many.uri(f"many/{n:05d}.tar\n") for n in range(10, 41)))
    flags = ["--input", f"@{tmp_path / 'list'}", "--subset", tmp_path / "s.npy", "--output", many.uri("out-many")]
    done = run(many, "reshard", *flags)
    assert done.returncode == 2
    assert f"--input '{many.uri('many/00040.tar')}' matches no file" in done.stderr
    assert "00039" not in done.stderr
