"""One table of many trained models: JSON, CSV, Markdown and a page with drawings; and the drawings by themselves."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from transforms.lib.evaluation.results import Figures, Summary, summarise
from transforms.lib.report import templates

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 250, 120, 40, 26  # units of the drawing


class Row(NamedTuple):
    """What is known of one arm.

    Attributes:
      name: of the arm.
      pairs: distinct pairs of its selection; 0 for a model trained elsewhere.
      copies: pairs with their copies; 0 for a model trained elsewhere.
      runs: seed -> figures; of a model trained elsewhere, one run by the name of its file.
    """

    name: str
    pairs: int
    copies: int
    runs: Mapping[str, Figures]

    def summary(self) -> dict[str, Summary]:
        """Returns figure -> mean, spread and number of seeds."""
        return summarise(list(self.runs.values()))


def figures_of(rows: Sequence[Row]) -> list[str]:
    """Returns the names of all figures, each once, in the order of the rows."""
    return list(dict.fromkeys(name for row in rows for run in row.runs.values() for name in run))


def as_json(rows: Sequence[Row], settings: Mapping[str, Any]) -> str:
    """Returns ``evaluation.json``: settings, and of every arm its counts, the figures of each run, mean and spread."""
    arms = []
    for row in rows:
        summary = {
            name: {"mean": one.mean, "sd": None if math.isnan(one.sd) else one.sd, "seeds": one.seeds}
            for name, one in row.summary().items()
        }
        runs = {run: dict(figures) for run, figures in row.runs.items()}
        arms.append({"name": row.name, "pairs": row.pairs, "copies": row.copies, "runs": runs, "summary": summary})
    return json.dumps({"settings": dict(settings), "arms": arms}, indent=1) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Returns ``evaluation.csv``: one line per arm and figure."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["arm", "pairs", "copies", "figure", "mean", "sd", "seeds"])
    for row in rows:
        for name, one in row.summary().items():
            spread = "" if math.isnan(one.sd) else f"{one.sd:.6f}"
            writer.writerow([row.name, row.pairs, row.copies, name, f"{one.mean:.6f}", spread, one.seeds])
    return sink.getvalue()


def cell(one: Summary | None) -> str:
    """Returns a figure in percent, with its spread: ``7.70 ± 0.31``; a dash where there is none."""
    if one is None:
        return "–"
    return f"{100 * one.mean:.2f}" + ("" if math.isnan(one.sd) else f" ± {100 * one.sd:.2f}")


def cells(rows: Sequence[Row], figures: Sequence[str] = ()) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the lines of the table for people."""
    names = list(figures) or figures_of(rows)
    header = ["arm", "pairs", "with copies", "seeds", *names]
    lines = []
    for row in rows:
        summary = row.summary()
        counts = [f"{row.pairs:,}", f"{row.copies:,}"] if row.copies else ["–", "–"]
        lines.append([row.name, *counts, str(len(row.runs)), *(cell(summary.get(name)) for name in names)])
    return header, lines


def as_markdown(rows: Sequence[Row], figures: Sequence[str] = ()) -> str:
    """Returns the table in Markdown; of all figures, or of some."""
    header, lines = cells(rows, figures)
    rule = "|---|" + "---:|" * (len(header) - 1)
    return (
        "\n".join(["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(line) + " |" for line in lines)]) + "\n"
    )


def drawing(rows: Sequence[Row], figure: str, title: str = "") -> str:
    """Returns an SVG of one figure: a dot per arm at its mean, and a line of one standard deviation to both sides."""
    found = [(row.name, row.summary().get(figure)) for row in rows]
    shown = [(name, one) for name, one in found if one is not None]
    ends = [100 * (one.mean + (0 if math.isnan(one.sd) else one.sd)) for _, one in shown]
    step = _step(max([*ends, 1e-9]))
    most = step * math.ceil(max([*ends, 1e-9]) / step)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, value / most))

    dots = []
    for number, (name, one) in enumerate(shown):
        mean, spread = 100 * one.mean, 0.0 if math.isnan(one.sd) else 100 * one.sd
        place = {"x": x(mean), "low": x(mean - spread), "high": x(mean + spread), "y": TOP + ROW * (number + 0.5)}
        dots.append({"name": name, "text": cell(one), **place})
    bottom = TOP + ROW * len(shown)
    ticks = [{"x": x(step * n), "text": f"{step * n:g}"} for n in range(round(most / step) + 1)]
    template = templates.environment().get_template("dots.svg.j2")
    return template.render(
        title=title or f"{figure}, percent", dots=dots, ticks=ticks, width=WIDTH, height=bottom + 34, left=LEFT,
        top=TOP, bottom=bottom,
    ) + "\n"  # fmt: skip


def _step(most: float) -> float:
    """Returns the distance of the ticks, 1, 2 or 5 times a power of ten: between four and nine of them."""
    power = 10.0 ** math.floor(math.log10(most / 4))
    return next(power * n for n in (1, 2, 5, 10) if most / (power * n) <= 9)


def as_html(rows: Sequence[Row], sentence: str, figures: Sequence[str]) -> str:
    """Returns ``evaluation.html``, which loads nothing: the drawings of some figures, and the table of all.

    Args:
      rows: of the table.
      sentence: how the models were trained.
      figures: to draw.
    """
    header, lines = cells(rows)
    drawings = [Markup(drawing(rows, figure)) for figure in figures]  # our own template escapes
    template = templates.environment().get_template("evaluation.html.j2")
    return template.render(sentence=sentence, drawings=drawings, header=header, rows=lines) + "\n"
