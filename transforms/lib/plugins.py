"""Parts that other packages bring: found by their entry points, loaded when they are named, and never at a start.

A package names them in its ``pyproject.toml``, for example ``[project.entry-points."winnow.steps"]`` with the line
``near_best = "my_package:NearBest"``. One that is broken is an error of whoever names it, and of nobody else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from transforms.lib.errors import ConfigError
from transforms.lib.stamps import sha256_of

STEPS, ANNOTATORS, SCORERS, RECIPES = (f"winnow.{kind}" for kind in ("steps", "annotators", "scorers", "recipes"))
_BASES = {
    STEPS: ("transforms.lib.recipes.contract.step", "Step", "kind"),
    ANNOTATORS: ("transforms.lib.annotators.annotator", "Annotator", "column_sets"),
    SCORERS: ("transforms.lib.models.scorer", "Scorer", ""),
}
"""Group -> module and name of the class to derive from, and the attribute that states the name of the entry point."""
_NAMED_BY = {STEPS: ("label",), ANNOTATORS: ("name",)}  # the parameter that has no default


@dataclasses.dataclass(frozen=True)
class Plugin:
    """An entry point of another package.

    Attributes:
      group: one of the four above.
      name: what recipes and flags call it.
      value: where it is, ``module:attribute``; of a recipe the package whose file NAME.yaml it is.
      package: name and version of the package; several where more than one registers the name.
    """

    group: str
    name: str
    value: str
    package: str

    @property
    def facts(self) -> Mapping[str, Any]:
        """What ``registry.Entry`` says of a part of Winnow's own; the class is imported to find out."""
        loaded = self.load()
        return {name: getattr(loaded, name) for name in ("related",) if hasattr(loaded, name)}

    def load(self) -> Any:
        """Imports the module and returns the class.

        Raises:
          ConfigError: it cannot be used: one line with the name, the package, the reason and the cure.
        """
        if self.value == "":
            raise ConfigError(f"{self._words}: more than one package has it; uninstall all but one")
        module, _, attribute = self.value.partition(":")
        with self._named():
            loaded = getattr(importlib.import_module(module), attribute)
        base_module, base_name, states = _BASES[self.group]
        base = getattr(importlib.import_module(base_module), base_name)
        if not (inspect.isclass(loaded) and issubclass(loaded, base)):
            raise self._broken(f"{self.value} is no class that derives from winnow.plugins.{base_name}")
        if inspect.isabstract(loaded):
            lacking = ", ".join(sorted(getattr(loaded, "__abstractmethods__", ())))
            raise self._broken(f"{self.value} lacks {lacking}")
        stated = getattr(loaded, states, None) if states else self.name
        if self.name not in ((stated,) if isinstance(stated, str) else stated or ()):
            raise self._broken(f"{self.value} states {states} = {stated!r}, and not {self.name!r}")
        with self._named(f"{self.value} cannot be made without parameters; give each a default; "):
            loaded(**dict.fromkeys(_NAMED_BY.get(self.group, ()), self.name))
        return loaded

    def text(self) -> str:
        """Returns the YAML of a recipe.

        Raises:
          ConfigError: it cannot be read.
        """
        from importlib import resources

        if self.value == "":
            raise ConfigError(f"{self._words}: more than one package has it; uninstall all but one")
        with self._named():
            return (resources.files(self.value.partition(":")[0]) / f"{self.name}.yaml").read_text(encoding="utf-8")

    @property
    def _words(self) -> str:
        return f"plug-in {self.name!r} ({self.group}) of {self.package}"

    @contextlib.contextmanager
    def _named(self, what: str = "") -> Iterator[None]:
        """Turns whatever somebody else's code raises when it is imported or made into one line that names it."""
        try:
            yield
        except Exception as error:
            raise self._broken(f"{what}{type(error).__name__}: {error}") from error

    def _broken(self, why: str) -> ConfigError:
        package = self.package.partition(" ")[0]
        return ConfigError(
            f"{self._words} cannot be used: {' '.join(why.split())}; mend it, or `pip uninstall {package}`"
        )


class Plugins(Mapping[str, Plugin]):
    """The entry points of one group, by name, sorted; the environment is looked through when they are first asked for.

    Args:
      group: such as ``winnow.steps``.
    """

    def __init__(self, group: str) -> None:
        self.group = group

    def __getitem__(self, name: str) -> Plugin:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    @functools.cached_property
    def _found(self) -> dict[str, Plugin]:
        found: dict[str, Plugin] = {}
        for point in sorted(metadata.entry_points(group=self.group), key=lambda one: (one.name, one.value)):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package without a name"
            one = Plugin(self.group, point.name, point.value, package)
            other = found.get(point.name)
            if other and (other.value, other.package) != (one.value, one.package):
                one = dataclasses.replace(one, value="", package=f"{other.package} and {package}")
            found[point.name] = one
        return found


def digest_of(kind: type) -> str:
    """Returns the sha256 of the module that holds a class of a plug-in; "" for a class of Winnow itself.

    What a plug-in decides depends on its code, so stamps hold this.
    """
    if kind.__module__.startswith("transforms."):
        return ""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return sha256_of(file) if file else ""
