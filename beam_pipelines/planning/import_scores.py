"""The plan of ``import-scores``: the tables and their columns."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from beam_pipelines.config.imports import ImportConfig
from transforms.import_scores import ImportSettings
from transforms.lib import stamps
from transforms.lib.errors import InputError
from transforms.lib.importers import score_table
from transforms.storage import filesystem, patterns


def find_tables(texts: Sequence[str]) -> list[str]:
    """Returns local paths of the tables that patterns match, sorted.

    Raises:
      InputError: a pattern matches nothing.
    """
    matched = patterns.match(texts)
    lacking = [pattern for pattern, files in zip(texts, matched, strict=True) if not files]
    if lacking:
        raise InputError([f"--input {pattern!r} matches no file; check the address" for pattern in lacking])
    return sorted({filesystem.fetch(info.uri) for files in matched for info in files})


def schemas_of(paths: Sequence[str]) -> list[pa.Schema]:
    """Returns the schemas of tables.

    Raises:
      InputError: one cannot be read.
    """
    return [score_table.schema_of(path) for path in paths]


def left_out(schemas: Sequence[pa.Schema], settings: ImportSettings) -> list[str]:
    """Returns the columns that are not imported although they may be numbers: those without a name or without a value.

    A column without a name is such as the index that pandas writes.
    """
    unnamed = {name for schema in schemas for name in score_table.numbers_of(schema) if score_table.is_unnamed(name)}
    empty = {f"{name} (empty)" for schema in schemas for name in score_table.empty_columns(schema)}
    return sorted((unnamed | empty) - set(settings.columns))


def settings_of(config: ImportConfig, paths: Sequence[str], schemas: Sequence[pa.Schema]) -> ImportSettings:
    """Returns the settings of the import.

    Raises:
      InputError: a table lacks columns, or has two columns of one name, or the tables have different columns.
    """
    columns = [score_table.score_columns(schema, config.by, config.wanted()) for schema in schemas]
    if len({tuple(sorted(names)) for names in columns}) > 1:
        raise InputError("the tables have different columns of numbers; name those to import by --columns")
    sources = tuple(sorted(stamps.sha256_of(path) for path in paths))
    lookup = filesystem.join(config.output, "imports", f"{config.name}.npy")
    names = tuple(sorted(columns[0]))
    return ImportSettings(config.output, config.name, config.by, names, sources, lookup, config.min_coverage)
