"""``fitted.json``: the recipe as it was applied and each step's solved state, so that decisions can be replayed."""

from __future__ import annotations

import json
from typing import Any

from transforms.lib.errors import ConfigError, InputError
from transforms.lib.recipes import accounts, parse
from transforms.lib.recipes.contract import state_json as solved
from transforms.outputs import file_rows
from transforms.outputs.selections import Selection
from transforms.rows import FileRow
from transforms.workers.decide_shard import SelectSettings

NAME = "fitted.json"


def write(states: tuple[Any, ...], settings: SelectSettings) -> FileRow:
    """Writes what decisions are a function of, beside the columns."""
    document = {
        "selection": settings.selection,
        "recipe": settings.recipe.as_dict(),
        "columns": settings.where,
        "files": settings.files,
        "states": [solved.to_json(state) for state in states],
    }
    data = json.dumps(document, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    return file_rows.write(settings.root, settings.path(NAME), data)


def read(selection: Selection) -> tuple[SelectSettings, tuple[Any, ...]]:
    """Returns how the samples of a selection were decided, and the solved states.

    Raises:
      InputError: the file is not of this selection, or was written by another version of Winnow.
    """
    document = selection.read(NAME)
    try:
        recipe = parse.of_dict(document["recipe"])
        states = tuple(solved.of_json(state) for state in document["states"])
    except (ConfigError, ValueError) as error:
        line = " ".join(str(error).split())
        raise InputError(
            f"--output {selection.root} was selected by another version ({line}); run `winnow select` again"
        ) from None
    where = {name: (owner, column) for name, (owner, column) in document["columns"].items()}
    files = {name: (uri, digest) for name, (uri, digest) in document["files"].items()}
    return SelectSettings(selection.root, recipe, where, None, accounts.Limits(1.0), files, selection.id), states
