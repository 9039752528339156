"""Take samples out of a finished output: shards, lists, columns, embeddings and captions; and keep them out.

winnow takedown out --uids uids.txt --reason 'request 17'
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.takedown import TakedownConfig
from beam_pipelines.planning import plan_facts, takedown, workspace
from beam_pipelines.running import driver
from transforms.lib.errors import InputError
from transforms.outputs import leases, takedowns
from transforms.removal.takedown import Takedown, resumed

_NAMED = 20  # uids in no sample that are printed


def plan(config: TakedownConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds what is to go, or what was begun."""
    refs = problems.collect(workspace.read_pool, config.output) if config.output else None
    begun = problems.collect(takedowns.unfinished, config.output) if refs else None
    if begun and not config.resume:
        problems.append(
            f"--output {config.output}: the takedown of {begun['date']} is not finished; run `winnow takedown "
            f"{config.output} --resume` before another"
        )
    if refs and config.resume and not begun:
        problems.append(f"--resume: --output {config.output} has no takedown that is not finished; leave it out")
    if problems or refs is None:
        return None
    if begun:
        return _resume(config.output, begun)
    problems.collect(takedown.check_books, config.output)
    found = takedown.plan_takedown(config, refs, problems)
    if problems or found is None:
        return None
    return driver.Work(found.counts(), lambda: None, None, lambda: _take(config.output, found))


def _take(root: str, found: takedown.TakedownPlan) -> tuple[str, dict[str, Any]]:
    with leases.held(root, takedown.leases_of(root), _lost, []):
        if takedown.manifest_digest(root) != found.manifest:
            raise InputError(f"--output {root} was changed by another run meanwhile; run the same command again")
        found.work.begin(found.digests)
        found.work.run()
    counts = found.counts()
    return _text(root, found.work, counts), {**counts, "record": takedowns.path_of(found.work.record["id"])}


def _resume(root: str, record: dict[str, Any]) -> driver.Work:
    work = resumed(root, record)
    counts = {**record["counts"], "input_shards": len(work.rows), "output_shards": len(work.outputs)}

    def finish() -> tuple[str, dict[str, Any]]:
        with leases.held(root, takedown.leases_of(root), _lost, []):
            work.run()
        return _text(root, work, counts), {**counts, "record": takedowns.path_of(record["id"])}

    return driver.Work(counts, lambda: None, None, finish)


def _lost() -> None:
    raise InputError("another run took the output over; run `winnow takedown OUT --resume`")


def _text(root: str, work: Takedown, counts: dict[str, Any]) -> str:
    lines = [
        "{samples:,} samples taken down; {output_shards:,} output shards and the columns of {input_shards:,} shards "
        "written anew".format(**counts)
    ]
    absent = counts.get("absent", [])
    if absent:
        lines.append(f"{counts['absent_uids']:,} listed uids are in no sample: {', '.join(absent[:_NAMED])}")
        lines[-1] += " ..." if counts["absent_uids"] > _NAMED else ""
    if counts.get("absent_images"):
        lines.append(f"{counts['absent_images']:,} listed digests are of no image here")
    lines.append(f"record: {root.rstrip('/')}/{takedowns.path_of(work.record['id'])}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("takedown", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
