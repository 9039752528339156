"""``winnow models`` and ``winnow recipes``: what can be given to ``--model`` and ``--recipe``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from beam_pipelines.planning.recipes import load_recipe, recipe_names


def models() -> str:
    """Returns every value that ``--model`` takes, one a line."""
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
    """Prints the list that ``argv[0]`` names."""
    if len(argv) > 1:
        wanted = argv[1] in ("-h", "--help")
        print(
            __doc__ if wanted else f"winnow {argv[0]}: {argv[1]} is unknown; it takes no flags",
            file=sys.stderr,
        )
        return 0 if wanted else 2
    print(models() if argv[0] == "models" else recipes())
    return 0
