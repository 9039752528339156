"""Say why samples were kept or dropped: each step's verdict, bound and margin, and the columns it judged by.

winnow explain 139e4a9b22a614771f06c700a8ebe150 --output out
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.reading import ExplainConfig
from beam_pipelines.planning import plan_facts, samples, selections, workspace
from beam_pipelines.running import driver
from transforms.explain import ExplainShard, copies_of, find
from transforms.lib.recipes import explain
from transforms.workers import fitted


def plan(config: ExplainConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the recipe and the fitted states by which the pool was decided."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    found = problems.collect(selections.find, config.output, config.selection, refs) if refs else None
    solved = problems.collect(fitted.read, found) if found and not problems else None
    if problems or refs is None or found is None or solved is None:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        places = find(refs, config.output, config.wanted())
        explained = [one for ref, rows in places.items() for one in ExplainShard(*solved)(ref, rows)]
        suffix = samples.suffix_of(config.output, found.id)
        copies = copies_of(places, config.output, suffix) if suffix else {}
        for one in explained:
            one["places"] = copies.get((one["shard"], one["row"]), [])
        order = {uid: number for number, uid in enumerate(reversed(config.wanted()))}
        explained.sort(key=lambda one: order[one["uid"]])
        text = "\n\n".join([*map(explain.text_of, explained), found.words])
        return text, {"samples": explained, "selection": found.id}

    summary = {
        "shards": len(refs),
        "selection": found.id,
        "steps": [step.sentence() for step in solved[0].recipe.steps],
    }
    return driver.Work(summary, lambda: None, None, finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("explain", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
