"""What a run tells of the tars it read: what lies in them beside samples, and what may be missing."""

from __future__ import annotations

from collections.abc import Mapping

from transforms.lib.tar_account import MISNAMED, REMARKED, TarAccount

_COUNTER = "score.tar_"
_REMARKS = {
    "keyless": "members that belong to no sample (no extension, __NAME__, a Mac's ._NAME) and are left out: {:,}",
    "joined": "end marks with samples behind them, as in tars that cat joined; these samples are read too: {:,}",
    "holes": "zero bytes where members should be; samples are missing, and nobody knows how many: {:,}",
    "unmarked": "shards that end behind a member without an end mark; some tools write them so, or they are cut: {:,}",
    "broken": "packed shards that are damaged or cut; nothing behind that can be read: {:,}",
    "unused_rows": "rows of metadata.csv and metadata.jsonl that are not used, since their file_name is that of no "
    "picture that is there, or of one that a later row names: {:,}",
}


def sentence(counters: Mapping[str, int]) -> str:
    """Returns a line for each thing that a user should know of the tars of a run; "" for nothing.

    Args:
      counters: ``score.NAME`` -> count.
    """
    counts = {name: counters.get(_COUNTER + name, 0) for name in REMARKED}
    lines = [
        f"shards whose name says {named} and that are {packing} inside; they are read as what they are: {count:,}"
        for name, count in counters.items()
        if name.startswith(f"score.{MISNAMED}") and count
        for named, packing in [name.removeprefix(f"score.{MISNAMED}").split("_")]
    ]
    return "\n".join([*lines, *_remarks(counts)])


def sentences(account: TarAccount) -> list[str]:
    """Returns a line for each thing that a user should know of all tars of a pool, by their account."""
    return _remarks({name: getattr(account, name) for name in REMARKED})


def _remarks(counts: Mapping[str, int]) -> list[str]:
    return [_REMARKS[name].format(count) for name, count in counts.items() if count]
