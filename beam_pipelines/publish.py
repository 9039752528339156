"""Publish a finished crawl: let it become the latest when it passes its gate, and list what it changes.

winnow publish --output out --crawl_id 2026-11-21 --gate_retention 0.1,0.2 --gate_drift 0.05
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.crawl import PublishConfig
from beam_pipelines.planning import crawl, plan_facts, workspace
from beam_pipelines.running import driver, wiring
from transforms.outputs import crawls
from transforms.publish import sentence


def plan(config: PublishConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Checks that the crawl is finished."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    if refs:
        copied = not any(ref.uri.endswith(".parquet") for ref in refs)
        problems.collect(crawl.check_publishable, config.output, copied)
        problems.collect(crawls.predecessor, config.output, config.compare_with)
    if problems or refs is None:
        return None
    settings = crawl.publishing(config)

    def finish() -> tuple[str, dict[str, Any]]:
        document = crawls.read(config.output)
        return sentence(config.output), {name: document[name] for name in ("against", "retention", "drift", "diff")}

    return driver.Work(
        {"shards": len(refs), "latest": crawls.latest(crawls.split(config.output)[0]).get("crawl_id", "")},
        lambda: None,
        lambda pipeline: wiring.publish_alone(pipeline, settings),
        finish,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("publish", plan, argv)


if __name__ == "__main__":
    sys.exit(main())
