"""The pages of ``winnow browse``: what an address asks for, and the answer."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from beam_pipelines.running.local_page import Answer
from transforms.browse import MOST, PAGE, Browser, Query
from transforms.lib import uids
from transforms.lib.columnstore.conditions import COMPARISONS, Condition
from transforms.lib.errors import ConfigError, CurationError
from transforms.lib.report import browse_page

_CONDITIONS = 3  # of the form
_OWN = ("uid", "key", "shard", "caption")  # shown apart from the rest

Fields = Mapping[str, list[str]]


def query_of(fields: Fields) -> Query:
    """Returns what the fields of an address ask for; what has no column is no condition."""
    lists = [fields.get(name, []) for name in ("column", "comparison", "value")]
    found = tuple(Condition(*one) for one in zip(*lists, strict=False) if one[0])
    start = fields.get("start", ["0"])[0]
    descending = fields.get("order", ["down"])[0] != "up"
    return Query(found, fields.get("sort", [""])[0], descending, int(start) if start.isdecimal() else 0)


def _link(query: Query, start: int) -> str:
    pairs = [(name, value) for one in query.conditions for name, value in one._asdict().items()]
    return urlencode([*pairs, ("sort", query.sort), ("order", "down" if query.descending else "up"), ("start", start)])


class Pages:
    """What ``winnow browse`` answers.

    Args:
      browser: reads the samples.
      title: of the page.
    """

    def __init__(self, browser: Browser, title: str) -> None:
        self._browser, self._title = browser, title
        refs = browser.find(["uid"], None).refs
        self._numbers = {ref.name: number for number, ref in enumerate(refs)}

    def first(self, fields: Fields) -> Answer:
        """Returns the page of a query; with what is wrong with it."""
        query, problems, total, shown = query_of(fields), [], 0, []
        try:
            self._browser.check(query)
            total, places = self._browser.page(query)
            shown = self._shown(places, query)
        except CurationError as error:
            problems = list(getattr(error, "problems", [str(error)]))
        more = query.start + PAGE < min(total, MOST)
        text, policy = browse_page.render(
            title=self._title,
            names=self._browser.schema.names,
            comparisons=list(COMPARISONS),
            conditions=[*query.conditions, *[Condition("", "=", "")] * _CONDITIONS][:_CONDITIONS],
            query=query,
            problems=problems,
            total=total,
            samples=shown,
            link=_link(query, 0),
            before=_link(query, max(0, query.start - PAGE)) if query.start else None,
            after=_link(query, query.start + PAGE) if more else None,
        )
        return Answer(text.encode(), headers={"Content-Security-Policy": policy}, status=400 if problems else 200)

    def _shown(self, places: Sequence[tuple[str, int]], query: Query) -> list[dict[str, Any]]:
        asked = [*(one.column for one in query.conditions), query.sort, "status"]
        names = list(dict.fromkeys([*_OWN, *filter(None, asked)]))
        rows = self._browser.rows(places, names)
        return [
            {
                "place": urlencode({"shard": self._numbers[shard], "row": row}),
                "caption": values["caption"],
                "uid": values["uid"],
                "facts": [(name, str(value)) for name, value in values.items() if name not in ("uid", "caption")],
            }
            for (shard, row), values in zip(places, rows, strict=True)
        ]

    def picture(self, fields: Fields) -> Answer:
        """Returns a small picture of a sample."""
        numbers = [fields.get(name, [""])[0] for name in ("shard", "row")]
        try:
            jpeg = self._browser.picture(*map(int, numbers)) if all(map(str.isdecimal, numbers)) else b""
        except (CurationError, LookupError, OSError, ValueError):
            jpeg = b""
        return Answer(jpeg, "image/jpeg") if jpeg else Answer(b"no picture", "text/plain", status=404)

    def subset(self, fields: Fields) -> Answer:
        """Returns the uids of all samples of a query, as a subset file."""
        query = query_of(fields)
        try:
            self._browser.check(query)
        except ConfigError as error:
            return Answer("\n".join(error.problems).encode(), "text/plain; charset=utf-8", status=400)
        file = io.BytesIO()
        uids.write_subset(file, self._browser.uids(query))
        headers = {"Content-Disposition": 'attachment; filename="subset.npy"'}
        return Answer(file.getvalue(), "application/octet-stream", headers)
