"""The public PTransforms in a pipeline of one's own: they choose what the jobs choose, and their output holds."""

import json
import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.compute as pc
import pytest

import winnow as api
from tests.beam_pipelines.files import digests
from tests.conftest import make_pool

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ptransforms.md").read_text()
RUNNER = "FnApiRunner"
WRONG: Any = {"modell": "tinyclip", "batch_size": -1, "input": "pool/*.tar"}  # a type checker names the first


def example(number):
    """Returns what the page's example defines."""
    found = {"__name__": "example"}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[number], found)
    return found


def collected(work, elements, path):
    """Runs ``work`` on elements in a pipeline; returns what comes out."""
    with beam.Pipeline(runner=RUNNER) as pipeline:
        made = pipeline | beam.Create(elements) | "Work" >> work | beam.Map(json.dumps)
        _ = made | beam.io.WriteToText(str(path / "found"), shard_name_template="")
    return [json.loads(line) for line in (path / "found").read_text().splitlines()]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("clean"), faults=False)


def test_the_example_of_the_page_writes_an_output_that_verify_accepts(winnow, pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    example(0)["run"](f"{pool}/*.tar", out, model=f"net={tiny_network}")
    code, stdout, stderr = winnow("verify", "--output", out)
    assert code == 0, stdout + stderr
    assert len(api.open(out).table(["copies"]).filter(pc.field("copies") > 0)) == 14  # 48 * 0.3 + 1/2, rounded down


def test_elements_of_another_system_are_chosen_by_their_own_names(capfd):
    example(1)
    assert capfd.readouterr().out.split() == ["4.900000095367432", *(f"page-{n}" for n in range(95, 100))]


def scored(pool, network, out, choose, **flags):
    with beam.Pipeline(runner=RUNNER) as pipeline:
        shards = pipeline | api.ReadWebDataset(f"{pool}/*.tar")
        chosen = shards | api.ScorePairs(output=out, model=f"net={network}") | "Choose" >> choose
        _ = chosen | api.WriteWebDataset(output=out, samples_per_shard=10, max_reject_fraction=0.5, **flags)


def test_the_same_question_gets_the_bytes_of_curate(winnow, small_pool, tiny_network, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    scored(small_pool, tiny_network, ours, api.TopFraction(0.4, rule="datacomp"), show="net.score")
    pool = ("--input", f"{small_pool}/*.tar", "--model", f"net={tiny_network}", "--samples_per_shard", 10)
    keep = ("--recipe", "clip_score", "--keep_fraction", 0.4, "--max_reject_fraction", 0.5)
    assert winnow("curate", *pool, *keep, "--output", theirs)[0] == 0
    for folder in ("shards", "columns"):
        assert digests(ours / folder) == digests(theirs / folder) != {}
    code, stdout, stderr = winnow("verify", "--output", ours)
    assert code == 0, stdout + stderr
    table = api.open(ours).table(["uid", "copies", "step"]).to_pandas()
    assert set(table[table.copies == 0].step) <= {"pipeline", "rejected"}


def test_copies_are_those_that_the_step_draws(winnow, pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    draw = {"total": 100, "alpha": 0.5, "batch": 7, "seed": 3}
    scored(pool, tiny_network, out, api.SoftCapSample(**draw))
    assert winnow("verify", "--output", out)[0] == 0
    ours = api.open(out).table(["uid", "copies"])
    recipe = tmp_path / "draw.yaml"
    recipe.write_text("name: draw\nsource: arXiv:2503.08805\nsteps:\n- soft_cap_sample: {column: net.score}\n")
    sets = [word for name, value in draw.items() for word in ("--set", f"soft_cap_sample.{name}={value}")]
    assert winnow("select", "--output", out, "--recipe", recipe, "--name", "draw", *sets)[0] == 0
    assert ours == api.open(out, "draw").table(["uid", "copies"])
    assert max(ours["copies"].to_pylist()) > 1


def test_a_pool_is_scored_once_and_chosen_from_by_plain_uids(winnow, pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    assert winnow("score", "--input", f"{pool}/*.tar", "--model", f"net={tiny_network}", "--output", out)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in (out / "columns").rglob("*.parquet")}
    wanted = api.open(out).table(["uid"])["uid"].to_pylist()[::7]
    scored(pool, tiny_network, out, beam.Filter(lambda pair, uids: pair.uid in uids, wanted))
    assert {path: path.stat().st_mtime_ns for path in (out / "columns").rglob("*.parquet")} == before
    first = digests(out / "shards")
    with beam.Pipeline(runner=RUNNER) as pipeline:
        uids = pipeline | beam.Create([*wanted, wanted[0]])
        _ = uids | api.WriteWebDataset(output=out, samples_per_shard=10)
    assert winnow("verify", "--output", out)[0] == 0
    copies = api.open(out).table(["uid", "copies"]).to_pandas().set_index("uid").copies
    assert copies[copies > 0].to_dict() == {**dict.fromkeys(wanted, 1), wanted[0]: 2}
    assert digests(out / "shards") != first


@pytest.mark.parametrize("q", [0, 0.1, 0.25, 0.5, 0.999, 1])
def test_a_quantile_is_one_of_the_values(q, tmp_path):
    values = np.random.default_rng(0).normal(size=999).astype(np.float32).tolist()
    values[10:20] = [values[3]] * 10
    (found,) = collected(api.ExactQuantile(q), [*values, float("nan")], tmp_path)
    assert found == np.quantile(np.float32(values), q, method="inverted_cdf")


def test_the_number_is_exact_where_scores_tie_and_where_some_are_missing(tmp_path):
    rows = [{"uid": n, "score": n % 3} for n in range(3001)] + [{"uid": "x", "score": None}]
    chosen = collected(api.TopFraction(0.1), rows, tmp_path)
    assert len(chosen) == 300
    assert {row["score"] for row in chosen} == {2}
    turned = collected(api.TopFraction(0.1), rows[::-1], tmp_path)
    assert sorted(row["uid"] for row in turned) == sorted(row["uid"] for row in chosen)
    other = collected(api.TopFraction(0.1, seed=1), rows, tmp_path)
    assert sorted(row["uid"] for row in other) != sorted(row["uid"] for row in chosen)


@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (lambda out: api.TopFraction(0), ["TopFraction: fraction must be in (0, 1], got 0; 0.15 keeps the best 15 %"]),
        (lambda out: api.SoftCapSample(alpha=-1), ["SoftCapSample: alpha must be in [0, 1e6], got -1"]),
        (lambda out: api.ExactQuantile(1.5), ["ExactQuantile: q must be in [0, 1], got 1.5"]),
        (lambda out: api.ScorePairs(model="tinyclip"), ["--output is missing"]),
        (
            lambda out: api.ScorePairs(output=out, **WRONG),
            [
                "--modell=tinyclip is unknown; did you mean --model?",
                "--batch_size must be",
                "ScorePairs takes no input",
            ],
        ),
        (
            lambda out: api.WriteWebDataset(output=out, samples_per_shard=0, format="parquet"),
            ["--samples_per_shard must be at least 1", "WriteWebDataset takes no format"],
        ),
        (lambda out: api.WriteWebDataset(output=out, show="score"), ["show must be COLUMN SET.COLUMN"]),
    ],
)
def test_wrong_arguments_are_all_named_before_anything_runs(make, lines, tmp_path):
    with pytest.raises(api.ConfigError) as caught:
        make(tmp_path / "out")
    for line in lines:
        assert any(problem.startswith(line) for problem in caught.value.problems), caught.value.problems
    assert len(caught.value.problems) == len(lines)
    assert not (tmp_path / "out").exists()


def test_a_pool_without_a_shard_is_named_when_it_is_read(tmp_path):
    with pytest.raises(api.ConfigError, match="matches no file"):
        _ = beam.Pipeline(runner=RUNNER) | api.ReadWebDataset(tmp_path / "none-*.tar")


@pytest.mark.parametrize(
    ("work", "rows", "line"),
    [
        (lambda: api.TopFraction(0.5), [{"uid": "a", "score": None}], "no sample has a value in score"),
        (lambda: api.ExactQuantile(0.5), [float("nan")], "no element has a value"),
        (lambda: api.TopFraction(0.5), [{"uid": [1], "score": 1.0}], "names no sample; give uid= a text or a number"),
    ],
)
def test_what_only_the_data_shows_fails_with_its_reason(work, rows, line, tmp_path):
    with pytest.raises(Exception, match=line):
        collected(work(), rows, tmp_path)


def test_a_folder_of_another_pool_is_refused(pool, tiny_network, tmp_path):
    out = tmp_path / "out"
    scored(make_pool(tmp_path / "other/sub", shards=4, faults=False), tiny_network, out, api.TopFraction(0.5))
    with pytest.raises(Exception, match="holds another pool, with shard 00003"):
        scored(pool, tiny_network, out, api.TopFraction(0.5))


def test_uids_that_are_not_in_the_pool_fail_the_pipeline(pool, tiny_network, tmp_path):
    with pytest.raises(Exception, match="not one of the 1 uids"):
        scored(pool, tiny_network, tmp_path / "out", beam.Map(lambda pair: "f" * 32))
