"""What two selections do differently: as lines for a terminal, and as a page with pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transforms.lib.report import page
from transforms.lib.report.thumbnail import Thumbnail

_WAYS = {"added": "Kept by the second, not by the first", "removed": "Kept by the first, not by the second"}


def text(facts: Mapping[str, Any]) -> str:
    """Returns the comparison as aligned lines.

    Args:
      facts: what ``winnow diff`` prints as JSON.
    """
    sides = [facts["a"], facts["b"]]
    lines = [f"{'':<28}{sides[0]['name'][-20:]:>22}{sides[1]['name'][-20:]:>22}"]
    lines += [f"{name:<28}{sides[0][name]:>22,}{sides[1][name]:>22,}" for name in ("samples", "kept", "copies")]
    for name, value in sides[0]["score"].items():
        other = sides[1]["score"].get(name)
        lines.append(f"score of kept, {name:<13}{value:>22.6f}" + (f"{other:>22.6f}" if other is not None else ""))
    if facts["drift"] is not None:
        lines.append(f"{'drift of all scores':<28}{facts['drift']:>44.4f}")
    changes = facts["changes"]
    lines += ["", f"{changes['added']:,} added, {changes['removed']:,} removed, {changes['unchanged']:,} unchanged"]
    if facts["flows"]:
        lines += ["", f"{'from':<26}{'to':<26}{'samples':>18}"]
        lines += [f"{one['from'][:25]:<26}{one['to'][:25]:<26}{one['samples']:>18,}" for one in facts["flows"]]
    return "\n".join(lines)


def render(facts: Mapping[str, Any], pictures: Mapping[str, Sequence[Thumbnail]]) -> str:
    """Returns the page.

    Args:
      facts: what ``winnow diff`` prints as JSON.
      pictures: ``added`` and ``removed`` -> samples that changed sides.
    """
    sections = [("numbers", "Numbers"), *((way, way.title()) for way in _WAYS)]
    shown = [(way, words, pictures.get(way, ()), facts["changes"][way]) for way, words in _WAYS.items()]
    names = " and ".join(page.shortened(facts[side]["name"], 80) for side in ("a", "b"))
    return page.render(
        "diff.html.j2", f"Diff of {names}", sections, explain=("winnow explain ", " --output OUT"), depth=0,
        facts=facts, ways=shown,
    )  # fmt: skip
