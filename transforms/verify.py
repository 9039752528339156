"""Check a finished output: every file against the manifest, every sample against decisions and input."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsSingleton

from transforms.lib import uids
from transforms.lib.errors import AccountsError, InputError
from transforms.lib.reshard import shard_layout
from transforms.lib.subsets import subset_files
from transforms.outputs import file_rows, manifest, selections
from transforms.outputs.manifest import Part
from transforms.outputs.selections import Selection
from transforms.outputs.store import Store
from transforms.rows import FileRow, ShardRefs
from transforms.storage import filesystem
from transforms.workers.check_shard import CheckDecisions, Checked
from transforms.workers.check_shard import CheckOutput as CheckOutput

MAX_LISTED = 1000  # problems that verify.json names


def check_file(row: FileRow, root: str) -> Checked:
    """Compares a file with its entry in the manifest."""
    uri = filesystem.join(root, row.path)
    problems: list[str] = []
    if not filesystem.exists(uri):
        problems.append(f"{row.path} is missing")
    elif (stored := file_rows.of_stored(root, row.path)) != row:
        problems.append(f"{row.path} is not what was written: {stored.size} bytes, expected {row.size}, or other bytes")
    return Checked("file", 0, tuple(problems))


class Found(NamedTuple):
    """What the driver found, and where the report goes.

    Attributes:
      report: address of the report, ``verify.json``.
      problems: one line each.
      stale: a line about shards that hold the copies of another selection; empty where they do not.
    """

    report: str
    problems: tuple[str, ...] = ()
    stale: str = ""


def conclude(
    checks: Sequence[Checked], ways: Sequence[Counter[str]], selection: Selection, resharded: bool, found: Found
) -> dict[str, Any]:
    """Compares the totals with the books and ``subset.npy``, and writes the report.

    Args:
      checks: of all files, shards and outputs.
      ways: of all shards, sample counts by what became of them.
      selection: that was checked.
      resharded: False when nothing was, so that there are no output shards to compare.
      found: what was found before the pipeline started.

    Raises:
      AccountsError: something does not hold; the report names everything that does not.
    """
    problems = sorted({line for check in checks for line in check.problems})
    problems = [*filter(None, [found.stale]), *found.problems, *problems]
    problems += _of_books(selection, sum(ways, Counter[str]()))
    listed = None
    try:
        listed = subset_files.digest(subset_files.open_subset(filesystem.fetch(selection.uri(selections.SUBSET))))
    except (OSError, ValueError) as error:
        problems.append(f"subset.npy cannot be read: {error}")
    decided = sum((check.uids for check in checks if check.what == "shard"), uids.Digest())
    written = sum((check.uids for check in checks if check.what == "output"), uids.Digest())
    for digest, whose in ((decided, "decisions"), (written, "shards")):
        if listed is not None and digest != listed and (resharded or whose == "decisions"):
            problems.append(f"subset.npy lists {listed.copies} copies, the {whose} hold {digest.copies} or others")
    counts: dict[str, Any] = {
        "selection": selection.id,
        "stale_shards": bool(found.stale),
        "files": sum(check.what == "file" for check in checks),
        "input_shards": sum(check.what == "shard" for check in checks),
        "output_shards": sum(check.what == "output" for check in checks),
        "samples": decided.copies,
        "problems": problems[:MAX_LISTED],
    }
    text = json.dumps(counts, indent=1, sort_keys=True)
    filesystem.write_atomic(found.report, text.encode() + b"\n")
    if problems:
        raise AccountsError(f"{len(problems)} checks failed, first: {problems[0]}; {found.report} lists them")
    return counts


def _of_books(selection: Selection, total: Counter[str]) -> list[str]:
    """Returns how ``books.json`` differs from what the decisions add up to."""
    try:
        books = selection.read("books.json")
        counted = {"samples": total["samples"], "copies": total["copies"], "kept": total[""]}
        expected = {name: books[name] for name in counted} | books["dropped"]
        counted |= {label: total[label] for label in books["dropped"]}
        if counted != expected or total["rejected"] != sum(books["rejected"].values()):
            return [f"books.json says {expected}, the decisions add up to {counted}"]
    except InputError as error:
        return list(error.problems)
    except (KeyError, TypeError, AttributeError) as error:
        return [f"books.json is not as it was written: {error!r}"]
    return []


@dataclasses.dataclass(eq=False)
class ListFiles(beam.PTransform):
    """Puts the rows of all files of a manifest into the pipeline; workers read the parts of large sections.

    Attributes:
      root: the output folder.
    """

    root: str

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[FileRow]:
        roots = pipeline | "Manifest" >> beam.Create([self.root])
        parts = roots | "Parts" >> beam.FlatMap(lambda root: manifest.read(root).parts) | beam.Reshuffle()
        rows = (
            roots | "Inline" >> beam.FlatMap(lambda root: manifest.read(root).listed),
            parts | "OfParts" >> beam.FlatMap(_rows_of, self.root),
        )
        return rows | beam.Flatten() | "SpreadFiles" >> beam.Reshuffle()


def _rows_of(part: Part, root: str) -> list[FileRow]:
    """Returns the row of a part and those in it; the former alone where it is damaged, which its check says."""
    try:
        return [part.file, *part.read(root)]
    except InputError:
        return [part.file]


@dataclasses.dataclass(eq=False)
class VerifyOutputs(beam.PTransform):
    """Checks everything below an output folder: ``ShardRef`` rows of the pool in, one mapping of counts out.

    Cost: reads every output once, and the byte ranges of the inputs: of kept samples, and of dropped ones if asked to.

    Attributes:
      selection: whose decisions are checked.
      outputs: path and plan of each output shard, made anew from the decisions; None when nothing was resharded, or
        from another selection.
      check_output: what checks one of them; None as ``outputs``.
      accept_holes: zeros in an input where members should be are no problem.
      compare_dropped: samples that were dropped are compared with the bytes of the input, too.
      found: what was found before the pipeline started, and where the report goes.
    """

    selection: Selection
    outputs: beam.PCollection[tuple[str, shard_layout.OutputShard]] | None
    check_output: CheckOutput | None
    accept_holes: bool
    compare_dropped: bool
    found: Found

    @property
    def _compares(self) -> bool:
        return self.check_output is not None and self.check_output.compare_input

    def expand(self, refs: ShardRefs) -> beam.PCollection[dict[str, Any]]:
        root = self.selection.root
        store = Store(root, self.selection.id)
        to_list = beam.combiners.ToListCombineFn
        files = refs.pipeline | "Files" >> ListFiles(root) | "CheckFile" >> beam.Map(check_file, root)
        dropped = self._compares and self.compare_dropped
        pairs = refs | "CheckShard" >> beam.Map(CheckDecisions(store, self.accept_holes, self._compares, dropped))
        ways = pairs | "Ways" >> beam.Values() | "AllWays" >> beam.CombineGlobally(to_list())
        checks = [files, pairs | "Shards" >> beam.Keys()]
        if self.outputs is not None:
            checks.append(self.outputs | "CheckOutput" >> beam.Map(self.check_output))
        return (
            checks
            | beam.Flatten()
            | "AllChecks" >> beam.CombineGlobally(to_list())
            | "Conclude"
            >> beam.Map(conclude, AsSingleton(ways), self.selection, self.check_output is not None, self.found)
        )
