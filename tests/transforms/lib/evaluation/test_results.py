"""DataComp's sets, scales, commands and results; and the table."""

import csv
import io
import json
import math
import shlex
import statistics

import pytest
from open_clip_train.params import parse_args

from transforms.lib.errors import InputError
from transforms.lib.evaluation import datacomp, results, table


def test_the_sets_are_the_38_of_the_paper_in_its_groups():
    scored = [one for one in datacomp.SETS if one.metric]
    groups = [one.group for one in scored]
    assert (len(datacomp.SETS), len(scored), len({one.key for one in datacomp.SETS})) == (40, 38, 40)
    assert [groups.count(name) for name in ("ImageNet", "shifts", "VTAB", "retrieval")] == [1, 6, 13, 3]
    assert {one.name for one in datacomp.SETS} - {one.name for one in scored} == {"FairFace", "UTKFace"}


@pytest.mark.parametrize(("name", "steps"), [("small", 3125), ("medium", 31250), ("large", 156250), ("xlarge", 142045)])
def test_a_command_is_understood_by_open_clip_and_sees_the_samples_of_the_scale(name, steps):
    scale = datacomp.SCALES[name]
    text = datacomp.command(scale, "/data/{00000..00009}.tar", "logs", "an arm", 3, gpus=8)
    words = shlex.split(text.replace("\\\n", " "))
    assert words[:5] == ["torchrun", "--nproc_per_node", "8", "-m", "open_clip_train.main"]
    args = parse_args(words[5:])
    assert (args.model, args.lr, args.warmup, args.name, args.seed) == (
        scale.model, scale.learning_rate, scale.warmup, "an arm", 3)  # fmt: skip
    assert args.batch_size * 8 == scale.batch_size
    assert args.dataset_resampled
    assert args.gather_with_grad
    assert args.train_num_samples * args.epochs == scale.samples_seen
    assert args.beta2 == (0.95 if name == "xlarge" else 0.98)
    assert scale.samples_seen // scale.batch_size == steps


def line(name, value, key=""):
    return json.dumps({"key": key, "dataset": name, "metrics": {"acc1": value, "main_metric": value}})


def test_results_of_datacomp_are_read_with_the_averages_of_the_paper(tmp_path):
    path = tmp_path / "eval_results.jsonl"
    lines = [line(one.name, number / 100 if one.metric else None, one.key) for number, one in enumerate(datacomp.SETS)]
    path.write_text("\n".join([*lines, ""]))
    found = results.read(str(path))
    by_name = {one.name: number / 100 for number, one in enumerate(datacomp.SETS)}
    shifts = ["ImageNet Sketch", "ImageNet v2", "ImageNet-A", "ImageNet-O", "ImageNet-R", "ObjectNet"]
    assert math.isclose(found["average.shifts"], statistics.fmean(by_name[name] for name in shifts))
    assert math.isclose(found["average.all"], statistics.fmean(range(38)) / 100)
    assert "FairFace.main_metric" not in found
    path.write_text("\n".join(lines[:20]))
    assert not [name for name in results.read(str(path)) if name in ("average.all", "average.retrieval")]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "no figure"),
        ("not json\n", "line 1 has no `dataset`"),
        ('{"dataset": "MNIST"}\n', "line 1 has no `dataset`"),
        (f"{line('MNIST', 0.1)}\n{line('MNIST', 0.2)}\n", "stands twice"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path, text, hint):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=hint):
        results.read(str(path))


ROWS = [
    table.Row("a < b", 10, 12, {"0": {"t.acc1": 0.10}, "1": {"t.acc1": 0.20}, "2": {"t.acc1": 0.15}}),
    table.Row("elsewhere", 0, 0, {"eval_results": {"t.acc1": 0.5, "u.mrr": 0.25}}),
]


def test_mean_and_spread_are_those_of_the_statistics_module():
    (one,) = ROWS[0].summary().values()
    values = [0.10, 0.20, 0.15]
    assert math.isclose(one.mean, statistics.fmean(values))
    assert math.isclose(one.sd, statistics.stdev(values))
    lines = list(csv.DictReader(io.StringIO(table.as_csv(ROWS))))
    assert [(row["arm"], row["figure"], row["seeds"], row["sd"]) for row in lines] == [
        ("a < b", "t.acc1", "3", "0.050000"), ("elsewhere", "t.acc1", "1", ""), ("elsewhere", "u.mrr", "1", ""),
    ]  # fmt: skip
    assert "| a < b | 10 | 12 | 3 | 15.00 ± 5.00 | – |" in table.as_markdown(ROWS)
    elsewhere = json.loads(table.as_json(ROWS, {}))["arms"][1]
    assert elsewhere["summary"]["u.mrr"] == {"mean": 0.25, "sd": None, "seeds": 1}


def test_a_page_escapes_names_and_loads_nothing():
    page = table.as_html(ROWS, "Trained.", ["t.acc1"])
    assert "a &lt; b" in page
    assert "a < b" not in page
    assert "src=" not in page
    assert "href=" not in page
    assert page.count("<circle") == 2


@pytest.mark.parametrize("most", [1e-4, 0.03, 0.9, 7.7, 42, 100])
def test_ticks_are_round_and_few(most):
    step = table._step(most)
    assert 4 <= most / step <= 9 or math.isclose(most / step, 4)
