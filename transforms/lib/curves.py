"""Training curves as a small SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SERIES = (("train_loss", "#5c6670"), ("held_loss", "#0f7b6c"), ("auc", "#b3261e"))
WIDTH, HEIGHT, MARGIN = 640, 280, 48


def draw(history: Sequence[Mapping[str, float]], best: int) -> str:
    """Returns an SVG of losses (left axis) and AUC (right axis, 0.5 to 1) over epochs.

    Args:
      history: one mapping an epoch with ``train_loss``, ``held_loss`` and ``auc``.
      best: the epoch that was kept, marked by a line.
    """
    top = max(max(row["train_loss"], row["held_loss"]) for row in history)
    across = (WIDTH - 2 * MARGIN) / max(1, len(history) - 1)

    def x(epoch: int) -> float:
        return MARGIN + across * epoch

    def y(name: str, value: float) -> float:
        share = (value - 0.5) / 0.5 if name == "auc" else value / top
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(1.0, max(0.0, share))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<line x1="{x(best):.1f}" x2="{x(best):.1f}" y1="{MARGIN}" y2="{HEIGHT - MARGIN}" stroke="#d9dee3"/>',
    ]
    for number, (name, colour) in enumerate(SERIES):
        points = " ".join(f"{x(epoch):.1f},{y(name, row[name]):.1f}" for epoch, row in enumerate(history))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{MARGIN + 130 * number}" y="24" fill="{colour}">{name} {history[best][name]:.3f}</text>'
        )
    parts += [
        f'<text x="{MARGIN}" y="{HEIGHT - 16}">epoch 0</text>',
        f'<text x="{x(len(history) - 1):.1f}" y="{HEIGHT - 16}" text-anchor="end">epoch {len(history) - 1}</text>',
        f'<text x="8" y="{MARGIN + 4}">{top:.2f}</text><text x="8" y="{HEIGHT - MARGIN}">0</text>',
        f'<text x="{WIDTH - 40}" y="{MARGIN + 4}">1.0</text><text x="{WIDTH - 40}" y="{HEIGHT - MARGIN}">0.5</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"
