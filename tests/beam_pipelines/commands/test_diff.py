"""``winnow diff``: what two selections of one pool, and of two pools, do differently."""

import collections
import json

import numpy as np
import pytest

import winnow as winnow_package
from tests import browser
from tests.conftest import make_pool
from transforms.lib.stats import spread
from transforms.lib.stats.spread import Spread


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tiny_network):
    """Returns an output with the selections ``current`` and ``strict``, and another of a pool that shares shards."""
    from beam_pipelines import cli

    top = tmp_path_factory.mktemp("diff")
    for name, shards in (("one", 2), ("two", 3)):
        pool = make_pool(top / f"pool-{name}", shards=shards, faults=False)
        out = str(top / name)
        model = f"net={tiny_network}"
        assert cli.main(["score", "--input", f"{pool}/*.tar", "--output", out, "--model", model, "--quiet"]) == 0
        assert cli.main(["select", "--output", out, "--recipe", "dfn", "--keep_fraction", "0.5", "--quiet"]) == 0
    flags = ["--output", str(top / "one"), "--recipe", "random", "--name", "strict", "--quiet"]
    assert cli.main(["select", *flags, "--set", "random_fraction.fraction=0.3"]) == 0
    return top


def outcomes(root, selection):
    table = winnow_package.open(str(root), selection=selection).table(columns=["uid", "step", "copies"]).to_pylist()
    return {row["uid"]: "kept" if row["copies"] else row["step"] for row in table}


def test_flows_of_one_pool_are_those_of_its_decisions(winnow, scored, tmp_path):
    page = tmp_path / "diff.html"
    code, stdout, stderr = winnow("diff", "current", "strict", "--output", scored / "one", "--html", page)
    assert code == 0, stderr
    facts = json.loads(stdout)
    before, after = (outcomes(scored / "one", name) for name in ("current", "strict"))
    expected = collections.Counter((before[uid], after[uid]) for uid in before)
    assert {(one["from"], one["to"]): one["samples"] for one in facts["flows"]} == expected
    added = {uid for uid in before if before[uid] != "kept" == after[uid]}
    removed = {uid for uid in before if before[uid] == "kept" != after[uid]}
    assert added
    assert removed
    assert facts["changes"] == {
        "added": len(added), "removed": len(removed), "unchanged": expected["kept", "kept"],
    }  # fmt: skip
    assert set(facts["examples"]["added"]) <= added
    assert set(facts["examples"]["removed"]) <= removed
    assert len(facts["examples"]["removed"]) == min(12, len(removed))
    text = page.read_text()
    assert all(uid in text for way in ("added", "removed") for uid in facts["examples"][way])
    assert text.count("data:image/jpeg") == sum(map(len, facts["examples"].values()))
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert f"{len(added)} added, {len(removed)} removed" in stderr


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_opens_in_a_browser_and_anybody_can_read_it(winnow, scored, tmp_path, width):
    page = tmp_path / "diff.html"
    assert winnow("diff", "current", "strict", "--output", scored / "one", "--html", page)[0] == 0
    with browser.chromium() as chromium, browser.opened(chromium, page, width=width) as opened:
        assert opened.locator("#added img").count() > 0
        assert browser.serious(opened) == []
        assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_two_pools_are_compared_by_uid_and_their_scores_by_drift(winnow, scored):
    code, stdout, stderr = winnow("diff", scored / "one", scored / "two")
    assert code == 0, stderr
    facts = json.loads(stdout)
    kept = [{uid for uid, what in outcomes(scored / name, "").items() if what == "kept"} for name in ("one", "two")]
    assert facts["changes"] == {
        "added": len(kept[1] - kept[0]), "removed": len(kept[0] - kept[1]), "unchanged": len(kept[0] & kept[1]),
    }  # fmt: skip
    assert facts["changes"]["added"] > 0
    assert set(facts["examples"]["added"]) <= kept[1] - kept[0]
    scores = [
        np.sort(winnow_package.open(str(scored / name)).table(columns=["net.score"])["net.score"].to_numpy())
        for name in ("one", "two")
    ]
    at = np.concatenate(scores)
    shares = [np.searchsorted(one, at, "right") / len(one) for one in scores]
    assert facts["drift"] == pytest.approx(np.abs(shares[0] - shares[1]).max(), abs=1e-9)


def test_a_selection_is_equal_to_itself(winnow, scored):
    facts = json.loads(winnow("diff", "strict", "strict", "--output", scored / "one")[1])
    assert (facts["changes"]["added"], facts["changes"]["removed"]) == (0, 0)
    assert facts["examples"] == {"added": [], "removed": []}


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["current"], "name two to compare, 1 are given"),
        (["current", "strct", "--output", "{one}"], "no such selection; name one of current, strict"),
        (["{one}", "{one}/none"], "holds no scored pool"),
        (["current", "strict", "--output", "{one}", "--html", "x.pdf"], "must end in .html"),
        (
            ["current", "strict", "--output", "{one}", "--runner", "PrismRunner"],
            "is for a pipeline",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(winnow, scored, args, line):
    code, stdout, stderr = winnow("diff", *(text.format(one=scored / "one") for text in args))
    assert (code, stdout) == (2, "")
    assert line in stderr


def test_a_spread_adds_up_and_knows_its_quantiles():
    scores = np.random.default_rng(3).normal(size=5000).astype(np.float32)
    whole, parts = Spread(), Spread()
    whole.add(scores)
    for part in np.array_split(np.append(scores, np.float32("nan")), 7):
        parts.add(part)
    assert (whole.counts == parts.counts).all()
    assert parts.samples == 5000
    facts = whole.facts()
    assert facts["mean"] == pytest.approx(scores.mean(), abs=1e-5)
    for name, level in (("p05", 5), ("p50", 50), ("p95", 95)):
        assert facts[name] == pytest.approx(np.percentile(scores, level), rel=0.01, abs=1e-3)
    assert spread.drift(whole, whole) == 0
    assert spread.drift(whole, Spread()) is None
