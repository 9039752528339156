"""The templates of everything that Winnow draws: the report's page and the training curves."""

from __future__ import annotations

from pathlib import Path

import jinja2


def environment() -> jinja2.Environment:
    """Returns the environment that reads the ``.j2`` files of this folder.

    It escapes every value, and raises ``jinja2.UndefinedError`` for a name that is not given.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
