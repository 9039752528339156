"""The page stays small: pictures beyond a bound are left out, and counted."""

from tests.transforms.lib.report.test_html_page import report, thumbnail
from transforms.lib.report import html_page
from transforms.reporting import compose


def test_pictures_beyond_the_bound_are_left_out_and_counted():
    size = compose.MOST_BYTES // 10
    every = [thumbnail(jpeg=b"x" * size) for _ in range(15)]
    found, left_out = compose.within(every)
    assert [bool(one.jpeg) for one in found] == [True] * 10 + [False] * 5
    assert left_out == 5
    page = html_page.render(report(kept_thumbnails=found, left_out=left_out))
    assert len(page.encode()) < 5_000_000
    assert "5 pictures were left out" in page
    assert page.count("no picture") >= 5
