"""What a pool costs: the formula by hand, the page equal to it, prices of one's own."""

import json
import re
from pathlib import Path

import pytest

from beam_pipelines.cloud import costpage, costs
from beam_pipelines.cloud.presets import PRESETS

ROOT = Path(__file__).parents[3]


def plan(winnow, *args):
    code, stdout, stderr = winnow("plan", "--print", "json", *args)
    assert code == 0, stderr
    return json.loads(stdout)


def test_the_page_is_what_the_formula_gives():
    assert (ROOT / "docs/cost.md").read_text(encoding="utf-8") == costpage.page(), "run `make templates`"


def test_an_l4_by_hand(winnow):
    """12 vCPUs decode 3,600 images/s, the GPU takes 3,716: decoding is the bound. 85 % of 3,600 is 3,060 a second."""
    row = next(row for row in plan(winnow)["scoring"] if row["preset"] == "l4")
    assert row["bound"] == "decode"
    assert row["pairs_per_second"] == pytest.approx(3060)
    assert row["usd_hour"] == pytest.approx(0.672 + 0.170736 + 0.67 + 0.0054)
    assert row["usd"] == pytest.approx(1e9 / 3060 / 3600 * 1.518136)
    assert row["hours"] == pytest.approx(1e9 / 3060 / 3600 / 100)


def test_a_reshard_by_hand(winnow):
    """35 TB read and 15 % of it written at 300 MB/s are 37.3 hours of a worker with FlexRS."""
    hours = 35e12 * 1.15 / 300e6 / 3600
    price = (4 * 0.056 + 16 * 0.003557) * 0.6 + 50 * 0.000054
    assert plan(winnow)["others_usd"]["reshard"] == pytest.approx(hours * price)


def test_cost_grows_with_samples_and_not_with_workers(winnow):
    one, ten = plan(winnow), plan(winnow, "--samples", "10000000000")
    many = plan(winnow, "--workers", "200")
    for a, b, c in zip(one["scoring"], ten["scoring"], many["scoring"], strict=True):
        assert b["usd"] == pytest.approx(10 * a["usd"])
        assert c["usd"] == pytest.approx(a["usd"])
        assert c["hours"] == pytest.approx(a["hours"] / 2)


def test_prices_of_one_s_own_replace_those_of_the_page(winnow):
    usual, mine = plan(winnow), plan(winnow, "--set", "h100_hour=1", "--set", "decodes_per_vcpu=3000")
    assert mine["inputs"]["h100_hour"] == 1
    before, after = ({row["preset"]: row for row in plan["scoring"]} for plan in (usual, mine))
    assert after["h100"]["usd_hour"] == pytest.approx(before["h100"]["usd_hour"] - 10.8)
    assert after["h100"]["bound"] == "GPU"
    assert after["t4"]["usd_hour"] == before["t4"]["usd_hour"]


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_every_preset_is_in_the_table(winnow, form):
    _, stdout, _ = winnow("plan", "--print", form)
    assert re.findall(r"^\| (\w+) \| \w+-", stdout, re.MULTILINE) == list(PRESETS)


def test_every_input_is_used():
    """Doubling an input changes some figure; an input that changes none says nothing."""
    from beam_pipelines.cloud.config import CostConfig

    # Large networks wait for the GPU and small ones for decoding, so both are looked at.
    configs = [CostConfig(), CostConfig(gflop_per_pair=1000.0)]
    figures = [(costs.scoring(c, costs.inputs()), costs.others(c, costs.inputs())) for c in configs]
    for name, one in costs.INPUTS.items():
        given = costs.inputs({name: one.value * 2})
        assert [(costs.scoring(c, given), costs.others(c, given)) for c in configs] != figures, name


@pytest.mark.parametrize(
    ("work", "words"), [("inf", "above 0 and finite"), ("nan", "above 0"), ("0", "above 0"), ("-1", "above 0")]
)
def test_a_network_does_some_work_and_not_endlessly_much(winnow, work, words):
    code, stdout, stderr = winnow("plan", "--gflop_per_pair", work)
    assert (code, stdout) == (2, "")
    assert stderr.splitlines() == [f"winnow plan: --gflop_per_pair must be {words}, got {float(work)}"]


def test_problems_are_told_at_once(winnow):
    code, stdout, stderr = winnow(
        "plan", "--samples", "0", "--keep_fraction", "2", "--set", "l4_hours=1", "--set", "l4_hour=x", "--bogus"
    )
    assert (code, stdout) == (2, "")
    for expected in ("--samples must be", "--keep_fraction must be", "there is l4_hour", "must be a number", "--bogus"):
        assert expected in stderr
