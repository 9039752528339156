"""Check one shard: an input's decisions against its index, and a written shard against the bytes of its inputs."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from apache_beam.io.filesystem import BeamIOError
from apache_beam.metrics import Metrics

from transforms.lib import byte_ranges, uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import AccountsError, CurationError, InputError
from transforms.lib.reshard import shard_formats, shard_layout
from transforms.lib.reshard.shard_listing import NO_SAMPLES, ShardListing
from transforms.lib.tar_account import TarAccount
from transforms.outputs import ledger, stored_files
from transforms.outputs.store import DECISIONS, Store
from transforms.rows import ShardRef
from transforms.storage import filesystem, pool_files
from transforms.workers.shard_contents import ShardContents


class Checked(NamedTuple):
    """What one check showed.

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


@dataclasses.dataclass(frozen=True)
class CheckDecisions:
    """Compares a shard's decisions with its index, and that with the bytes of the tar; counts what went which way.

    Attributes:
      store: of index and decisions.
      accept_holes: zeros where members should be are no problem.
      compare_input: also see whether the input shard is there, and as long as it was.
      compare_dropped: also compare the samples that were dropped with the bytes of the input.
    """

    store: Store
    accept_holes: bool = False
    compare_input: bool = False
    compare_dropped: bool = False

    def __call__(self, ref: ShardRef) -> tuple[Checked, Counter[str]]:
        problems = _of_input(ref) if self.compare_input else []
        try:
            with self.store.held() as store:
                checked, ways = self._check(store, ref)
                if self.compare_dropped and not problems:
                    contents = ShardContents(store)
                    problems += contents.changed(contents.dropped(ref.name, ref.uri))
        except InputError as error:
            checked, ways = Checked("shard", 0, error.problems), Counter()
        except (KeyError, ValueError) as error:  # a file of Winnow 0.1, which has no seal, that was edited
            line = f"columns/index/{ref.name} or decisions/{ref.name} are not as they were written: {error!r}"
            checked, ways = Checked("shard", 0, (line,)), Counter()
        return checked._replace(problems=(*problems, *checked.problems)), ways

    def _check(self, store: Store, ref: ShardRef) -> tuple[Checked, Counter[str]]:
        rows, decisions = len(store.read(columns.INDEX, ref.name, ["status"])), store.read(DECISIONS, ref.name)
        index, facts = store.facts(columns.INDEX, ref.name)["stamp"], store.facts(DECISIONS, ref.name)
        problems = _of_sources(store, ref, facts)
        if (index, rows) != (facts.get("index"), len(decisions)):
            problems.append(f"decisions/{ref.name} are not about the samples of columns/index/{ref.name}")
        problems += self._unread(store, ref)
        copies, step = decisions["copies"].to_numpy(), decisions["step"]
        if ((copies > 0) != pc.equal(step, "").to_numpy()).any():
            problems.append(f"decisions/{ref.name}: a sample has copies and a step that dropped it, or neither")
        counted = {row["values"]: row["counts"] for row in pc.value_counts(step).to_pylist()}
        ways = Counter({"samples": len(step), "copies": int(copies.sum()), **counted})
        kept = np.repeat(store.arrays(ref.name, {"uid": (columns.INDEX, "uid")})["uid"], copies, axis=0)
        return Checked("shard", len(step), tuple(problems), uids.digest(kept)), ways

    def _unread(self, store: Store, ref: ShardRef) -> list[str]:
        """Returns what is wrong with the byte account of a tar; nothing where the index has none, as in version 0.1."""
        text = store.facts(columns.INDEX, ref.name).get("tar")
        if text is None:
            return []
        account = TarAccount.from_json(text)
        try:
            account.check(f"columns/index/{ref.name}", ref.size)
        except AccountsError as error:
            return [str(error)]
        problems = []
        ranges = store.read(columns.INDEX, ref.name, ["offset", "length"])
        in_rows = byte_ranges.covered(ranges["offset"].to_numpy(), ranges["length"].to_numpy())
        if in_rows != account.samples + account.rejected:
            problems.append(
                f"columns/index/{ref.name}: its rows cover {in_rows} bytes of the tar, its account says "
                f"{account.samples + account.rejected}"
            )
        if account.holes and not self.accept_holes:
            problems.append(
                f"{ref.name}: {account.holes} zero bytes stand where members should be, so nobody knows which samples "
                "are missing; download the shard again and score it again, or give --accept_holes true"
            )
        return problems


