"""The jobs that make the columns which a recipe reads and a pool lacks: score, annotate, cluster, dedup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from beam_pipelines.config.annotate import AnnotateConfig
from beam_pipelines.config.base import flags_of
from beam_pipelines.config.jobs import JOBS
from beam_pipelines.config.train_filter import DEFAULT_MODEL
from beam_pipelines.planning.annotate import annotator_of
from transforms.lib import registry
from transforms.lib.columnstore import columns
from transforms.lib.columnstore.hints import hint_for
from transforms.lib.errors import ConfigError

_CLUSTERS = re.compile(r"cluster_k([1-9]\d{0,5})")
_DUPLICATES = re.compile(r"dedup_(exact|uid|phash|semantic)")
_PICTURES = ("score", "image", "text")  # what a network adds
_ORDER = ("score", "annotate", "cluster", "dedup")

Sets = Mapping[str, Sequence[str]]
"""Column set -> its columns."""


class Call(NamedTuple):
    """A job to run, with its flags.

    Attributes:
      job: its name.
      flags: flag -> value; a list for a flag that may be repeated.
    """

    job: str
    flags: dict[str, Any]

    def argv(self) -> list[str]:
        """Returns the flags as words of a command line."""
        words = []
        for name, value in self.flags.items():
            words += [f"--{name}={one}" for one in (value if isinstance(value, list | tuple) else [value])]
        return words


def lacking(names: Iterable[str], sets: Sets) -> list[str]:
    """Returns the columns that no column set has; of a name that several have, ``columns.resolve`` says so."""
    missing = []
    for name in names:
        try:
            columns.resolve([name], sets)
        except ConfigError as error:
            if "is in several column sets" not in error.problems[0]:
                missing.append(name)
    return missing


def calls_for(
    names: Iterable[str], sets: Sets, pool: Mapping[str, Any], output: str, hints: Mapping[str, str] | None = None
) -> list[Call]:
    """Returns the jobs that make columns, in the order in which they must run.

    Args:
      names: columns that are lacking, ``set.column`` or bare.
      sets: the column sets that there are.
      pool: flags of ``winnow score`` that say what the pool is: ``input`` and how it is read.
      output: the output folder.
      hints: column -> how to get it, where a recipe knows better than ``hint_for``.

    Raises:
      ConfigError: for some there is no such job, or it needs a flag that only the user knows; all of them.
    """
    found: dict[str, list[Call]] = {job: [] for job in _ORDER}
    problems: list[str] = []
    annotated: list[str] = []
    embedded = any("image" in names for names in sets.values())
    clusters = [name for name, held in sets.items() if {"cluster", "similarity"} <= set(held)]
    for owner in dict.fromkeys(name.partition(".")[0] for name in names):
        fitted, duplicates = _CLUSTERS.fullmatch(owner), _DUPLICATES.fullmatch(owner)
        needs_pictures = bool(fitted) or owner == "dedup_semantic"
        if owner in registry.ANNOTATORS:
            needs_pictures = bool(registry.ANNOTATORS[owner].facts.get("related"))
            problems += _annotation_problems(owner, output)
            annotated.append(owner)
        elif fitted:
            found["cluster"].append(Call("cluster", {"output": output, "k": int(fitted[1])}))
            clusters.append(owner)
        elif duplicates:
            found["dedup"].append(Call("dedup", {"output": output, "by": duplicates[1]}))
        elif owner not in (*_PICTURES, DEFAULT_MODEL):
            problems.append(f"no job can make {owner!r} by itself: {(hints or {}).get(owner) or hint_for(owner)}")
        else:
            needs_pictures = True
        if needs_pictures and not embedded:
            embedded = True
            found["score"].append(Call("score", {"output": output, **pool}))
    if annotated:
        found["annotate"].append(Call("annotate", {"output": output, "columns": ",".join(annotated)}))
    _name_clusters(found, clusters, output)
    if problems:
        raise ConfigError(problems)
    return [call for job in _ORDER for call in found[job]]


def _annotation_problems(name: str, output: str) -> list[str]:
    """Returns why an annotator cannot be made without more flags, such as ``--target``."""
    try:
        annotator_of(name, AnnotateConfig(output=output, columns=(name,)), "")
    except ConfigError as error:
        return [f"{name} cannot be made by itself: {line}" for line in error.problems]
    return []


def _name_clusters(found: dict[str, list[Call]], clusters: Sequence[str], output: str) -> None:
    """Names the clusters inside which semantic duplicates are looked for; makes some where there are none."""
    for call in found["dedup"]:
        if call.flags["by"] != "semantic":
            continue
        if not clusters:
            found["cluster"].append(Call("cluster", {"output": output}))
            clusters = ["cluster_k500"]
        call.flags["clusters"] = clusters[-1]


def pool_flags(pool: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the flags of ``winnow score`` for a pool, of what ``run.json`` says of it."""
    known = flags_of(JOBS["score"].settings)
    return {name: value for name, value in pool.items() if name in known and name != "output" and value not in ("", [])}
