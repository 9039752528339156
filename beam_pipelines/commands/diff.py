"""Say what two selections, runs or crawls do differently.

winnow diff current strict --output out
winnow diff out/crawls/2026-11-20 out/crawls/2026-11-21 --html diff.html
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.config.reading import DiffConfig
from beam_pipelines.planning import plan_facts, selections, workspace
from beam_pipelines.running import driver
from transforms import compare, explain, publish
from transforms.compare import KEPT, Side
from transforms.lib.report import diff_page
from transforms.lib.report.exhibit import Exhibit
from transforms.lib.stats import spread
from transforms.outputs import crawls
from transforms.reporting.thumbnails import thumbnails
from transforms.rows import ShardRef
from transforms.storage import filesystem
from transforms.workers import fitted


def side_of(text: str, output: str) -> tuple[Side, Sequence[ShardRef]]:
    """Returns one side and the shards of its pool.

    Args:
      text: an output folder; or with ``output``, a crawl of it, or a selection by name or ID.
      output: output folder; empty for none.

    Raises:
      InputError: there is no such folder, crawl or selection.
    """
    crawl = crawls.folder(output, text) if output else ""
    if not output or filesystem.exists(filesystem.join(crawl, crawls.NAME)):
        root, name = crawl or text.rstrip("/"), ""
    else:
        root, name = output, text
    refs = workspace.read_pool(root)
    found = selections.find(root, name, refs)
    settings, _ = fitted.read(found)
    scores = [score for step in settings.recipe.steps if (score := step.score()) and score in settings.where]
    return Side(text, found, settings.where[scores[0]] if scores else None), refs


def _facts(side: Side, kept: spread.Spread) -> dict[str, Any]:
    books = side.selection.read("books.json")
    column = ".".join(side.score or ())
    counts = {name: books[name] for name in ("samples", "kept", "copies")}
    return {"name": side.name, "selection": side.selection.id, **counts, "column": column, "score": kept.facts()}


def of_one_pool(before: Side, after: Side, refs: Sequence[ShardRef]) -> tuple[dict[str, Any], dict[str, list[Exhibit]]]:
    """Compares two selections of one pool; returns what is printed, and samples that changed sides."""
    found = compare.flows(before, after, refs)
    rows = sorted(found.samples.items(), key=lambda one: (-one[1], one[0]))
    changes = {
        "added": sum(count for (old, new), count in rows if new == KEPT != old),
        "removed": sum(count for (old, new), count in rows if old == KEPT != new),
        "unchanged": found.samples[KEPT, KEPT],
    }
    table = [{"from": old, "to": new, "samples": count} for (old, new), count in rows]
    kept = found.spreads
    sides = {"a": _facts(before, kept[0]), "b": _facts(after, kept[1])}
    return {**sides, "changes": changes, "flows": table, "drift": None}, found.drawn


def of_two_pools(
    before: Side, after: Side, pools: Sequence[Sequence[ShardRef]]
) -> tuple[dict[str, Any], dict[str, list[Exhibit]]]:
    """Compares selections of two pools by the uids that they keep; returns the same."""
    found = compare.lists(before.selection, after.selection)
    spreads = [compare.spread_of(side, refs) for side, refs in zip((before, after), pools, strict=True)]
    roots = before.selection.root, after.selection.root
    both = all(crawls.read(root).get("complete") for root in roots)
    drift = publish.drift(roots[1], roots[0]) if both else spread.drift(spreads[0][0], spreads[1][0])
    drawn = {}
    for way, side, refs in (("added", after, pools[1]), ("removed", before, pools[0])):
        wanted = {uid: uid for uid in found.drawn[way]}
        places = explain.find(refs, side.selection.root, wanted) if wanted else {}
        drawn[way] = compare.exhibits(side, places)[: compare.SHOWN]
    sides = {"a": _facts(before, spreads[0][1]), "b": _facts(after, spreads[1][1])}
    same = before.score == after.score
    return {**sides, "changes": found.counts, "flows": [], "drift": drift if same else None}, drawn


def plan(config: DiffConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds both sides."""
    named = config.sides if len(config.sides) == 2 else ()
    found = [problems.collect(side_of, text, config.output.rstrip("/")) for text in named]
    if config.html:
        problems.collect(filesystem.check_writable, config.html.rpartition("/")[0] or ".")
    sides = [one for one in found if one]
    if problems or len(sides) != 2:
        return None
    (before, refs), (after, others) = sides

    def finish() -> tuple[str, dict[str, Any]]:
        one_pool = before.selection.root == after.selection.root
        found = of_one_pool(before, after, refs) if one_pool else of_two_pools(before, after, (refs, others))
        facts, drawn = found
        if config.html:
            roots = {"added": after.selection.root, "removed": before.selection.root}
            pictures = {way: thumbnails(shown, roots[way]) for way, shown in drawn.items()}
            filesystem.write_atomic(config.html, diff_page.render(facts, pictures).encode())
        examples = {way: [one.uid for one in shown] for way, shown in drawn.items()}
        place = {"html": config.html} if config.html else {}
        return diff_page.text(facts), {**facts, "examples": examples, **place}

    return driver.Work({"shards": len(refs)}, finish=finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("diff", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
