"""Say what a pool will cost, before any work starts.

winnow plan --samples 1000000000 --gflop_per_pair 14.8 --set l4_hour=0.6
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from beam_pipelines.cloud import costs
from beam_pipelines.running import options
from transforms.lib import similar
from transforms.lib.errors import ConfigError


def changes(texts: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Returns the inputs that ``--set`` replaces, name -> number, and what is wrong with its values, one line each."""
    values: dict[str, float] = {}
    problems = []
    for text in texts:
        name, _, value = text.partition("=")
        if name not in costs.INPUTS:
            near = similar.nearest(name, costs.INPUTS, 3) or list(costs.INPUTS)
            problems.append(f"--set {text}: there is no input {name!r}; there is {', '.join(near)}")
            continue
        try:
            values[name] = float(value)
        except ValueError:
            values[name] = -1.0
        if not 0 < values[name] < float("inf"):
            problems.append(f"--set {text}: the value must be a number above 0")
    return values, problems


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the plan; returns the exit code: 0 done, 2 the request is wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    config, problems = options.parse_tool("plan", args)
    changed, set_problems = changes(config.set)
    problems += set_problems
    for line in problems:
        print(f"winnow plan: {line}", file=sys.stderr)
    if problems:
        return ConfigError.exit_code
    given = costs.inputs(changed)
    if config.print == "json":
        print(json.dumps(costs.as_values(config, given), indent=1))
    else:
        print(costs.tables(config, given) if config.print == "markdown" else costs.text(config, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
