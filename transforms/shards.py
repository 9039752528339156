"""The pool: find its shards, name them, and hand them to workers."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError

from transforms.lib import addresses, stamps
from transforms.lib.errors import InputError, Reason, SampleError, StoreError
from transforms.lib.inputs import folder_input, input_kinds
from transforms.lib.samples import images
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.streams import limited
from transforms.outputs.pool_table import Pool, PoolPart, ref_of
from transforms.rows import Shard, ShardRef, ShardRefs, Shards
from transforms.storage import filesystem, patterns, pool_files
from transforms.storage.client import FileInfo

_TEXT = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]+")
_SHOWN_MEMBERS = 12  # extensions that a message lists


def find_shards(
    texts: Sequence[str], flag: str = "--input", tell: Callable[[str], None] = lambda line: None
) -> list[Shard]:
    """Finds the shards of a pool, sorted by name.

    A shard's name is its path below the folder that all patterns share, so it stays the same when the pool grows
    or moves. Names the user chose are the only ones that ever reach the file system. A file is one shard, however many
    patterns, links and spellings lead to it.

    Args:
      texts: globs, addresses with braces, or ``@FILE`` with one per line.
      flag: that they were given to, for the messages.
      tell: gets a line for the user about files that match and are left out.

    Raises:
      InputError: a pattern or an address matches nothing, a location cannot be read, or two shards share a name;
        all of it at once.
    """
    written = [_with_below(text) for text in patterns.expand(texts, flag)]
    globs = patterns.resolved(written)
    matched = patterns.match(globs, flag)
    problems = [
        f"{flag} {text!r} matches no file; check the address, and quote globs so that the shell leaves them alone"
        for text, found in zip(written, matched, strict=True)
        if not found
    ]
    if problems:
        raise InputError(problems)
    files = pool_files.shards_of(globs, matched, flag, tell)
    root = _root(globs)
    shards = [Shard(_name(addresses.without_query(f.uri), root), f.uri, f.size, _stamp(f)) for f in files]
    problems += _bad_names(shards, flag)
    if problems:
        raise InputError(problems)
    return sorted(shards)


def _with_below(text: str) -> str:
    """Returns the pattern of everything below a folder of this machine where a text names one, else the text."""
    is_folder = filesystem.is_local(text) and not text.endswith("/") and os.path.isdir(text)
    return f"{text}/**" if is_folder else text


def _stamp(file: FileInfo) -> str:
    """Returns the digest of what a shard is; a signature in its address may change, and says nothing of it."""
    facts = {**file._asdict(), "uri": addresses.without_query(file.uri)}
    return stamps.stamp(**{name: value for name, value in facts.items() if value != ""})


def _bad_names(shards: Sequence[Shard], flag: str) -> list[str]:
    """Returns what is wrong with the names of shards: two that are equal, or one that is no text."""
    problems = []
    names: dict[str, str] = {}
    for shard in shards:
        if shard.name in names:
            problems.append(f"shards {names[shard.name]} and {shard.uri} would have one name, {shard.name}; rename one")
        names[shard.name] = shard.uri
        if not _TEXT.fullmatch(shard.uri):
            problems.append(f"{flag}: the name {shard.uri!r} is no text, or has control characters; rename the file")
    return problems


def check_images(
    shards: Sequence[Shard], flag: str = "--input", limit: int = 16, member: str = "", *, may_lose: bool = False
) -> None:
    """Checks that the pool can be read and holds images, looking into the first shards until one turns up.

    Args:
      shards: of the pool.
      flag: that named them, for the messages.
      limit: shards to look into; a pool whose first ones hold no image at all is not an image pool.
      member: extension of the members that are images; empty where the rule of ``images.image_of`` finds them.
      may_lose: a shard that cannot be read is no failure while another one can.

    Raises:
      InputError: a shard cannot be opened or is no tar, or no sample has an image; the message names the members that
        were seen.
    """
    seen: set[str] = set()
    strange: dict[str, list[str]] = {}
    unreadable: list[InputError] = []
    for shard in shards[:limit]:
        try:
            with pool_files.open_shard(shard.uri) as tar:
                for sample in read_samples(limited(tar)):
                    if _has_image(sample.members, member):
                        return
                    seen |= sample.members.keys() if len(seen) < _SHOWN_MEMBERS else set()
                    if sample.problem is Reason.NOT_A_TAR:
                        strange.setdefault(sample.detail, []).append(shard.uri)
        except (OSError, BeamIOError, StoreError) as error:
            unread = InputError(f"{flag} {shard.uri} cannot be read: {error}; check your access to it")
            if not may_lose:
                raise (error if isinstance(error, StoreError) else unread) from None
            unreadable.append(unread)
    if unreadable and not seen:
        raise unreadable[0]
    if strange:
        raise InputError([f"{flag}: {uris[0]}{_more(uris)} is {what}" for what, uris in sorted(strange.items())])
    known = f"--image_member {member}" if member else ", ".join(images.IMAGE_EXTENSIONS)
    members = ", ".join(sorted(seen)[:_SHOWN_MEMBERS])
    hint = f"; its members are {members}: name that of the image by --image_member" if members else ""
    raise InputError(f"{flag}: no sample of the first {len(shards[:limit])} shards has an image ({known}){hint}")


def _more(uris: Sequence[str]) -> str:
    return f", one of {len(uris)} shards that were looked at," if len(uris) > 1 else ""


def _has_image(members: Mapping[str, bytes], member: str) -> bool:
    try:
        return bool(images.image_of(members, member))
    except SampleError:
        return False


def _root(globs: Sequence[str]) -> list[str]:
    """Returns the parts of the folder that all patterns share, up to the first wildcard."""
    folders = [addresses.literal_start(pattern).split("/")[:-1] for pattern in globs]
    shared = []
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _name(uri: str, root: list[str]) -> str:
    parts = uri.split("/")
    tail = parts[len(root) :] if parts[: len(root)] == root else parts[-1:]
    if ".." in tail or "" in tail:
        tail = tail[-1:]
    name = "/".join(tail)
    if folder_input.is_block(uri):
        return name.partition("#")[0] + folder_input.number_of(uri)
    suffixes = input_kinds.kind_of(uri).suffixes
    return name[: -max(len(suffix) for suffix in suffixes if name.lower().endswith(suffix))]


@dataclasses.dataclass(eq=False)
class ListShards(beam.PTransform):
    """Puts a few shards, of which no output folder has a table, into the pipeline, spread over all workers.

    Cost: about 200 bytes per shard, in the graph and shuffled once; no file is opened.

    Attributes:
      shards: as ``find_shards`` returns them.
    """

    shards: Sequence[Shard]

    def expand(self, pipeline: beam.Pipeline) -> Shards:
        return (
            pipeline
            | "Shards" >> beam.Create(list(self.shards)).with_output_types(Shard)
            | "Spread" >> beam.Reshuffle()
        )


@dataclasses.dataclass(eq=False)
class ListNumbered(beam.PTransform):
    """Puts the shards of the pool of an output folder into the pipeline, numbered, spread over all workers.

    Workers read them from the table of the pool, so the graph holds 100 bytes per ``pool_table.GROUP`` shards.

    Cost: about 200 bytes per shard are read and shuffled once.

    Attributes:
      pool: the table of the shards.
      first: number of its first shard; the others follow in the order of their names.
    """

    pool: Pool
    first: int = 0

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[tuple[int, Shard]]:
        parts = pipeline | "Parts" >> beam.Create(self.pool.parts()).with_output_types(PoolPart)
        if len(self.pool.group_rows) > 1:
            parts = parts | "SpreadParts" >> beam.Reshuffle()
        read = parts | "ReadPool" >> beam.FlatMap(_numbered, self.first).with_output_types(tuple[int, Shard])
        return read | "Spread" >> beam.Reshuffle()


def _numbered(part: PoolPart, first: int) -> Iterator[tuple[int, Shard]]:
    yield from enumerate(part.shards(), first + part.first)


@dataclasses.dataclass(eq=False)
class ListPool(beam.PTransform):
    """Puts the shards of the pool of an output folder into the pipeline; see ``ListNumbered``.

    Attributes:
      pool: the table of the shards.
    """

    pool: Pool

    def expand(self, pipeline: beam.Pipeline) -> Shards:
        numbered = pipeline | "Numbered" >> ListNumbered(self.pool)
        return numbered | "Shard" >> beam.Map(lambda row: row[1]).with_output_types(Shard)


@dataclasses.dataclass(eq=False)
class ListRefs(beam.PTransform):
    """Puts the shards of a scored pool into the pipeline; see ``ListNumbered``.

    Attributes:
      pool: the table of the shards.
    """

    pool: Pool

    def expand(self, pipeline: beam.Pipeline) -> ShardRefs:
        numbered = pipeline | "Numbered" >> ListNumbered(self.pool)
        return numbered | "Ref" >> beam.Map(lambda row: ref_of(row[1])).with_output_types(ShardRef)
