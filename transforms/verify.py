"""Check a finished output: every file against the manifest, every sample against decisions and input."""

from __future__ import annotations

import dataclasses
import io
import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.pvalue import AsSingleton
from numpy.typing import NDArray

from transforms import storage
from transforms.lib import columns, plan, stamps, uids
from transforms.lib.errors import AccountsError
from transforms.lib.ranges import read_ranges
from transforms.lib.tarshard import RawSample, open_tar, read_samples
from transforms.rows import FeatureRef, FileRow
from transforms.store import Store

MAX_LISTED = 1000  # problems that verify.json names


class Checked(NamedTuple):
    """What one check found.

    Attributes:
      what: ``file``, ``shard`` (an input's decisions) or ``output`` (a written shard).
      samples: samples looked at.
      problems: one line each.
      uids: uids of the samples of a written shard, as bytes of uint64 pairs.
    """

    what: str
    samples: int
    problems: tuple[str, ...]
    uids: bytes = b""


def check_file(row: FileRow, root: str) -> Checked:
    """Compares a file with its entry in the manifest."""
    data = storage.read_if_exists(storage.join(root, row.path))
    problems: list[str] = []
    if data is None:
        problems.append(f"{row.path} is missing")
    elif (len(data), stamps.sha256(data)) != (row.size, row.sha256):
        problems.append(f"{row.path} is not what was written: {len(data)} bytes, expected {row.size}, or other bytes")
    return Checked("file", 0, tuple(problems))


def check_decisions(ref: FeatureRef, root: str) -> tuple[Checked, Counter[str]]:
    """Compares a shard's decisions with its index; also returns how many samples went which way."""
    store = Store(root)
    index = store.read(columns.INDEX, ref.name, ["uid", "status"])
    decisions = store.read("decisions", ref.name)
    problems = []
    if index["uid"].to_pylist() != decisions["uid"].to_pylist():
        problems.append(f"decisions/{ref.name} are not about the samples of columns/index/{ref.name}")
    copies, step = decisions["copies"].to_numpy(), np.array(decisions["step"].to_pylist(), object)
    if ((copies > 0) != (step == "")).any():
        problems.append(f"decisions/{ref.name}: a sample has copies and a step that dropped it, or neither")
    ways = Counter({"samples": len(step), "copies": int(copies.sum())})
    ways.update(step.tolist())
    return Checked("shard", len(step), tuple(problems)), ways


@dataclasses.dataclass(frozen=True)
class CheckOutput:
    """Reads one written shard and compares each sample with the bytes of its input.

    Attributes:
      root: the output folder.
      compare_input: False skips the comparison of bytes, when the inputs are gone.
    """

    root: str
    compare_input: bool

    def __call__(self, output: plan.OutputShard) -> Checked:
        name = f"shards/{output.number:08d}.tar"
        found, problems = self._read(name)
        expected = self._expected(output)
        if sorted(found) != sorted(expected):
            lost, extra = len(expected.keys() - found.keys()), len(found.keys() - expected.keys())
            problems.append(f"{name}: {lost} of the planned samples are missing, {extra} are not planned")
        for key in sorted(found.keys() & expected.keys()):
            want = expected[key]
            if want is not None and found[key].members != want.members:
                problems.append(f"{name}: the members of {key} are not those of {want.key} in its input shard")
        pairs = uids.pairs([key.rpartition("-")[0] for key in sorted(found)])
        Metrics.counter("verify", "samples").inc(len(found))
        return Checked("output", len(found), tuple(problems), pairs.tobytes())

    def _read(self, name: str) -> tuple[dict[str, RawSample], list[str]]:
        data = storage.read_if_exists(storage.join(self.root, name))
        if data is None:
            return {}, [f"{name} is missing"]
        samples = list(read_samples(io.BytesIO(data)))
        problems = [f"{name}: {sample.key}: {sample.problem}" for sample in samples if sample.problem]
        return {sample.key: sample for sample in samples}, problems

    def _expected(self, output: plan.OutputShard) -> dict[str, RawSample | None]:
        """Returns key -> sample of the input; None where inputs are not compared."""
        expected: dict[str, RawSample | None] = {}
        store = Store(self.root)
        for segment in output.segments:
            copies = store.read("decisions", segment.name, ["copies"])["copies"].to_numpy()
            rows = np.flatnonzero(copies > segment.copy)[segment.start : segment.stop]
            index = store.read(columns.INDEX, segment.name, ["uid", "offset", "length"]).take(rows).to_pydict()
            samples: list[RawSample | None] = [None] * len(rows)
            if self.compare_input:
                with storage.open_read(segment.uri) as file:
                    blocks = read_ranges(open_tar(file, segment.uri), index["offset"], index["length"])
                samples = [next(read_samples(io.BytesIO(block))) for block in blocks]
            for uid, sample in zip(index["uid"], samples, strict=True):
                copy = segment.copy
                while (key := f"{uid}-{copy}") in expected:
                    copy += 1
                expected[key] = sample
        return expected


