"""Flags of ``winnow export``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses

from beam_pipelines.config.base import flag
from beam_pipelines.config.selection import SelectionConfig

FORMATS = {"parquet": "a table", "csv": "a table as text", "npy": "one column as an array, embeddings as float32"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportTableConfig(SelectionConfig):
    """Flags of ``export``."""

    to: str = flag("", "file to write", required="name the file to write, such as samples.parquet")
    format: str = flag("", "form of the file; default: as the end of --to says", choices=FORMATS)
    columns: str = flag(
        "",
        "columns, separated by commas, such as uid,caption,tinyclip.score,copies; default: uid, key, shard, caption, "
        "status, every column of every column set but embeddings, and step, margin and copies where there is a "
        "selection",
    )

    ledger: bool = flag(
        False,
        "write the ledger instead: one row per sample, kept n times and where (output shard, position, key), dropped "
        "by which step and margin, or rejected, with the reason and the byte offset",
    )

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.ledger and (self.columns or self.form() == "npy"):
            problems.append("--ledger has columns of its own; write it to .parquet or .csv, without --columns")
            return problems
        if self.to and not self.format and self.form() not in FORMATS:
            problems.append(f"--to {self.to} does not end in .{', .'.join(FORMATS)}; give --format")
        if self.form() == "npy" and len(self.names() or ()) != 1:
            problems.append("--columns must name one column for a file of NumPy, such as tinyclip.image")
        return problems

    def form(self) -> str:
        """Returns the format: what ``--format`` says, else the ending of ``--to``."""
        return self.format or self.to.rpartition(".")[2]

    def names(self) -> tuple[str, ...] | None:
        """Returns the columns that ``--columns`` names, each once; None where it is not given."""
        names = tuple(dict.fromkeys(name.strip() for name in self.columns.split(",") if name.strip()))
        return names or None
