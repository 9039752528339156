"""The commands of the proof: each is run once, remembered in the work folder, and not run again."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Steps:
    """Runs ``winnow`` and remembers what is done.

    Attributes:
      work: folder of everything.
      threads: of torch.
    """

    work: Path
    threads: int = 1

    def once(self, name: str, *argv: object) -> None:
        """Runs a command of winnow unless the same one was run before; a step that failed ends the program."""
        done = self.work / "steps" / f"{name}.json"
        told = [str(word) for word in argv]
        if done.is_file() and json.loads(done.read_text())["argv"] == told:
            return
        start, before = time.perf_counter(), os.times()
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        ended = subprocess.run(
            [sys.executable, "-m", "beam_pipelines.cli", *told], env=environment, stdout=subprocess.PIPE, text=True
        )
        if ended.returncode:
            raise SystemExit(f"proof: step {name} failed; run the same command again to go on")
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        facts = {"argv": told, "wall_s": round(time.perf_counter() - start), "cpu_s": round(cpu)}
        lines = ended.stdout.splitlines()
        done.parent.mkdir(exist_ok=True)
        done.write_text(json.dumps({**facts, "result": json.loads(lines[-1]) if lines else {}}) + "\n")
        print(f"{name}: {facts['wall_s']} s, {facts['cpu_s']} CPU s", file=sys.stderr, flush=True)
