"""What every job's settings have: fields that are flags, and their check. Imports nothing heavy.

A field is declared once, by ``flag``: its default, its words and which values it takes. The help text, the check and
the parameters of the templates all come from that declaration. ``problems`` of a class adds conditions between flags.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from transforms.lib import addresses
from transforms.lib.addresses import without_secrets

if TYPE_CHECKING:
    from typing import Self


class Form(NamedTuple):
    """What a text must look like.

    Attributes:
      pattern: regular expression that matches the whole text.
      words: the same for people, after "must be".
    """

    pattern: str
    words: str

    def matches(self, text: str) -> bool:
        """Returns whether the whole text has the form."""
        return re.fullmatch(self.pattern, text) is not None


SET_NAME = Form(r"[A-Za-z0-9_-]+", "letters, digits, _ and -")
"""Form of the name of a column set."""


class Range(NamedTuple):
    """An interval of finite numbers; a bound that is None does not bind."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def holds(self, value: float) -> bool:
        """Returns whether a number is in the interval."""
        return (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def text(self, whole: bool) -> str:
        """Returns the interval in words: ``at least 1``, ``in 0 .. 8`` of whole numbers, ``in [0, 1)`` of others."""
        low = self.above if self.at_least is None else self.at_least
        high = self.below if self.at_most is None else self.at_most
        if low is not None and high is not None:
            marks = "[" if self.above is None else "(", "]" if self.below is None else ")"
            return f"in {low} .. {high}" if whole else f"in {marks[0]}{low:g}, {high:g}{marks[1]}"
        bounds = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        return next((f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None), "")


class Flag(NamedTuple):
    """The declaration of one flag; the arguments of ``flag`` say what each part means."""

    words: str
    default: Any
    choices: Mapping[str, str]
    range: Range
    form: Form | None
    required: str
    hint: str
    operational: bool
    positional: bool

    def help(self) -> str:
        """Returns the whole help text but the default: words, values, range, and whether it is required.

        The values and the range follow the first clause of the words.
        """
        head, mark, rest = self.words.partition(";")
        values = any_of([f"{name} ({meaning})" if meaning else name for name, meaning in self.choices.items()])
        whole = isinstance(self.default, int)
        limits = "" if whole and self.range == Range(at_least=0) else self.range.text(whole)  # counts are not negative
        text = head + (f": {values}" if values else "") + (f", {limits}" if limits else "") + mark + rest
        return text + (" (required)" if self.required else "")

    def problems(self, name: str, value: Any) -> Iterable[str]:
        """Yields what is wrong with a value, one line each; the default is always allowed.

        Args:
          name: of the flag, without hyphens in front.
          value: of the flag; of a repeated one, a tuple.
        """
        if self.required and not value:
            yield f"--{name} is missing; {self.required}"
        if value == self.default or value is None:
            return
        for one in value if isinstance(value, tuple) else (value,):
            allowed = self._allowed(one)
            if allowed:
                yield f"--{name} must be {allowed}, got {one!r}{self.hint and '; '}{self.hint}"

    def _allowed(self, value: Any) -> str:
        """Returns what a value must be, after "must be"; empty where it is so."""
        if self.choices and value not in self.choices:
            return any_of(list(self.choices))
        if self.form and not self.form.matches(value):
            return self.form.words
        if self.range != Range() and not self.range.holds(value):
            limits = self.range.text(isinstance(value, int))
            return f"{limits} and finite" if math.isinf(value) and not limits.startswith("in ") else limits
        return ""


def any_of(names: Sequence[str]) -> str:
    """Returns names as words: ``a, b or c``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def names_in(values: Iterable[str]) -> tuple[str, ...]:
    """Returns the names in the values of a repeated flag, each of them a list separated by commas; each name once."""
    return tuple(dict.fromkeys(name.strip() for text in values for name in text.split(",") if name.strip()))


def flag(
    default: Any,
    words: str,
    *,
    choices: Iterable[str] | Mapping[str, str] = (),
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    form: Form | None = None,
    required: str = "",
    hint: str = "",
    operational: bool = False,
    positional: bool = False,
) -> Any:
    """Returns a dataclass field that is also a command line flag.

    Args:
      default: a tuple for a flag that may be repeated; its values are allowed without a check.
      words: a phrase that says what the flag is, with its unit; clauses are separated by semicolons.
      choices: every value there is; as a mapping, value -> what it means, empty where the value says it.
      at_least: smallest number allowed.
      above: number that the value must exceed.
      at_most: largest number allowed.
      below: number that the value must stay under.
      form: what a text must look like; of a repeated flag, each of its texts.
      required: what to do when the flag is missing; empty for a flag that may be left out.
      hint: what ends a message about a wrong value.
      operational: the flag says where or how fast, not what; no stamp depends on it.
      positional: the values are given without the name of the flag.
    """
    declared = Flag(
        words=words,
        default=default,
        choices=choices if isinstance(choices, Mapping) else dict.fromkeys(choices, ""),
        range=Range(at_least, above, at_most, below),
        form=form,
        required=required,
        hint=hint,
        operational=operational,
        positional=positional,
    )
    return dataclasses.field(default=default, metadata={"flag": declared})


def flags_of(settings: type[Flags]) -> dict[str, Flag]:
    """Returns the flags of a class of settings, name -> declaration, in the order of its fields."""
    return {field.name: field.metadata["flag"] for field in dataclasses.fields(settings)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags:
    """What a command can be given."""

    def problems(self) -> list[str]:
        """Returns what is wrong with the values, one line each: flag, value, what is allowed, hint."""
        flags = flags_of(type(self)).items()
        return [line for name, declared in flags for line in declared.problems(name, getattr(self, name))]

    def dated(self, today: datetime.date) -> Self:
        """Returns the settings with dates in the place of words such as ``{yesterday}``.

        Args:
          today: the day in UTC on which the job is started.
        """
        return self

    def placed(self) -> Self:
        """Returns the settings as the job uses them, with folders filled in; only for settings without problems."""
        return self

    def own(self) -> Self:
        """Returns the settings of one job of several that share a flag, with what the flag says to this job alone."""
        return self

    def recorded(self) -> dict[str, Any]:
        """Returns the values that determine the output, as JSON values: all but those about where and how fast.

        Repeated flags are sorted, since their order says nothing. Signatures in web addresses are left out.
        """
        skip = {name for name, declared in flags_of(type(self)).items() if declared.operational} | {"output"}
        values = dataclasses.asdict(self)
        return {n: _recorded(v) for n, v in sorted(values.items()) if n not in skip}


def _recorded(value: Any) -> Any:
    if isinstance(value, tuple):
        return sorted(map(_recorded, value))
    return without_secrets(value) if isinstance(value, str) else value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Flags):
    """Where a job works; every job that knows a pool has it."""

    output: str = flag(
        "",
        "folder that holds everything Winnow writes: local, gs:// or s3://",
        required="name the folder that Winnow writes to",
    )

    def placed(self) -> Self:
        return dataclasses.replace(super().placed(), output=addresses.without_scheme(self.output))
