"""What of a file of jobs is done already, by a record beside the output."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from beam_pipelines.config.jobs import JOBS
from beam_pipelines.planning.plan_facts import version
from transforms import shards
from transforms.lib.errors import ConfigError
from transforms.outputs import manifest, sealed_json
from transforms.storage import filesystem

NAME = "jobs_done.json"
_SECTIONS = {"curate": ("score", "select", "reshard", "publish", "crawl")}  # job -> its sections, if not its name


def digests(calls: Sequence[tuple[str, Any, Sequence[str]]]) -> list[str]:
    """Returns one digest per job: of its flags, the files that these name, Winnow's version, and all jobs before it.

    Args:
      calls: jobs in their order, with settings and flags.
    """
    found: list[str] = []
    before = version()
    for job, config, argv in calls:
        facts = [before, job, sorted(argv), list(_traces(config))]
        before = hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogatepass")).hexdigest()
        found.append(before)
    return found


def _traces(config: Any) -> Iterator[list[Any]]:
    """Yields what the shards and files that settings name are now."""
    for name, value in sorted(vars(config).items()):
        texts = [text for text in (value if isinstance(value, tuple) else [value]) if isinstance(text, str) and text]
        if name == "input" and texts:
            try:
                found = shards.find_shards(tuple(texts), tell=lambda _: None)
                yield [name, *sorted(shard.stamp for shard in found)]
                continue
            except ConfigError:  # no shards, but tables or a list
                pass
        if name in ("output", "to"):
            continue
        for text in texts:
            path = text.split("=", 1)[-1]
            if "://" not in path and os.path.isfile(path):
                facts = os.stat(path)
                yield [name, facts.st_size, facts.st_mtime_ns]


class JobsDone:
    """The record of a file's jobs that are done.

    Args:
      root: the output folder that holds it.
    """

    def __init__(self, root: str) -> None:
        self._uri = filesystem.join(root, NAME)
        try:
            record = json.loads(filesystem.read_if_exists(self._uri) or b"{}")
            whole = isinstance(record, dict) and sealed_json.is_as_written(record)
            self._digests = dict(record["jobs"]) if whole and "jobs" in record else {}
            self._sections = dict(record["sections"]) if whole and "sections" in record else {}
        except (ValueError, TypeError, KeyError):  # without a record all jobs run, and skip what they find done
            self._digests, self._sections = {}, {}

    def holds(self, digest: str, job: str, config: Any) -> bool:
        """Tells whether a job ran with this digest, and what it wrote is still what the record says."""
        if digest not in self._digests:
            return False
        output, to = getattr(config, "output", ""), getattr(config, "to", "")
        if to and not filesystem.exists(to):
            return False
        now = _sections_of(job, output)
        recorded = {name: sha for name, sha in self._sections.get(output, {}).items() if _belongs(name, job)}
        return now == recorded if now or recorded else not output or any(True for _ in filesystem.children(output))

    def add(self, digest: str, job: str, config: Any) -> None:
        """Records a job that has just ended well, and what the manifest of its output says now."""
        self._digests[digest] = job
        if output := getattr(config, "output", ""):
            self._sections[output] = manifest.digests(output)
        record = sealed_json.sealed({"jobs": self._digests, "sections": self._sections})
        filesystem.write_atomic(self._uri, json.dumps(record, indent=1, sort_keys=True).encode() + b"\n")


def _belongs(section: str, job: str) -> bool:
    return section.partition(" ")[0] in _SECTIONS.get(job, (job,))


def _sections_of(job: str, output: str) -> dict[str, str]:
    found = manifest.digests(output) if output and JOBS[job].pipeline else {}
    return {name: sha for name, sha in found.items() if _belongs(name, job)}
