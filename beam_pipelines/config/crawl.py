"""Flags of recurring curation: the crawl, the source of its thresholds, and its gate. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import datetime
import re
from typing import TYPE_CHECKING, Any

from beam_pipelines.config.base import Config, Form, flag

if TYPE_CHECKING:
    from typing import Self

FOLDER = "crawls"  # below --output; it has one folder per crawl
DAYS = {"{date}": 0, "{yesterday}": 1}
"""Value of --crawl_id that a schedule can give every day -> how many days before the start of the job it means."""

AGAINST = {"none": "", "kept_images": "images", "kept_uids": "uids"}
"""Value of --dedup_against -> what duplicates have in common; empty where earlier crawls are not compared."""

_ID = Form(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}", "letters, digits, _ and -, at most 64")
_ID_HINT = "a date such as 2026-11-21 is best"
_PATTERN = re.compile(r"\{crawl_id(?::([^}]*))?\}")


def filled(pattern: str, crawl_id: str) -> str:
    """Returns an input pattern with ``{crawl_id}`` replaced by the id, and ``{crawl_id:%Y/%m}`` by parts of its date.

    Raises:
      ValueError: the pattern wants parts of a date, and the id is no date.
    """

    def text(match: re.Match[str]) -> str:
        return datetime.date.fromisoformat(crawl_id).strftime(match[1]) if match[1] else crawl_id

    return _PATTERN.sub(text, pattern)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolConfig(Config):
    """Where the pool of a job is: in a folder of its own, or as one of many crawls."""

    crawl_id: str = flag(
        "",
        f"name of a crawl, such as 2026-11-21; ids sort in the order of crawls; the job then works in "
        f"OUTPUT/{FOLDER}/ID, and {{crawl_id}} in --input stands for it, {{crawl_id:%Y/%m/%d}} for parts of a date; "
        "{date} is the day in UTC on which the job is started, {yesterday} the one before",
        form=_ID,
        hint=_ID_HINT,
        operational=True,
    )

    def _inputs(self) -> tuple[str, ...]:
        return tuple(getattr(self, "input", ()))

    def problems(self) -> list[str]:
        problems = super().problems()
        if not self.crawl_id:
            dated = [text for text in self._inputs() if _PATTERN.search(text)]
            return problems + [f"--crawl_id is missing; --input {text!r} is filled in with it" for text in dated]
        for text in self._inputs() if _ID.matches(self.crawl_id) else ():
            try:
                filled(text, self.crawl_id)
            except ValueError:
                problems.append(f"--input {text!r} asks for parts of a date, and --crawl_id {self.crawl_id} is none")
        return problems

    def dated(self, today: datetime.date) -> Self:
        """Returns the settings with ``{date}`` and ``{yesterday}`` replaced by dates such as 2026-11-21."""
        if self.crawl_id not in DAYS:
            return self
        day = today - datetime.timedelta(days=DAYS[self.crawl_id])
        return dataclasses.replace(self, crawl_id=day.isoformat())

    def placed(self) -> Self:
        """Returns the settings with ``output`` and ``input`` of this crawl; placed settings stay as they are."""
        if not self.crawl_id:
            return super().placed()
        folder = f"{FOLDER}/{self.crawl_id}"
        output = super().placed().output.rstrip("/")
        changes: dict[str, Any] = {"output": output if output.endswith(f"/{folder}") else f"{output}/{folder}"}
        if hasattr(self, "input"):
            changes["input"] = tuple(filled(text, self.crawl_id) for text in self._inputs())
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BasisConfig(PoolConfig):
    """What decides about a crawl beside its own samples: thresholds of other crawls, and what they kept."""

    thresholds: str = flag(
        "fitted",
        "where the thresholds of a crawl come from: fitted, on it alone; pooled, over it and every earlier one that "
        "passed its gate; or frozen:CRAWL, those of that crawl",
        form=Form(r"(?s)fitted|pooled|frozen:.+", "fitted, pooled or frozen:CRAWL"),
    )
    dedup_against: str = flag(
        "none",
        "drop samples that an earlier crawl kept, if that crawl passed its gate",
        choices={name: what and f"by their {what}" for name, what in AGAINST.items()},
    )

    def frozen(self) -> str:
        """Returns the id of the crawl whose thresholds are taken; empty for none."""
        return self.thresholds.removeprefix("frozen:") if self.thresholds.startswith("frozen:") else ""

    def problems(self) -> list[str]:
        problems = super().problems()
        frozen = self.frozen()
        if frozen and not _ID.matches(frozen):
            problems.append(f"--thresholds frozen:CRAWL must be {_ID.words}, got {frozen!r}; {_ID_HINT}")
        if frozen and frozen == self.crawl_id:
            problems.append(f"--thresholds {self.thresholds} is this very crawl; name an earlier one, or leave it out")
        for name, rests in (("thresholds", "fitted"), ("dedup_against", "none")):
            if getattr(self, name) != rests and not self.crawl_id:
                problems.append(f"--crawl_id is missing; --{name} {getattr(self, name)} looks at other crawls")
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateConfig(PoolConfig):
    """The gate: when a crawl becomes the latest."""

    gate_retention: str = flag(
        "", "LOW,HIGH: publish the crawl only when the share kept of all samples lies between", operational=True
    )
    gate_drift: float | None = flag(
        None,
        "publish the crawl only when the Kolmogorov-Smirnov distance of its scores to the latest crawl's is at most "
        "this",
        at_least=0,
        at_most=1,
        hint="0 admits equal scores only",
        operational=True,
    )
    allow_older: bool = flag(False, "publish the crawl also when its id sorts before the latest's", operational=True)

    compare_with: str = flag(
        "",
        "id of the crawl to compare this one with, or none; default: the latest; needed when that one is gone",
        form=_ID,
        hint=_ID_HINT,
        operational=True,
    )

    def retention(self) -> tuple[float, float]:
        """Returns the bounds of the share kept; 0 and 1 when none are given.

        Raises:
          ValueError: the flag is not two numbers.
        """
        if not self.gate_retention:
            return 0.0, 1.0
        low, high = (float(text) for text in self.gate_retention.split(","))
        return low, high

    def problems(self) -> list[str]:
        problems = super().problems()
        try:
            low, high = self.retention()
            good = 0 <= low <= high <= 1
        except ValueError:
            good = False
        if not good:
            problems.append(
                f"--gate_retention must be LOW,HIGH with 0 <= LOW <= HIGH <= 1, got {self.gate_retention!r}; "
                "0.1,0.2 admits 10 to 20 %"
            )
        if self.compare_with and self.compare_with == self.crawl_id:
            problems.append(f"--compare_with {self.compare_with} is this very crawl; name another one, or none")
        given = [
            name
            for name in ("gate_retention", "gate_drift", "allow_older", "compare_with")
            if getattr(self, name) not in ("", None, False)
        ]
        if given and not self.crawl_id:
            problems.append(f"--crawl_id is missing; --{given[0]} is about publishing a crawl")
        return problems


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublishConfig(GateConfig):
    """Flags of ``publish``."""

    def problems(self) -> list[str]:
        return [
            *super().problems(),
            *([] if self.crawl_id else ["--crawl_id is missing; name the crawl that is to be published"]),
        ]
