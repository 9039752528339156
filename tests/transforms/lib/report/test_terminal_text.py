import pytest

from transforms.lib.report import terminal_text

BOOKS = {
    "samples": 1000, "kept": 150, "copies": 150, "shards": 4, "bytes": 5_400_000,
    "dropped": {"top_fraction": 845}, "rejected": {"image_missing": 5},
    "fitted": {"top_fraction": {"threshold": 0.25}},
}  # fmt: skip


def test_the_table_adds_up_and_fits_a_terminal():
    text = terminal_text.books_table(BOOKS, 2)
    assert "kept" in text
    assert "15.00 %" in text
    assert "threshold 0.25" in text
    assert "rejected, image_missing" in text
    assert max(map(len, text.splitlines())) <= 100


def test_an_empty_pool_is_a_table_too():
    empty = {**BOOKS, "samples": 0, "kept": 0, "copies": 0, "dropped": {}, "rejected": {}}
    assert terminal_text.books_table(empty, 0).splitlines()[0].split()[:2] == ["samples", "0"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_400_000, "5.4 MB"), (2 * 10**15, "2000.0 TB")]
)
def test_bytes_are_readable(count, text):
    assert terminal_text.si_bytes(count) == text
