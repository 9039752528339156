"""How far a job is: on a real terminal, in a log, from workers in other processes, and not at all."""

import json
import logging
import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from beam_pipelines.running import progress
from beam_pipelines.running.console import Console
from transforms.lib import work_lines
from transforms.lib.work_lines import WorkLine


@pytest.fixture
def command(small_pool, tiny_network, tmp_path):
    return [
        sys.executable, "-m", "beam_pipelines.cli", "curate", "--input", f"{small_pool}/*.tar",
        "--output", str(tmp_path / "out"), "--model", f"net={tiny_network}", "--keep_fraction", "0.4",
        "--max_reject_fraction", "0.2", "--samples_per_shard", "7",
    ]  # fmt: skip


def test_a_terminal_shows_a_bar_per_kind_of_work_up_to_its_last_shard(command):
    main, terminal = pty.openpty()
    size = subprocess.run(["stty", "cols", "120", "rows", "30"], stdin=terminal, check=False)
    process = subprocess.Popen(command, stderr=terminal, stdout=subprocess.PIPE)
    os.close(terminal)
    seen = bytearray()
    try:
        while piece := os.read(main, 1 << 16):
            seen += piece
    except OSError:  # what Linux says when the other end is closed
        pass
    stdout = process.stdout.read()
    assert (size.returncode, process.wait()) == (0, 0)
    counts = json.loads(stdout)
    last = {line.split()[0]: line for line in re.split(r"[\r\n]+", seen.decode()) if "shards" in line and "/" in line}
    assert "3/3 shards" in last["score"]
    assert f"{counts['samples']} samples" in last["score"]
    assert re.search(r"[1-9]\d* rejected, \d\.\d GiB", last["score"])
    assert "3/3 shards" in last["decide"]
    written = -(-counts["copies"] // 7)
    assert f"{written}/{written} shards" in last["write"]


def test_without_a_terminal_a_short_run_shows_no_progress_and_quiet_shows_nothing(command):
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "samples/s" not in plain.stderr
    assert "kept" in plain.stderr
    quiet = subprocess.run([*command, "--quiet"], capture_output=True, text=True, check=True)
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["job"] == "curate"


def test_verbose_and_a_log_file_hold_two_lines_per_shard(command, tmp_path):
    log = tmp_path / "run.log"
    loud = subprocess.run([*command, "--verbose", "--log_file", str(log)], capture_output=True, text=True, check=True)
    for text in (loud.stderr, log.read_text()):
        assert len(re.findall(r"score 0000\d: begun$", text, re.MULTILINE)) == 3
        assert len(re.findall(r"score 0000\d: done, \d+ samples, \d+ rejected, [\d.]+ s$", text, re.MULTILINE)) == 3
    assert re.match(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO transforms\.", log.read_text())


def test_lines_of_workers_in_other_processes_are_counted(command, winnow, monkeypatch):
    tallies = []

    class Noted(progress.Tallies):
        def __init__(self, shards):
            super().__init__(shards)
            tallies.append(self)

    monkeypatch.setattr(progress, "Tallies", Noted)
    code, _, _ = winnow(*command[3:], "--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
    assert code == 0
    counted = {tally.work: tally for tally in tallies[-1].seen()}  # the first one, if two, counts for Ctrl-C
    assert counted["score"].finished == counted["score"].total == 3
    assert counted["score"].samples > 0
    assert counted["write"].finished == counted["write"].total


def test_a_plain_line_says_what_is_done_and_what_is_left(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    log = logging.getLogger("transforms.workers.test")
    lines = [("a", work_lines.DONE, 10, 1), ("b", work_lines.DONE, 10, 0), ("c", work_lines.AT, 5, None)]
    with Console().progress("score", 4, follows=True):
        log.info("%s", WorkLine("score", "d", work_lines.SKIPPED))
        threading.Event().wait(0.1)
        for shard, state, samples, rejected in lines:
            log.info("%s", WorkLine("score", shard, work_lines.BEGUN))
            log.info("%s", WorkLine("score", shard, state, samples, rejected, 1.0))
        threading.Event().wait(0.2)
    stderr = capsys.readouterr().err
    assert re.search(
        r"^winnow score: score 3 of 4 shards, 25 samples, \d+ samples/s, 1 rejected, \d\.\d GiB, \d s left$",
        stderr,
        re.MULTILINE,
    )


def test_samples_count_for_what_is_left():
    tally = progress.Tally("score", 10, start=0.0)
    tally.add(WorkLine("score", "a", work_lines.DONE, 100, 0, 1.0))
    tally.add(WorkLine("score", "b", work_lines.AT, 100))
    assert tally.facts(10.0) == [
        "200 samples",
        "20 samples/s",
        f"{progress.peak_memory() / 2**30:.1f} GiB",
        "40 s left",
    ]
    tally.add(WorkLine("score", "b", work_lines.FAILED, error="OSError"))
    assert "1 failed" in tally.facts(10.0)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--quiet", "--verbose"), "--quiet and --verbose exclude each other; leave one out"),
        (("--log_file", "/nowhere/x.log"), "--log_file /nowhere/x.log: its folder does not exist; create it, or name"),
    ],
)
def test_wrong_flags_are_one_line(winnow, tmp_path, flags, line):
    code, _, stderr = winnow("verify", "--output", tmp_path, *flags)
    assert code == 2
    assert f"winnow verify: {line}" in stderr
