"""The named recipes that ship with Winnow, and recipes of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from transforms.lib import similar
from transforms.lib.errors import ConfigError

if TYPE_CHECKING:
    from transforms.lib.plugins import Plugins
    from transforms.lib.recipes.recipe import Recipe

FOLDER = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Returns the names that ``--recipe`` takes beside a path, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def plugin_recipes() -> Plugins:
    """Returns the recipes that other packages bring."""
    from transforms.lib.plugins import RECIPES, Plugins

    return Plugins(RECIPES)


def load_recipe(
    name: str,
    *,
    keep_fraction: float | None = None,
    overrides: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Recipe:
    """Reads a recipe by name or path and applies what the command line changes.

    Args:
      name: one of ``recipe_names()``, or a path or address that ends in .yaml or .yml.
      keep_fraction: replaces the fraction of the recipe's only top_fraction step.
      overrides: ``step.parameter`` -> value as text.
      seed: of every step that names none.

    Raises:
      ConfigError: the recipe is unknown, unreadable or wrong; every problem, one line each.
    """
    from transforms.lib.recipes import parse, yaml_text

    text = _text(name)
    try:
        document = yaml_text.load(text)
        return parse.parse(document, overrides, keep_fraction=keep_fraction, seed=seed)
    except ConfigError as error:
        raise ConfigError([f"--recipe {name}: {line}" for line in error.problems]) from None


def _text(name: str) -> str:
    if not name.endswith((".yaml", ".yml")):
        if name in recipe_names():
            return (FOLDER / f"{name}.yaml").read_text()
        if name in (others := plugin_recipes()):
            return others[name].text()
        near = similar.did_you_mean(name, [*recipe_names(), *others])
        hint = f"{near} `winnow recipes` lists them, or give a .yaml file"
        raise ConfigError(f"--recipe {name!r} is unknown; {hint.strip()}")
    from transforms.storage import filesystem

    try:
        data = filesystem.read_if_exists(name)
    except OSError as error:
        raise ConfigError(f"--recipe {name} cannot be read: {error}") from None
    if data is None:
        raise ConfigError(f"--recipe {name} does not exist; `winnow recipes` lists the named ones")
    return data.decode("utf-8", "replace")
