"""``winnow models``, ``recipes``, ``plugins``: what ``--model`` and ``--recipe`` take, and what packages bring."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from beam_pipelines.config.jobs import COMMANDS
from beam_pipelines.planning.recipes import load_recipe, plugin_recipes, recipe_names
from transforms.lib import plugins as entry_points
from transforms.lib import registry
from transforms.lib.errors import ConfigError


def models() -> str:
    """Returns every value that ``--model`` takes, one per line."""
    from transforms.lib.models import resolve

    return "\n".join(resolve.known_models())


def recipes() -> str:
    """Returns each recipe with its source and a sentence per step; those of other packages name these."""
    lines = []
    others = plugin_recipes()
    for name in [*recipe_names(), *(one for one in others if one not in recipe_names())]:
        package = f"  ({others[name].package})" if name not in recipe_names() else ""
        try:
            recipe = load_recipe(name)
        except ConfigError as error:
            if not package:
                raise
            lines += [f"{name}{package}", *(f"    broken: {line}" for line in error.problems)]
            continue
        lines += [f"{name}  [{recipe.source}]{package}"]
        lines += [f"    {step.label}: {step.sentence()}" for step in recipe.steps] or ["    Keep every sample."]
    return "\n".join(lines)


def plugins() -> str:
    """Returns every part that another package brings, whether it can be used, and why not; each is loaded once."""
    return "\n".join(_plugin_lines()) or "no package brings steps, annotators, scorers or recipes; docs/plugins.md"


def _plugin_lines() -> Iterator[str]:
    own: dict[str, Sequence[str]] = {
        entry_points.STEPS: list(registry.STEPS),
        entry_points.ANNOTATORS: list(registry.ANNOTATORS),
        entry_points.SCORERS: list(registry.SCORERS),
        entry_points.RECIPES: recipe_names(),
    }
    for group, names in own.items():
        for one in entry_points.Plugins(group).values():
            state = "not used: Winnow has one of this name" if one.name in names else _state(one)
            yield f"{group.removeprefix('winnow.').removesuffix('s')}  {one.name}  {one.package}  {state}"


def _state(one: entry_points.Plugin) -> str:
    """Returns whether a part can be used, and why not."""
    try:
        if one.group == entry_points.RECIPES:
            load_recipe(one.name)
        else:
            one.load()
    except ConfigError as error:
        return f"broken: {' '.join(error.problems)}"
    return "ok"


LISTS: Mapping[str, Callable[[], str]] = {"models": models, "recipes": recipes, "plugins": plugins}


def main(argv: Sequence[str]) -> int:
    """Prints the list that ``argv[0]`` names; returns the exit code: 0 done, 2 there were flags."""
    if len(argv) > 1:
        if argv[1] in ("-h", "--help"):
            print(f"usage: winnow {argv[0]}\n\n{COMMANDS[argv[0]].sentence}")
            return 0
        print(f"winnow {argv[0]}: {argv[1]} is unknown; it takes no flags", file=sys.stderr)
        return 2
    print(LISTS[argv[0]]())
    return 0
