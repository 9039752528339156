"""Curate 62 small pictures that come with Winnow, and open the report: the first look at what a curation gives.

winnow demo
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from beam_pipelines.config.jobs import JOBS
from beam_pipelines.config.tools import DemoConfig
from beam_pipelines.running import options
from transforms.lib.errors import ConfigError

POOL = Path(__file__).parents[1] / "demo_pool"
FLAGS = ("--recipe", "dfn", "--keep_fraction", "0.5", "--samples_per_shard", "16", "--max_reject_fraction", "0.05")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code of ``curate``."""
    flags = options.parser_of_tool("demo")
    _, values, rest, problems = options.read(flags, list(sys.argv[1:] if argv is None else argv))
    config = DemoConfig(**values)
    problems += [options.unknown_flag(text, flags._option_string_actions) for text in rest]
    for line in [*problems, *config.problems()]:
        print(f"winnow demo: {line}", file=sys.stderr)
    if problems:
        return ConfigError.exit_code
    given = ["--input", f"{POOL}/*.tar", "--output", config.output, *FLAGS]
    print(f"$ winnow curate {shlex.join(given)}", file=sys.stderr)
    start = time.monotonic()
    code: int = importlib.import_module(JOBS["curate"].module).main(given)
    if code:
        return code
    print(told(Path(config.output), time.monotonic() - start), file=sys.stderr)
    report = Path(config.output, "report.html").absolute()
    if not config.no_open and not webbrowser.open(report.as_uri()):
        print("There is no browser here; open the report on a machine that has one.", file=sys.stderr)
    return 0


def told(output: Path, seconds: float) -> str:
    """Returns what was done, and what to look at.

    Args:
      output: the folder, whole.
      seconds: that it took.
    """
    from beam_pipelines.planning import samples  # imports pyarrow, which --help has no use for

    faults = [
        one["uid"] for one in json.loads((POOL / "faults.json").read_text()) if one["fault"] == "shuffled_caption"
    ]
    table = samples.find(str(output), "", ["uid", "copies"]).table()
    copies = dict(zip(table["uid"].to_pylist(), table["copies"].to_pylist(), strict=True))
    dropped = [uid for uid in faults if not copies[uid]]
    where = shlex.quote(os.fspath(output))
    wrong = f"{len(faults)} of the {len(copies)} samples have the caption of another picture"
    return f"""
Done in {seconds:.0f} s. {wrong}: the filter dropped {len(dropped)} of them.

Look at
  {output}/report.html    what was kept and dropped, and the closest calls
  {output}/shards/        the new shards, which webdataset, open_clip and others read
and ask
  winnow explain --output {where} {dropped[0] if dropped else faults[0]}    why one sample was dropped
  winnow verify --output {where}    whether every file and every sample is what it should be
  winnow select --output {where} --recipe dfn --keep_fraction 0.2 {shlex.join(FLAGS[-2:])}    decide again, in seconds
"""
