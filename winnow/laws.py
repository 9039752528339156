"""The laws that every step, annotator and scorer keeps, for the tests of a package of one's own.

    import pytest
    from winnow import laws

    @pytest.mark.parametrize("law", laws.of_step("near_best", {"distance": 0.2}), ids=str)
    def test_the_step(law):
        law()

The same checks test Winnow's own parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from winnow import laws_of_annotators, laws_of_scorers, laws_of_steps

__all__ = ["Law", "of_annotator", "of_scorer", "of_step"]


@dataclasses.dataclass(frozen=True)
class Law:
    """A check of one part; it raises ``AssertionError`` where the law does not hold.

    Attributes:
      name: what must hold, as a sentence with underscores.
      check: the check.
    """

    name: str
    check: Callable[[], None]

    def __call__(self) -> None:
        """Checks."""
        self.check()

    def __str__(self) -> str:
        return self.name


def of_step(kind: str, settings: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None) -> list[Law]:
    """Returns the laws of a step with one set of parameters.

    Args:
      kind: of the step, Winnow's own or that of an entry point of an installed package.
      settings: parameter -> value, as a recipe gives them.
      files: parameter -> path, of the parameters that name a file.
    """
    return _laws(laws_of_steps.LAWS, lambda: laws_of_steps.Case(kind, settings or {}, files or {}))


def of_annotator(
    name: str, flags: Mapping[str, Any] | None = None, files: Mapping[str, str] | None = None
) -> list[Law]:
    """Returns the laws of an annotator with one set of flags.

    Args:
      name: of its column set.
      flags: flag of ``winnow annotate`` -> value, for the fields that have the name of one.
      files: flag -> path, of the flags that name a file.
    """
    return _laws(laws_of_annotators.LAWS, lambda: laws_of_annotators.Case(name, flags or {}, files or {}))


def of_scorer(name: str) -> list[Law]:
    """Returns the laws of a scorer; ``name`` is that of its entry point."""
    return _laws(laws_of_scorers.LAWS, lambda: laws_of_scorers.Case(name))


def _laws(checks: Iterable[Callable[[Any], None]], case: Callable[[], Any]) -> list[Law]:
    return [Law(check.__name__, lambda check=check: check(case())) for check in checks]  # type: ignore[misc]
