"""Training curves as a small SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COLOURS = ("#5c6670", "#0f7b6c", "#b3261e", "#7a4fb5")
WIDTH, HEIGHT, MARGIN = 640, 280, 48


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

    Args:
      history: at least one mapping with ``along``, ``left`` and ``right``.
      best: position of the one that was kept, marked by a line and named in the legend.
      left: names of the losses.
      right: names of the shares.
      right_from: the foot of the right axis.
      along: name of what runs along the bottom.
    """
    top = max(max(row[name] for name in left) for row in history) or 1.0
    across = (WIDTH - 2 * MARGIN) / max(1, len(history) - 1)

    def x(at: int) -> float:
        return MARGIN + across * at

    def y(name: str, value: float) -> float:
        share = (value - right_from) / (1 - right_from) if name in right else value / top
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(1.0, max(0.0, share))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<line x1="{x(best):.1f}" x2="{x(best):.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}" stroke="#d9dee3"/>',
    ]
    for number, (name, colour) in enumerate(zip([*left, *right], COLOURS, strict=False)):
        points = " ".join(f"{x(at):.1f},{y(name, row[name]):.1f}" for at, row in enumerate(history))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{MARGIN + 140 * number}" y="24" fill="{colour}">{name} {history[best][name]:.3f}</text>'
        )
    ends = [f"{along} {history[at][along]:.0f}" for at in (0, -1)]
    parts += [
        f'<text x="{MARGIN}" y="{HEIGHT - 16}">{ends[0]}</text>',
        f'<text x="{x(len(history) - 1):.1f}" y="{HEIGHT - 16}" text-anchor="end">{ends[1]}</text>',
        f'<text x="8" y="{MARGIN + 4}">{top:.2f}</text><text x="8" y="{HEIGHT - MARGIN}">0</text>',
        f'<text x="{WIDTH - 40}" y="{MARGIN + 4}">1.0</text>'
        f'<text x="{WIDTH - 40}" y="{HEIGHT - MARGIN}">{right_from:.1f}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
