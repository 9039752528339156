"""Training curves as a small SVG, drawn by a template that stands beside the report's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transforms.lib.report import templates

COLOURS = ("#5c6670", "#0f7b6c", "#b3261e", "#7a4fb5")
WIDTH, HEIGHT, MARGIN = 640, 280, 48  # in units of the drawing
LEGEND_WIDTH = 140  # of one name in the legend


class Curve(NamedTuple):
    """A curve, ready to draw.

    Attributes:
      name: of the figure.
      colour: of the line and of its name in the legend.
      points: (x, y) of each row of the history.
      legend_x: where its name starts in the legend.
      value: of the row that was kept.
    """

    name: str
    colour: str
    points: tuple[tuple[float, float], ...]
    legend_x: int
    value: float


def draw(
    history: Sequence[Mapping[str, float]],
    best: int,
    *,
    left: Sequence[str] = ("train_loss", "held_loss"),
    right: Sequence[str] = ("auc",),
    right_from: float = 0.5,
    along: str = "epoch",
) -> str:
    """Returns an SVG of losses (left axis, from 0) and shares (right axis, up to 1) over epochs or steps.

    Values beyond an axis are drawn at its end. There are at most four curves.

    Args:
      history: at least one row, each a mapping with ``along`` and all names of ``left`` and ``right``.
      best: position of the row that was kept: a line marks it, and the legend has its values.
      left: names of the losses, at least one.
      right: names of the shares.
      right_from: lower end of the right axis, below 1.
      along: name of the figure on the horizontal axis.
    """
    top = max(max(row[name] for name in left) for row in history) or 1.0
    spacing = (WIDTH - 2 * MARGIN) / max(1, len(history) - 1)

    def x(position: int) -> float:
        return MARGIN + spacing * position

    def y(name: str, value: float) -> float:
        share = (value - right_from) / (1 - right_from) if name in right else value / top
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(1.0, max(0.0, share))

    curves = [
        Curve(
            name=name,
            colour=colour,
            points=tuple((x(position), y(name, row[name])) for position, row in enumerate(history)),
            legend_x=MARGIN + LEGEND_WIDTH * number,
            value=history[best][name],
        )
        for number, (name, colour) in enumerate(zip([*left, *right], COLOURS, strict=False))
    ]
    template = templates.environment().get_template("curves.svg.j2")
    drawing = template.render(
        curves=curves, best_x=x(best), last_x=x(len(history) - 1), first=history[0][along], last=history[-1][along],
        along=along, top=top, right_from=right_from, width=WIDTH, height=HEIGHT, margin=MARGIN,
    )  # fmt: skip
    return drawing + "\n"
