"""A selection is one thing: whole or refused, beside others, and named by whatever reads it."""

import json
import shutil

import numpy as np
import pytest

from beam_pipelines import cli
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool
from transforms.outputs import selections

READERS = (("reshard",), ("export-subset", "--to", "kept.npy"), ("explain", f"{1001:032x}"), ("verify",))
HALF = ("--keep_fraction", "0.5", "--max_reject_fraction", "0.2")
FEW = ("--keep_fraction", "0.2", "--max_reject_fraction", "0.2")


@pytest.fixture(scope="module")
def pool_of_scores(tiny_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("selections")
    pool, out = make_pool(folder / "pool"), folder / "out"
    flags = ["--input", f"{pool}/*.tar", "--output", str(out), "--model", f"net={tiny_network}"]
    assert cli.main(["score", *flags]) == 0
    return out


@pytest.fixture
def scored(pool_of_scores, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(pool_of_scores, tmp_path / "out")


def select(winnow, out, *flags):
    code, stdout, stderr = winnow("select", "--output", out, *flags)
    assert code == 0, stderr
    return json.loads(stdout)["selection"]


def refused(winnow, out, *parts, flags=()):
    """Asserts that every reader refuses in one line with these parts, before it writes anything."""
    before = digests(out)
    for command in READERS:
        code, stdout, stderr = winnow(*command, "--output", out, *flags)
        assert (code, stdout, len(stderr.splitlines())) == (2, "", 1), stderr
        for part in parts:
            assert part in stderr
    assert digests(out) == before


def test_equal_requests_have_one_id_and_others_another(winnow, scored):
    first = select(winnow, scored, *HALF)
    whole = digests(scored)
    assert select(winnow, scored, *HALF) == first
    assert digests(scored) == whole
    assert len({first, select(winnow, scored, *FEW), select(winnow, scored, *HALF, "--seed", "1")}) == 3


def test_a_selection_that_was_begun_and_did_not_end_is_taken_by_nobody(winnow, scored):
    refused(winnow, scored, "holds no selection; run `winnow select`")
    selections.begin(str(scored), "0" * 16, "current")  # what a kill leaves behind
    refused(winnow, scored, "the last `winnow select` (selection 0000000000000000) did not finish; run it again")
    assert not (scored / "subset.npy").exists()
    first = select(winnow, scored, *HALF)
    kept = (scored / "subset.npy").read_bytes()
    selections.begin(str(scored), "0" * 16, "current")
    refused(winnow, scored, "did not finish; run it again", f"--selection {first} for the one before it")
    assert (scored / "subset.npy").read_bytes() == kept
    code, stdout, _ = winnow("export-subset", "--output", scored, "--to", "old.npy", "--selection", first)
    assert (code, json.loads(stdout)["selection"]) == (0, first)
    selections.begin(str(scored), first, "current")  # killed while it was made a second time
    refused(winnow, scored, f"(selection {first}) did not finish; run it again")
    refused(winnow, scored, "has no such selection", flags=("--selection", first))


def test_a_selection_that_failed_is_taken_by_nobody(winnow, scored):
    first = select(winnow, scored, *HALF)
    assert winnow("select", "--output", scored, "--keep_fraction", "0.2", "--max_reject_fraction", "0")[0] == 1
    refused(winnow, scored, "samples were rejected", "failed", f"--selection {first}")
    assert json.loads((scored / "books.json").read_text())["selection"] == first
    second = select(winnow, scored, *FEW)
    assert second != first
    assert json.loads((scored / "books.json").read_text())["selection"] == second


def test_selections_of_several_names_stay_beside_one_another(winnow, scored):
    current, strict = select(winnow, scored, *HALF), select(winnow, scored, *FEW, "--name", "strict")
    links = {path.name: path.read_bytes() for path in scored.iterdir() if path.is_symlink() and path.is_file()}
    assert json.loads(links["books.json"])["selection"] == current
    many, few = (json.loads((scored / "selections" / one / "books.json").read_text()) for one in (current, strict))
    assert many["copies"] > few["copies"]
    for name, books, one in (("", many, current), ("strict", few, strict), (strict, few, strict)):
        flags = ("--output", scored, "--selection", name)
        code, stdout, stderr = winnow("reshard", *flags)
        told = json.loads(stdout)
        assert (code, told["selection"], told["stale_shards"]) == (0, one, False), stderr
        assert f"selection {one}: {books['copies']} copies" in stderr
        assert len(np.load(scored / "shards/sample_ids.npy")) == books["copies"]
        assert winnow("verify", *flags)[0] == 0
        code, stdout, _ = winnow("export-subset", *flags, "--to", "kept.npy")
        assert (code, json.loads(stdout)["written"]) == (0, books["copies"])
    code, _, stderr = winnow("reshard", "--output", scored, "--selection", "none")
    assert code == 2
    assert f"name one of current, strict, {min(current, strict)}, {max(current, strict)}" in stderr
    for name in ("0" * 16, "a b", "../x"):
        code, _, stderr = winnow("select", "--output", scored, "--name", name)
        assert code == 2
        assert "--name must be letters, digits, _ and -" in stderr


def test_a_file_of_another_selection_is_never_taken(winnow, scored):
    few, half = select(winnow, scored, *FEW), select(winnow, scored, *HALF)
    folder = scored / "selections" / half
    for name in ("subset.npy", "books.json", "decisions/00000.parquet"):
        mine = (folder / name).read_bytes()
        shutil.copy(scored / "selections" / few / name, folder / name)
        code, _, stderr = winnow("reshard", "--output", scored)
        assert code in (1, 2)
        assert f"{half}/{name} is" in stderr
        assert "run `winnow select` again" in stderr
        (folder / name).write_bytes(mine)
    (folder / "decisions/00000.parquet").unlink()
    refused(winnow, scored, f"1 of 3 shards have no decisions in selection {half}")


def test_shards_of_an_earlier_selection_are_called_stale(winnow, scored):
    half = select(winnow, scored, *HALF)
    assert "stale" not in (scored / "report.html").read_text()
    assert winnow("reshard", "--output", scored)[0] == 0
    code, stdout, stderr = winnow("select", "--output", scored, *FEW)
    few = json.loads(stdout)["selection"]
    line = f"shards/ is stale: it holds the copies of selection {half}, not of {few}; run `winnow reshard`"
    assert code == 0
    assert json.loads(stdout)["stale_shards"] is True
    assert line in stderr
    assert f"When this selection was made, {line}" in (scored / "report.html").read_text()
    code, _, stderr = winnow("verify", "--output", scored)
    assert code == 1
    assert line in stderr
    told = json.loads((scored / "verify.json").read_text())
    assert (told["stale_shards"], told["selection"], len(told["problems"])) == (True, few, 1)
    assert winnow("verify", "--output", scored, "--selection", half)[0] == 0, "they are whole, for those who ask"
    assert winnow("reshard", "--output", scored)[0] == 0
    code, stdout, _ = winnow("verify", "--output", scored)
    assert (code, json.loads(stdout)["stale_shards"]) == (0, False)


def test_a_pool_that_grew_since_is_selected_again(winnow, scored, tiny_network, tmp_path):
    select(winnow, scored, *HALF)
    pool = make_pool(tmp_path / "more", shards=4)
    flags = ("--input", f"{pool}/*.tar", "--output", tmp_path / "grown", "--model", f"net={tiny_network}")
    assert winnow("score", *flags)[0] == 0
    shutil.copytree(scored / "selections", tmp_path / "grown/selections", symlinks=True)
    refused(winnow, tmp_path / "grown", "1 of 4 shards have no decisions", "run `winnow select` on this --output")