def conclude(checks: Sequence[Checked], ways: Sequence[Counter[str]], root: str) -> dict[str, int | list[str]]:
    """Compares the totals with the books and ``subset.npy``, and writes ``verify.json``.

    Raises:
      AccountsError: something does not hold; ``verify.json`` names everything that does not.
    """
    problems = sorted(line for check in checks for line in check.problems)
    books = json.loads(storage.read_bytes(storage.join(root, "books.json")))
    total = sum(ways, Counter[str]())
    counted = {"samples": total["samples"], "copies": total["copies"], "kept": total[""]}
    expected = {name: books[name] for name in counted} | books["dropped"]
    counted |= {label: total[label] for label in books["dropped"]}
    if counted != expected or total["rejected"] != sum(books["rejected"].values()):
        problems.append(f"books.json says {expected}, the decisions add up to {counted}")
    written: NDArray[np.uint64] = np.frombuffer(b"".join(check.uids for check in checks), np.uint64).reshape(-1, 2)
    with storage.open_read(storage.join(root, "subset.npy")) as file:
        listed = uids.read_subset(file)
    if not np.array_equal(uids.subset(written), listed):
        problems.append(f"subset.npy lists {len(listed)} copies, the shards hold {len(written)} or others")
    counts: dict[str, int | list[str]] = {
        "files": sum(check.what == "file" for check in checks),
        "input_shards": sum(check.what == "shard" for check in checks),
        "output_shards": sum(check.what == "output" for check in checks),
        "samples": len(written),
        "problems": problems[:MAX_LISTED],
    }
    text = json.dumps(counts, indent=1, sort_keys=True)
    storage.write_atomic(storage.join(root, "verify.json"), text.encode() + b"\n")
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
      outputs: the plan of the output shards, made anew from the decisions.
      compare_input: also compare bytes with the inputs.
    """

    root: str
    refs: Sequence[FeatureRef]
    files: Sequence[FileRow]
    outputs: Sequence[plan.OutputShard]
    compare_input: bool = True

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[dict[str, int | list[str]]]:
        to_list = beam.combiners.ToListCombineFn
        files = pipeline | "Files" >> beam.Create(self.files) | "CheckFile" >> beam.Map(check_file, self.root)
        pairs = pipeline | "Refs" >> beam.Create(self.refs) | "CheckShard" >> beam.Map(check_decisions, self.root)
        check = CheckOutput(self.root, self.compare_input)
        outputs = pipeline | "Outputs" >> beam.Create(self.outputs) | "CheckOutput" >> beam.Map(check)
        ways = pairs | "Ways" >> beam.Values() | "AllWays" >> beam.CombineGlobally(to_list())
        checks = (files, pairs | "Shards" >> beam.Keys(), outputs) | beam.Flatten()
        return (
            checks
            | "AllChecks" >> beam.CombineGlobally(to_list())
            | "Conclude" >> beam.Map(conclude, AsSingleton(ways), self.root)
        )
