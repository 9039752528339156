"""The report in a real browser: it fits every screen, can be read by everybody, and runs nothing but its own script."""

import dataclasses

import pytest

from tests import browser
from tests.transforms.lib.report.test_html_page import HOSTILE, report, thumbnail
from transforms.lib.report import html_page
from transforms.lib.report.html_page import Rejected, StepRow


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    hostile = thumbnail(HOSTILE, uid=f'"><script>alert(2)</script>{"0" * 8}', kept=False, step="<b onclick=alert(3)>")
    settings = (("recipe", "dfn"), ("input", "s3://" + "folder/" * 60 + "</style><script>alert(4)</script>"))
    steps = (StepRow("</h3><script>alert(6)</script>", HOSTILE, 70, 45, (), (hostile,)),)
    rejected = (
        Rejected("image_missing", 5, (dataclasses.replace(hostile, key=HOSTILE, detail=HOSTILE, place=HOSTILE),)),
    )
    made = html_page.render(
        report(steps=steps, rejected=rejected, settings=settings, pool="</title><script>alert(5)</script>" * 9)
    )
    path.write_text(made)
    return path


@pytest.mark.parametrize("width", [390, 1280, 1600])
def test_nothing_overflows_to_the_side(chromium, page_file, width):
    with browser.opened(chromium, page_file, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(chromium, page_file, scheme):
    with browser.opened(chromium, page_file, scheme=scheme) as page:
        assert browser.serious(page) == []


def test_text_from_the_pool_stays_text(chromium, page_file):
    with browser.opened(chromium, page_file) as page:
        assert page.locator("script").count() == 1
        card = page.locator("#steps .cards > li")
        assert "<script>alert(1)</script>" in card.inner_text()
        assert "<b onclick=alert(3)>" in card.inner_text()
        card.get_by_role("button").click()


def test_a_click_copies_the_command_that_explains_a_sample(chromium, page_file):
    with browser.opened(chromium, page_file, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.locator("#samples .cards > li").first.get_by_role("button").click()
        assert (
            page.evaluate("navigator.clipboard.readText()") == f"winnow explain {'0' * 31}7 --output {page_file.parent}"
        )
        assert "Copied: winnow explain" in page.locator("#toast").inner_text()


def test_pictures_are_searched(chromium, page_file):
    with browser.opened(chromium, page_file) as page:
        page.get_by_label("Search pictures").fill("a BOAT")
        assert page.locator("#found").inner_text() == "12 of 15 pictures"
        assert page.locator("#rejected .cards > li").is_hidden()
        page.get_by_label("Search pictures").fill("")
        assert page.locator("#rejected .cards > li").is_visible()


def test_the_theme_is_switched(chromium, page_file):
    with browser.opened(chromium, page_file, scheme="light") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        button = page.get_by_role("button", name="Theme")
        button.click()
        assert page.evaluate(background) == light
        button.click()
        assert page.evaluate(background) != light
