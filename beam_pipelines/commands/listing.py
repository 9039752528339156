"""``winnow models`` and ``winnow recipes``: what can be given to ``--model`` and ``--recipe``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from beam_pipelines.config.jobs import COMMANDS
from beam_pipelines.planning.recipes import load_recipe, recipe_names


def models() -> str:
    """Returns every value that ``--model`` takes, one per line."""
    from transforms.lib.models import resolve

    return "\n".join(resolve.known_models())


def recipes() -> str:
    """Returns each recipe with its source and a sentence per step."""
    lines = []
    for name in recipe_names():
        recipe = load_recipe(name)
        lines += [f"{name}  [{recipe.source}]"]
        lines += [f"    {step.label}: {step.sentence()}" for step in recipe.steps] or ["    Keep every sample."]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    """Prints the list that ``argv[0]`` names; returns the exit code: 0 done, 2 there were flags."""
    if len(argv) > 1:
        if argv[1] in ("-h", "--help"):
            print(f"usage: winnow {argv[0]}\n\n{COMMANDS[argv[0]].sentence}")
            return 0
        print(f"winnow {argv[0]}: {argv[1]} is unknown; it takes no flags", file=sys.stderr)
        return 2
    print(models() if argv[0] == "models" else recipes())
    return 0
