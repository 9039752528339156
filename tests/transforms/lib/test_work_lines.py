"""The lines of workers are read as they are written."""

import pytest

from transforms.lib import work_lines
from transforms.lib.work_lines import WorkLine

LINES = {
    "score a/00001: begun": WorkLine("score", "a/00001", work_lines.BEGUN),
    "score a: at 12 samples": WorkLine("score", "a", work_lines.AT, 12),
    "score a: done, 10 samples, 0 rejected, 1.5 s": WorkLine("score", "a", work_lines.DONE, 10, 0, 1.5),
    "assign a: done, 10 samples, 1.5 s": WorkLine("assign", "a", work_lines.DONE, 10, None, 1.5),
    "match a: done, 1.5 s": WorkLine("match", "a", work_lines.DONE, None, None, 1.5),
    "write a: was done before, 0.0 s": WorkLine("write", "a", work_lines.SKIPPED, None, None, 0.0),
    "write a: failed with ValueError, 2.0 s": WorkLine("write", "a", work_lines.FAILED, None, None, 2.0, "ValueError"),
    "score my shard: done, 2: begun": WorkLine("score", "my shard: done, 2", work_lines.BEGUN),
}


@pytest.mark.parametrize("text", LINES)
def test_a_line_is_written_and_read(text):
    assert str(LINES[text]) == text
    assert work_lines.read(text) == LINES[text]
    assert work_lines.read_planned(text) is None


@pytest.mark.parametrize("text", ["", "score", "score a: gone", "loading net", "score a: done, 10 samples, x"])
def test_another_text_is_no_line(text):
    assert work_lines.read(text) is None


def test_a_plan_is_written_and_read():
    assert work_lines.planned("write", 7) == "write: 7 shards planned"
    assert work_lines.read_planned("write: 7 shards planned") == ("write", 7)
    assert work_lines.read("write: 7 shards planned") is None