def _of_input(ref: ShardRef) -> list[str]:
    """Returns what is wrong with an input shard, as far as its size tells."""
    size = pool_files.size_of(ref.uri)
    if size is None:
        return [f"{ref.uri} is missing; put it back, or give --compare_input false"]
    if ref.size and size != ref.size:
        return [f"{ref.uri} has {size} bytes, and had {ref.size} when it was scored"]
    return []


def _of_sources(store: Store, ref: ShardRef, facts: Mapping[str, str]) -> list[str]:
    """Returns which column files are not those that a shard's decisions were made from."""
    problems = []
    for name in stored_files.sources_of(facts):
        try:
            if stored_files.changed_since(facts, store.seals(ref.name, [name])):
                problems.append(f"columns/{name}/{ref.name} is not what decisions/{ref.name} were made from")
        except InputError as error:
            problems += error.problems
    return problems


@dataclasses.dataclass(frozen=True)
class CheckOutput:
    """Reads one written shard and compares each sample with the bytes of its input.

    Attributes:
      root: the output folder.
      contents: what lists and reads the samples that a shard must hold.
      format: of the shard, one of ``shard_formats.NAMES``.
      compare_input: False skips the comparison of bytes, when the inputs are gone.
      ledgers: whether each shard has a ledger.
    """

    root: str
    contents: ShardContents
    format: str
    compare_input: bool
    ledgers: bool = True

    def __call__(self, output: tuple[str, shard_layout.OutputShard]) -> Checked:
        name, planned = output
        try:
            listing = self._listing(planned)
        except InputError as error:
            return Checked("output", 0, tuple(f"{name}: {line}" for line in error.problems))
        keys: list[str] = []
        problems: list[str] = []
        try:
            with filesystem.open_read(filesystem.join(self.root, name)) as file:
                keys += [key for key, _ in shard_formats.format_of(self.format).read(file)]
        except (OSError, ValueError, BeamIOError, CurationError) as error:
            problems.append(f"{name} cannot be read: {error}")
        if keys != listing.keys:
            lost, extra = len({*listing.keys} - {*keys}), len({*keys} - {*listing.keys})
            problems.append(f"{name}: {lost} of the planned samples are missing, {extra} are not planned")
        elif self.compare_input:
            problems += self._differences(name, listing)
        problems += self._ledger_of(planned.number, name, listing)
        pairs = uids.pairs([key.rpartition("-")[0] for key in sorted(keys)])
        Metrics.counter("verify", "samples").inc(len(keys))
        return Checked("output", len(keys), tuple(problems), uids.digest(pairs))

    def _listing(self, planned: shard_layout.OutputShard) -> ShardListing:
        """Returns the samples of a shard by its plan; by its ledger where samples were cut out since it was planned."""
        if planned.segments:
            return self.contents.listing(planned)
        entries = ledger.read(self.root, planned.number)
        return self.contents.listed(entries) if len(entries) else NO_SAMPLES

    def _ledger_of(self, number: int, name: str, listing: ShardListing) -> list[str]:
        """Returns what is wrong with the ledger of a shard; nothing for a shard of an earlier version, without one."""
        if not self.ledgers:
            return []
        try:
            entries = ledger.read(self.root, number)
        except InputError as error:
            return list(error.problems)
        if entries.equals(self.contents.ledger(listing).combine_chunks()):
            return []
        return [f"{ledger.path_of(number)} is not about the samples of {name}; run `winnow reshard` again"]

    def _differences(self, name: str, listing: ShardListing) -> list[str]:
        """Reads a shard beside its inputs; returns the samples whose members differ, up to an input that changed."""
        problems = []
        try:
            with filesystem.open_read(filesystem.join(self.root, name)) as file:
                written = shard_formats.format_of(self.format).read(file)
                for (key, members), wanted in zip(written, self.contents.samples(listing), strict=True):
                    if sorted(members) != sorted(wanted.members):
                        problems.append(f"{name}: the members of {key} are not those of its input shard")
        except InputError as error:
            problems += error.problems
        return problems
