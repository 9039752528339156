"""The report of a selection, in a real browser: the number it shows is the number that `winnow select` keeps."""

import json
import shlex

import numpy as np
import pyarrow as pa
import pytest

from tests import browser
from tests.beam_pipelines import embedded
from transforms.outputs.store import Store

ROWS = (700, 1, 500)


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Returns an output as `score` leaves it: scores with ties, some samples rejected, a second column in float64."""
    out = tmp_path_factory.mktemp("report") / "out of order"
    chance = np.random.default_rng(5)
    shards = [embedded.groups(n, seed=n) for n in ROWS]
    for rows in shards[::2]:
        rows[3::50] = 0
    scores = [np.round(chance.normal(0.25, 0.07, n), 3) for n in ROWS]
    embedded.write_scored(out, shards, scores)
    for at, n in enumerate(ROWS):
        table = pa.table({"value": chance.normal(size=n), "size": chance.integers(1, 2000, n)})
        Store(str(out)).write("other", f"{at:05d}", table, "stamp")
    return out


RECIPES = {
    "datacomp": ["top_fraction: {fraction: 0.3, rule: datacomp}"],
    "wide": ["top_fraction: {column: value, fraction: 0.3}"],
    "double": ["threshold: {column: value, at_least: 0.1}"],
    "between": [
        "threshold: {column: value, at_least: -0.5}",
        "top_fraction: {fraction: 0.4, of: remaining}",
        "threshold: {label: large, column: size, at_least: 300}",
    ],
}


def selected(winnow, out, *flags):
    code, stdout, stderr = winnow("select", "--output", out, "--max_reject_fraction", "0.2", *flags)
    assert code == 0, stderr
    return json.loads(stdout)


def written(folder, name):
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\nsource: none\nsteps:\n" + "".join(f"  - {step}\n" for step in RECIPES[name]))
    return path


def number(text):
    return int(text.replace(",", "").replace("−", "-"))


def moves(page, panel):
    """Yields after each way to move a threshold: mouse, keyboard, typing."""
    chart = panel.locator(".axis-room > svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.37 * box["width"], box["y"] + 90, steps=4)
    page.mouse.up()
    yield
    for key in ("PageUp", "PageUp", "ArrowLeft"):
        panel.locator(".slider").press(key)
    panel.locator(".typed").fill(f"{float(panel.locator('.typed').input_value()) + 0.03}")
    yield


@pytest.mark.parametrize("name", RECIPES)
def test_a_threshold_that_is_moved_keeps_what_the_report_says(winnow, chromium, pool, tmp_path, name):
    first = selected(winnow, pool, "--recipe", str(written(tmp_path, name)))
    page_file = tmp_path / "report.html"
    page_file.write_bytes((pool / "report.html").read_bytes())
    with browser.opened(chromium, pool / "report.html") as page:
        assert page.locator(".panel").count() == len(RECIPES[name])
        for panel in page.locator(".panel").all():
            assert number(panel.locator(".kept-count").inner_text()) == first["kept"]
            seen = set()
            for _ in moves(page, panel):
                told = panel.locator(".kept-count").inner_text()
                command = shlex.split(panel.locator(".whole").inner_text())
                assert command[:2] == ["winnow", "select"]
                assert command[2:4] == ["--output", str(pool)]
                code, stdout, stderr = winnow(*command[1:])
                assert code == 0, stderr
                kept = json.loads(stdout)["kept"]
                if "at most" in told:  # a later step ranks anew what this one leaves
                    assert kept <= number(told.removeprefix("at most "))
                else:
                    assert kept == number(told), command
                seen.add(told)
            assert len(seen) == 2
    selected(winnow, pool, "--recipe", str(written(tmp_path, name)))
    assert (pool / "report.html").read_bytes() == page_file.read_bytes()
