"""Check a finished output: every file against the manifest, every sample against decisions and input."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow.compute as pc
from apache_beam.io.filesystem import BeamIOError
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton

from transforms.lib import uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import AccountsError
from transforms.lib.reshard import shard_formats, shard_layout
from transforms.lib.subsets import subset_files
from transforms.outputs import file_rows
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRef
from transforms.storage import filesystem
from transforms.workers.shard_contents import Listing, ShardContents

MAX_LISTED = 1000  # problems that verify.json names


class Checked(NamedTuple):
    """What one check found.

    Attributes:
      what: ``file``, ``shard`` (an input's decisions) or ``output`` (a written shard).
      samples: samples looked at.
      problems: one line each.
      uids: digest of the uids that were decided to be copied, or that a written shard holds.
    """

    what: str
    samples: int
    problems: tuple[str, ...]
    uids: uids.Digest = uids.Digest()


def check_file(row: FileRow, root: str) -> Checked:
    """Compares a file with its entry in the manifest."""
    uri = filesystem.join(root, row.path)
    problems: list[str] = []
    if not filesystem.exists(uri):
        problems.append(f"{row.path} is missing")
    elif (stored := file_rows.of_stored(root, row.path)) != row:
        problems.append(f"{row.path} is not what was written: {stored.size} bytes, expected {row.size}, or other bytes")
    return Checked("file", 0, tuple(problems))


def check_decisions(ref: ShardRef, root: str) -> tuple[Checked, Counter[str]]:
    """Compares a shard's decisions with its index; also returns how many samples went which way."""
    with Store(root).held() as store:
        return _check_decisions(store, ref)


def _check_decisions(store: Store, ref: ShardRef) -> tuple[Checked, Counter[str]]:
    index = store.facts(columns.INDEX, ref.name)["stamp"], len(store.read(columns.INDEX, ref.name, ["status"]))
    decisions = store.read("decisions", ref.name)
    problems = []
    if index != (store.facts("decisions", ref.name)["index"], len(decisions)):
        problems.append(f"decisions/{ref.name} are not about the samples of columns/index/{ref.name}")
    copies, step = decisions["copies"].to_numpy(), decisions["step"]
    if ((copies > 0) != pc.equal(step, "").to_numpy()).any():
        problems.append(f"decisions/{ref.name}: a sample has copies and a step that dropped it, or neither")
    counted = {row["values"]: row["counts"] for row in pc.value_counts(step).to_pylist()}
    ways = Counter({"samples": len(step), "copies": int(copies.sum()), **counted})
    kept = np.repeat(store.arrays(ref.name, {"uid": (columns.INDEX, "uid")})["uid"], copies, axis=0)
    return Checked("shard", len(step), tuple(problems), uids.digest(kept)), ways


@dataclasses.dataclass(frozen=True)
class CheckOutput:
    """Reads one written shard and compares each sample with the bytes of its input.

    Attributes:
      root: the output folder.
      contents: what lists and reads the samples that a shard must hold.
      format: of the shard, one of ``formats.NAMES``.
      compare_input: False skips the comparison of bytes, when the inputs are gone.
    """

    root: str
    contents: ShardContents
    format: str
    compare_input: bool

    def __call__(self, output: tuple[str, shard_layout.OutputShard]) -> Checked:
        name, planned = output
        listing = self.contents.listing(planned)
        found: list[str] = []
        problems: list[str] = []
        try:
            with filesystem.open_read(filesystem.join(self.root, name)) as file:
                found += [key for key, _ in shard_formats.format_of(self.format).read(file)]
        except (OSError, ValueError, BeamIOError) as error:
            problems.append(f"{name} cannot be read: {error}")
        if found != listing.keys:
            lost, extra = len({*listing.keys} - {*found}), len({*found} - {*listing.keys})
            problems.append(f"{name}: {lost} of the planned samples are missing, {extra} are not planned")
        elif self.compare_input:
            problems += self._differences(name, listing)
        pairs = uids.pairs([key.rpartition("-")[0] for key in sorted(found)])
        Metrics.counter("verify", "samples").inc(len(found))
        return Checked("output", len(found), tuple(problems), uids.digest(pairs))

    def _differences(self, name: str, listing: Listing) -> list[str]:
        """Reads a shard beside its inputs and returns the samples whose members differ."""
        with filesystem.open_read(filesystem.join(self.root, name)) as file:
            written = shard_formats.format_of(self.format).read(file)
            return [
                f"{name}: the members of {key} are not those of its input shard"
                for (key, members), wanted in zip(written, self.contents.samples(listing), strict=True)
                if sorted(members) != sorted(wanted.members)
            ]


def conclude(
    checks: Sequence[Checked], ways: Sequence[Counter[str]], root: str, resharded: bool
) -> dict[str, int | list[str]]:
    """Compares the totals with the books and ``subset.npy``, and writes ``verify.json``.

    Args:
      checks: of all files, shards and outputs.
      ways: of all shards, sample counts by what became of them.
      root: the output folder.
      resharded: False when nothing was, so that there are no output shards to compare.

    Raises:
      AccountsError: something does not hold; ``verify.json`` names everything that does not.
    """
    problems = sorted(line for check in checks for line in check.problems)
    books = json.loads(filesystem.read_bytes(filesystem.join(root, "books.json")))
    total = sum(ways, Counter[str]())
    counted = {"samples": total["samples"], "copies": total["copies"], "kept": total[""]}
    expected = {name: books[name] for name in counted} | books["dropped"]
    counted |= {label: total[label] for label in books["dropped"]}
    if counted != expected or total["rejected"] != sum(books["rejected"].values()):
        problems.append(f"books.json says {expected}, the decisions add up to {counted}")
    listed = subset_files.digest(subset_files.open_subset(filesystem.fetch(filesystem.join(root, "subset.npy"))))
    decided = sum((check.uids for check in checks if check.what == "shard"), uids.Digest())
    written = sum((check.uids for check in checks if check.what == "output"), uids.Digest())
    for digest, whose in ((decided, "decisions"), (written, "shards")):
        if digest != listed and (resharded or whose == "decisions"):
            problems.append(f"subset.npy lists {listed.copies} copies, the {whose} hold {digest.copies} or others")
    counts: dict[str, int | list[str]] = {
        "files": sum(check.what == "file" for check in checks),
        "input_shards": sum(check.what == "shard" for check in checks),
        "output_shards": sum(check.what == "output" for check in checks),
        "samples": decided.copies,
        "problems": problems[:MAX_LISTED],
    }
    text = json.dumps(counts, indent=1, sort_keys=True)
    filesystem.write_atomic(filesystem.join(root, "verify.json"), text.encode() + b"\n")
    if problems:
        raise AccountsError(f"{len(problems)} checks failed, first: {problems[0]}; verify.json lists them")
    return counts


@dataclasses.dataclass(eq=False)
class VerifyOutputs(beam.PTransform):
    """Checks everything below an output folder: a pipeline in, one mapping of counts out.

    Cost: reads every output once, and once more the byte ranges of the inputs that were kept.

    Attributes:
      root: the output folder.
      refs: the shards of the pool.
      files: what the manifest lists.
      outputs: path and plan of each output shard, made anew from the decisions.
      check_output: what checks one of them; None when nothing was resharded.
    """

    root: str
    refs: Sequence[ShardRef]
    files: Sequence[FileRow]
    outputs: Sequence[tuple[str, shard_layout.OutputShard]]
    check_output: CheckOutput | None

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[dict[str, int | list[str]]]:
        to_list = beam.combiners.ToListCombineFn
        files = pipeline | "Files" >> beam.Create(self.files) | "CheckFile" >> beam.Map(check_file, self.root)
        pairs = pipeline | "Refs" >> beam.Create(self.refs) | "CheckShard" >> beam.Map(check_decisions, self.root)
        ways = pairs | "Ways" >> beam.Values() | "AllWays" >> beam.CombineGlobally(to_list())
        checks = [files, pairs | "Shards" >> beam.Keys()]
        if self.check_output:
            outputs = pipeline | "Outputs" >> beam.Create(self.outputs)
            checks.append(outputs | "CheckOutput" >> beam.Map(self.check_output))
        return (
            checks
            | beam.Flatten()
            | "AllChecks" >> beam.CombineGlobally(to_list())
            | "Conclude" >> beam.Map(conclude, AsSingleton(ways), self.root, self.check_output is not None)
        )
