"""The counts of a run as plain text, for the end of a terminal session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transforms.lib.lost_shards import Lost


def si_bytes(count: int) -> str:
    """Returns a number of bytes in the largest decimal unit that keeps it at least 1, for example ``5.4 MB``."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


def books_table(books: Mapping[str, Any], output_shards: int) -> str:
    """Returns what became of every sample as aligned lines.

    Args:
      books: the content of ``books.json``.
      output_shards: written shards, 0 when none are written yet.
    """
    samples = books["samples"]

    def row(label: str, count: int, note: str = "") -> str:
        share = f"{100 * count / samples:6.2f} %" if samples else " " * 8
        return f"{label:<34}{count:>14,}  {share}  {note}".rstrip()

    lines = [f"{'samples':<34}{samples:>14,}  in {books['shards']:,} shards, {si_bytes(books['bytes'])}"]
    lines.append(row("kept", books["kept"], f"{books['copies']:,} copies" if books["copies"] != books["kept"] else ""))
    for label, count in books["dropped"].items():
        threshold = books["fitted"].get(label, {}).get("threshold")
        note = f"threshold {threshold:.6g}" if isinstance(threshold, float) else ""
        lines.append(row(f"dropped by {label}", count, note))
    lines += [row(f"rejected, {reason}", count) for reason, count in books["rejected"].items()]
    lines += [row(f"noticed, {kind}", count) for kind, count in books.get("notices", {}).items()]
    for label, found in books.get("subsets", {}).items():
        share = f"{100 * found['found'] / found['uids']:6.2f} %" if found["uids"] else " " * 8
        lines.append(f"{f'uids of {label}, found':<34}{found['found']:>14,}  {share}  of {found['uids']:,} listed")
    if output_shards:
        lines.append(f"{'output shards':<34}{output_shards:>14,}")
    if lost := books.get("lost_shards"):
        lines.append(f"warning: {Lost(books['shards'], lost['count'], tuple(lost['first'].items())).sentence()}")
    return "\n".join(lines)
