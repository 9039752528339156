"""What lies in an output folder and no job has listed: readers of whole folders take it all the same."""

from __future__ import annotations

from collections.abc import Collection

from transforms.storage import filesystem

_READ = ("columns", "shards", "shard_stats", "ledger", "takedowns", "decisions", "selections")
"""Folders that Winnow or a loader reads whole."""


def extra(root: str, listed: Collection[str], shards: Collection[str], selection: str) -> list[str]:
    """Returns the files, sorted, that lie in a folder which is read whole, and that no job has listed.

    Files of selections that the manifest does not list are left out, since it lists those of the last one alone, and so
    is what shows the current one below the output folder.

    Args:
      root: the output folder.
      listed: paths below it that the manifest has.
      shards: names of the shards of the pool.
      selection: ID of the one that is looked at; empty for that of Winnow 0.1.
    """
    shown = {f"decisions/{name}.parquet" for name in shards} if selection else set()
    if not any(path.startswith(f"selections/{selection}/") for path in listed):
        selection = ""
    every = (info.uri.rsplit(root.rstrip("/") + "/", 1)[-1] for info in filesystem.children(root))
    return sorted(path for path in every if path not in listed and path not in shown and _counts(path, selection))


def _counts(path: str, selection: str) -> bool:
    folder, *below = path.split("/")
    if folder not in _READ or not below:
        return False
    return folder != "selections" or below[0] == selection
