"""Write the uids that a selection kept, or dropped, as a subset file of DataComp's form.

winnow export-subset --output out --to dropped.npy --where dropped
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.subset import ExportConfig
from beam_pipelines.planning import plan_facts, selections, workspace
from beam_pipelines.running import driver
from transforms.lib.errors import InputError
from transforms.lib.subsets import uid_lists
from transforms.outputs import uid_lists as uidlists
from transforms.outputs.selections import Selection
from transforms.outputs.store import Store
from transforms.workers import fitted


def check_where(config: ExportConfig, selection: Selection) -> None:
    """Checks that ``--where`` names an outcome of the selection: kept, dropped, rejected, or dropped by a step.

    Raises:
      InputError: it names none.
    """
    steps = [step.label for step in fitted.read(selection)[0].recipe.steps]
    allowed = ["kept", "dropped", "rejected", *steps]
    if config.where not in allowed:
        raise InputError(f"--where must be one of {', '.join(allowed)}, got {config.where!r}")


def plan(config: ExportConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Checks that the pool was decided, and that ``--where`` names an outcome."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    found = problems.collect(selections.find, config.output, config.selection, refs) if refs else None
    if found:
        problems.collect(check_where, config, found)
    if problems or refs is None or found is None:
        return None
    store = Store(config.output, found.id)

    def finish() -> tuple[str, dict[str, Any]]:
        with contextlib.ExitStack() as stack:
            uids = uidlists.gather(refs, store, config.where, stack)
            counts = uidlists.write((uids.part(part) for part in range(uid_lists.PARTS)), config.to)
        text = "{written:,} uids, {distinct:,} of them distinct".format(**counts) + f": {config.to}"
        return f"{text}\n{found.words}", {**counts, "selection": found.id}

    return driver.Work({"shards": len(refs), "selection": found.id}, lambda: None, None, finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("export-subset", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
