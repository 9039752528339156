"""Which column set, or column, of a pool a flag means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transforms.lib.errors import ConfigError

ColumnSets = Mapping[str, Sequence[str]]
"""Column set -> its columns, of the sets that every shard of a pool has."""


def choose(
    flag: str, given: str, choices: Sequence[str], *, what: str, hint: str, defaults: Sequence[str] | None = None
) -> str:
    """Returns the one of ``choices`` that a flag means.

    Args:
      flag: its name, for the message.
      given: its value; empty where it was left out.
      choices: every value that it can have.
      what: what such a value is, for the message.
      hint: how to get one, for the message where there is none.
      defaults: those of ``choices`` that a missing flag can mean; all where None.

    Raises:
      ConfigError: ``given`` is none of them, or is empty and there is not exactly one default.
    """
    known = f"there are {', '.join(choices)}" if choices else f"there are none; {hint}"
    if given and given not in choices:
        raise ConfigError(f"{flag} {given} is no {what}; {known}")
    defaults = choices if defaults is None else defaults
    if not given and len(defaults) != 1:
        raise ConfigError(f"{flag} is missing; name a {what}; {known}")
    return given or defaults[0]


def choose_set(flag: str, given: str, sets: ColumnSets, needs: Sequence[str], made_by: str = "winnow score") -> str:
    """Returns the column set that a flag names, or the only one that has the columns ``needs``.

    Args:
      flag: its name, for the message.
      given: its value; empty where it was left out.
      sets: those of the pool.
      needs: names of columns.
      made_by: the command that adds such a set.

    Raises:
      ConfigError: there is none, or it is not clear which.
    """
    choices = [name for name, columns in sets.items() if set(needs) <= set(columns)]
    listed = " and ".join(filter(None, (", ".join(needs[:-1]), needs[-1])))
    return choose(flag, given, choices, what=f"column set with {listed}", hint=f"`{made_by}` adds one")
