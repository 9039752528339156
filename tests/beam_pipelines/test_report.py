"""The report of a selection, in a real browser: the number it shows is the number that `winnow select` keeps."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from beam_pipelines import cli
from tests import browser
from tests.beam_pipelines import embedded
from tests.conftest import make_pool, picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member
from transforms.outputs.store import Store

HOSTILE = "<script>alert(9)</script>"

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


@pytest.fixture(scope="module")
def pictured(tiny_network, tmp_path_factory):
    """Returns the curation of a pool with pictures, faults and captions that are no text for a page."""
    folder = tmp_path_factory.mktemp("pictured")
    source = make_pool(folder / "pool", shards=2, rows=24)
    hostile = {"jpg": picture(7), "txt": HOSTILE.encode(), "json": json.dumps({"url": f"https://{HOSTILE}/"}).encode()}
    tar = b"".join(write_member(f"<b onclick=alert(8)>.{e}", data) for e, data in hostile.items())
    (source / "00009.tar").write_bytes(tar + END_OF_ARCHIVE)
    flags = ["--input", f"{source}/*.tar", "--model", f"net={tiny_network}", "--max_reject_fraction", "0.3"]
    assert cli.main(["curate", *flags, "--output", str(folder / "out"), "--keep_fraction", "0.5"]) == 0
    assert cli.main(["dedup", "--output", str(folder / "out"), "--by", "exact"]) == 0
    return folder / "out"


@pytest.mark.parametrize("width", [390, 1280, 1600])
def test_the_report_of_a_pool_fits_every_screen_and_everybody_can_read_it(winnow, chromium, pictured, width):
    if width == 390:
        assert winnow("select", "--output", pictured, "--max_reject_fraction", "0.3")[0] == 0
    with browser.opened(chromium, pictured / "report.html", width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.serious(page) == []
        assert page.locator("#rejected .cards > li").count() >= 3
        assert "byte" in page.locator("#rejected").inner_text()
        assert HOSTILE in page.locator("#content").inner_text()
        page.locator("#rejected th button").last.click()
        assert page.locator("#rejected th").nth(1).get_attribute("aria-sort") == "descending"


def pictures(page_file):
    return re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page_file.read_text())


def test_pictures_are_blurred_or_left_out_and_times_are_told_where_asked(winnow, pictured):
    sharp = pictures(pictured / "report.html")
    for flag, count in (("blurred", len(sharp)), ("none", 0)):
        done = ("select", "--output", pictured, "--max_reject_fraction", "0.3", "--report_pictures", flag)
        assert winnow(*done, "--report_times")[0] == 0
        found = pictures(pictured / "report.html")
        assert len(found) == count
        assert not set(found) & set(sharp)
    assert "samples per second" in (pictured / "report.html").read_text()


def test_the_report_of_a_named_selection_lies_beside_it(winnow, pictured):
    before = (pictured / "report.html").read_bytes()
    flags = ("--name", "strict", "--keep_fraction", "0.2", "--max_reject_fraction", "0.3")
    code, stdout, stderr = winnow("select", "--output", pictured, *flags)
    assert code == 0, stderr
    told = json.loads(stdout)
    assert told["report"] == f"{pictured}/selections/{told['selection']}/report.html"
    assert "Winnow: dfn" in Path(told["report"]).read_text()
    assert (pictured / "report.html").read_bytes() == before
