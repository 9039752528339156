import base64
import dataclasses
import hashlib
import html
import html.parser
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from transforms.lib.report import charts, html_page, threshold_panel
from transforms.lib.report import page as page_shell
from transforms.lib.report.html_page import Rejected, ReportData, StepRow
from transforms.lib.report.thumbnail import Thumbnail
from transforms.lib.samples import images

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = '<script>alert(1)</script> \u202egnp.exe\u202c & "quotes"\x00\n'


def jpeg():
    import io

    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(sink, "PNG")
    return images.thumbnail(sink.getvalue())


def thumbnail(caption="a boat", **changes):
    made = Thumbnail("0" * 31 + "7", "key", caption, 0.25, 0.01, True, "", "", "00000, byte 512", jpeg())
    return dataclasses.replace(made, **changes)


def chart(marks=()):
    counts = np.zeros((40, 2), np.int64)
    counts[[10, 20, 21], 0] = [10, 40, 20]
    counts[[20, 21], 1] = [5, 20]
    return charts.histogram(np.linspace(0.1, 0.3, 41), counts[:, 0], counts[:, 1], marks)


def panel(data=None, thumbnails=(), title="top", remark=""):
    rung = threshold_panel.Rung(0.1, 0.3, "0.1 to 0.3", 70, 25, tuple(thumbnails))
    ladder = threshold_panel.Ladder("tinyclip.score", chart([(0.205, "threshold 0.2050")]), (rung,))
    return threshold_panel.Panel("panel-0", title, ladder, data, remark)


def report(**changes):
    dropped = (thumbnail(kept=False, step="top"),) * 12
    values = {
        "title": "Winnow: dfn", "depth": 0, "pool": "pool/*.tar", "recipe": "dfn",
        "samples": 75, "kept": 25, "copies": 25,
        "steps": (StepRow("top", "Keep the best.", 70, 45, dropped, ()),),
        "rejected": (Rejected("image_missing", 5),),
        "notices": (), "shards_in": 3, "bytes_in": 5_400_000, "panels": (panel(),), "columns": (), "grids": (),
        "kept_thumbnails": (thumbnail(),) * 12,
        "borderline_thumbnails": (thumbnail(HOSTILE, score=float("nan"), jpeg=b""),),
        "duplicates": (), "copies_chart": None, "clusters": None, "measures": (), "shares": (),
        "command": "winnow select --output OUT --recipe dfn", "settings": (("recipe", "dfn"),),
        "stamps": (("winnow", "1"),),
    }  # fmt: skip
    return ReportData(**{**values, **changes})


class Nesting(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.alts, self.scripts = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    return parser


def drawing(page):
    return ElementTree.fromstring(re.search(r"<svg height=\"\d+\" role=\"img\".*?</svg>\s*</svg>", page, re.S)[0])


def percent(text):
    assert text.endswith("%")
    return float(text[:-1])


def test_captions_cannot_break_out():
    page = html_page.render(report())
    assert parsed(page).scripts == 1
    assert "&lt;script&gt;alert(1)" in page
    assert "\u202e" not in page
    assert "\x00" not in page


def test_a_long_caption_is_shortened():
    page = html_page.render(report(borderline_thumbnails=(thumbnail("word " * 2000),)))
    assert max(len(text) for text in re.findall(r">(word [^<]*)<", page)) <= page_shell.CAPTION_SHOWN
    assert max(len(text) for text in re.findall(r'title="(word [^"]*)"', page)) <= page_shell.CAPTION_WHOLE


def test_the_books_are_spelled_out():
    assert "25 kept + 45 dropped + 5 rejected = 75 samples" in html_page.render(report())


def test_equal_reports_are_equal_bytes():
    assert html_page.render(report()) == html_page.render(report())


def test_every_picture_has_words_and_nothing_comes_from_the_net():
    page = html_page.render(report())
    alts = parsed(page).alts
    assert len(alts) == 24
    assert all(alts)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", page)
    assert "http" not in page.replace("http-equiv", "")


def test_only_the_scripts_of_the_page_may_run():
    page = html_page.render(report())
    policy = html.unescape(re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1])
    parts = [re.search(rf"<{tag}>(.*?)</{tag}>", page, re.S)[1] for tag in ("style", "script")]
    hashes = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in parts]
    assert f"style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.search(r"<[^>]* (?:style|on\w+)=", page)


def test_bars_are_as_high_as_their_counts():
    svg = drawing(html_page.render(report()))
    heights = [float(bar.get("height")) for bar in svg.iter("rect") if bar.get("class") == "rest"]
    kept = [float(bar.get("height")) for bar in svg.iter("rect") if bar.get("class") == "kept"]
    assert sorted(h / max(heights) for h in heights if h) == pytest.approx([0.25, 0.5, 1.0], abs=1e-4)
    assert sum(kept) / sum(heights) == pytest.approx(25 / 70, abs=1e-4)


def test_the_threshold_stands_where_its_score_is():
    svg = drawing(html_page.render(report()))
    mark = next(percent(line.get("x1")) for line in svg.iter("line") if line.get("class") == "mark")
    texts = [t for t in svg.iter("text") if t.get("class") is None]
    ticks = {t.text: percent(t.get("x")) for t in texts if t.get("x").endswith("%")}
    (low, at_low), (high, at_high) = ((float(label), x) for label, x in list(ticks.items())[:2])
    assert mark == pytest.approx(at_low + (0.205 - low) / (high - low) * (at_high - at_low), abs=0.1)


@pytest.mark.parametrize("threshold", [float("inf"), -0.9])
def test_no_line_without_a_threshold_in_sight(threshold):
    assert chart([(threshold, "here")]).marks == ()


def test_an_empty_pool_has_a_report_too():
    page = html_page.render(
        report(samples=0, kept=0, copies=0, steps=(), rejected=(), panels=(), kept_thumbnails=(),
               borderline_thumbnails=())
    )  # fmt: skip
    parsed(page)
    assert "Keep every sample that could be read" in page
    assert 'href="#threshold"' not in page


@pytest.mark.parametrize("place", [0, 57, 199])
def test_one_filled_bin_is_a_chart(place):
    histogram = np.zeros(200, np.int64)
    histogram[place] = 3
    made = charts.histogram(np.linspace(-1, 1, 201), histogram, histogram)
    assert max(bar.height for bar in made.bars) == 100
    assert len(made.along) >= 2


def test_missing_numbers_are_dashes():
    assert page_shell.number(float("nan")) == "–"
    assert page_shell.number(0.25) == "+0.2500"


def test_what_is_odd_is_said():
    assert "odd" not in html_page.render(report())
    assert "<p>12 samples are odd</p>" in html_page.render(report(notices=("12 samples are odd",)))
