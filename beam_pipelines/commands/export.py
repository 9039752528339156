"""Write what is known of every sample as one table, or one column as an array.

winnow export --output out --to samples.parquet
winnow export --output out --to ledger.parquet --ledger true
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from beam_pipelines.config.export import ExportTableConfig
from beam_pipelines.planning import plan_facts, samples
from beam_pipelines.running import driver
from transforms.lib.errors import InputError
from transforms.outputs.ledger_table import InText
from transforms.outputs.samples import Samples, write_csv, write_npy, write_parquet

_WRITERS = {"parquet": write_parquet, "csv": write_csv, "npy": write_npy}
_LEDGER_WRITERS = {"parquet": write_parquet, "csv": write_csv}


def check_types(config: ExportTableConfig, found: Samples) -> None:
    """Checks that the format can hold the columns.

    Raises:
      InputError: it cannot; all of the columns.
    """
    form, problems = config.form(), []
    for field in found.schema:
        embedding = pa.types.is_nested(field.type)
        if form == "csv" and embedding:
            problems.append(f"--columns {field.name} holds lists, which CSV cannot; write .parquet or .npy")
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if form == "npy" and not (number or pa.types.is_fixed_size_list(field.type)):
            problems.append(f"--columns {field.name} holds no numbers, as .npy must; write .parquet or .csv")
    if problems:
        raise InputError(problems)


def plan(config: ExportTableConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the columns, and checks that the format can hold them."""
    if config.ledger:
        return _plan_ledger(config, problems)
    found = None
    if config.output:
        found = problems.collect(samples.find, config.output, config.selection, config.names())
    if found:
        problems.collect(check_types, config, found)
    if problems or found is None:
        return None

    def finish() -> tuple[str, dict[str, Any]]:
        rows = _WRITERS[config.form()](found, config.to)
        facts = {"samples": rows, "columns": found.schema.names, "selection": found.store.selection}
        return f"{rows:,} samples, {len(found.schema)} columns: {config.to}", {**facts, "to": config.to}

    summary = {"shards": len(found.refs), "columns": found.schema.names, "selection": found.store.selection}
    return driver.Work(summary, lambda: None, None, finish)


def _plan_ledger(config: ExportTableConfig, problems: plan_facts.Problems) -> driver.Work | None:
    """Finds the files that the ledger is made of."""
    found = problems.collect(samples.find_ledger, config.output, config.selection) if config.output else None
    if problems or found is None:
        return None
    table = found if config.form() == "parquet" else InText(found)

    def finish() -> tuple[str, dict[str, Any]]:
        rows = _LEDGER_WRITERS[config.form()](table, config.to)
        facts = {"samples": rows, "columns": found.schema.names, "selection": found.store.selection}
        return f"the ledger, {rows:,} samples: {config.to}", {**facts, "to": config.to}

    summary = {"shards": len(found.refs), "columns": found.schema.names, "selection": found.store.selection}
    return driver.Work(summary, lambda: None, None, finish)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("export", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
