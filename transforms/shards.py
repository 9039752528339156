"""The pool: find its shards, name them, and hand them to workers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from braceexpand import braceexpand

from transforms.lib import stamps
from transforms.lib.errors import InputError
from transforms.lib.samples import images
from transforms.lib.tar.reader import open_tar
from transforms.lib.tar.shard_samples import read_samples
from transforms.rows import Shard, ShardRef, ShardRefs, Shards
from transforms.storage import filesystem

SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.zst")
_GLOB = re.compile(r"[*?\[]")


def expand_patterns(patterns: Sequence[str], flag: str = "--input") -> list[str]:
    """Returns one glob or address a line: braces expanded, ``@FILE`` replaced by the lines of the file.

    Args:
      patterns: as the user wrote them.
      flag: that they were given to, for the messages.

    Raises:
      InputError: a manifest cannot be read, or braces do not balance.
    """
    found: list[str] = []
    for pattern in patterns:
        if pattern.startswith("@"):
            lines = _manifest(pattern[1:], flag).splitlines()
            found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            continue
        try:
            found += braceexpand(pattern)
        except ValueError:  # braceexpand's UnbalancedBracesError is one
            raise InputError(f"{flag} {pattern!r} has unbalanced braces; write {{00000..00127}}") from None
    return found


def _manifest(uri: str, flag: str) -> str:
    try:
        return filesystem.read_bytes(uri).decode()
    except (OSError, BeamIOError, UnicodeDecodeError) as error:
        raise InputError(f"{flag} @{uri}: the manifest cannot be read ({error}); it is one address a line") from None


def find_shards(patterns: Sequence[str], flag: str = "--input") -> list[Shard]:
    """Finds the shards of a pool, sorted by name.

    A shard's name is its path below the folder that all patterns share, so it stays the same when the pool grows
    or moves. Names the user chose are the only ones that ever reach the file system.

    Args:
      patterns: globs, addresses with braces, or ``@FILE`` with one per line.
      flag: that they were given to, for the messages.

    Raises:
      InputError: a pattern or an address matches nothing, a location cannot be read, or two shards share a name;
        all of it at once.
    """
    globs = expand_patterns(patterns, flag)
    try:
        matched = filesystem.match(globs)
    except BeamIOError as error:
        raise InputError(f"{flag} cannot be listed: {_cause(error)}; check the address and your access to it") from None
    problems = [
        f"{flag} {pattern!r} matches no file; check the address, and quote globs so that the shell leaves them alone"
        for pattern, found in zip(globs, matched, strict=True)
        if not found
    ]
    files = sorted({info for found in matched for info in found if info.uri.endswith(SUFFIXES)})
    if not files and not problems:
        problems.append(f"{flag} matches files, but none that ends in {', '.join(SUFFIXES)}")
    root = _root(globs)
    shards = [Shard(_name(f.uri, root), f.uri, f.size, stamps.stamp(**f._asdict())) for f in files]
    names: dict[str, str] = {}
    for shard in shards:
        if shard.name in names:
            problems.append(f"shards {names[shard.name]} and {shard.uri} would have one name, {shard.name}; rename one")
        names[shard.name] = shard.uri
    if problems:
        raise InputError(problems)
    return sorted(shards)


def check_images(shards: Sequence[Shard], flag: str = "--input", limit: int = 16) -> None:
    """Checks that the pool can be read and holds images, looking into the first shards until one turns up.

    Args:
      shards: of the pool.
      flag: that named them, for the messages.
      limit: shards to look into; a pool whose first ones hold no image at all is not an image pool.

    Raises:
      InputError: a shard cannot be opened, or no sample has an image.
    """
    for shard in shards[:limit]:
        try:
            with filesystem.open_read(shard.uri) as file:
                if any(_has_image(sample.members) for sample in read_samples(open_tar(file, shard.uri))):
                    return
        except (OSError, BeamIOError) as error:
            raise InputError(f"{flag} {shard.uri} cannot be read: {error}; check your access to it") from None
    known = ", ".join(images.IMAGE_EXTENSIONS)
    raise InputError(f"{flag}: no sample of the first {len(shards[:limit])} shards has an image ({known})")


def _has_image(members: Mapping[str, bytes]) -> bool:
    return any(extension in members for extension in images.IMAGE_EXTENSIONS)


def _cause(error: BeamIOError) -> str:
    causes = getattr(error, "exception_details", None) or {}
    return "; ".join(str(cause) for cause in causes.values()) or str(error)


def _root(globs: Sequence[str]) -> list[str]:
    """Returns the parts of the folder that all patterns share, up to the first wildcard."""
    folders = [_GLOB.split(pattern, maxsplit=1)[0].split("/")[:-1] for pattern in globs]
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
    return next(name.removesuffix(suffix) for suffix in SUFFIXES[::-1] if name.endswith(suffix))


@dataclasses.dataclass(eq=False)
class ListShards(beam.PTransform):
    """Puts the shards of a pool into the pipeline, spread over all workers.

    Cost: about 200 bytes per shard are shuffled once; no file is opened.

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
class ListRefs(beam.PTransform):
    """Puts the shards of a scored pool into the pipeline, spread over all workers.

    Cost: about 200 bytes per shard are shuffled once; no file is opened.

    Attributes:
      refs: as ``pool.parquet`` has them.
    """

    refs: Sequence[ShardRef]

    def expand(self, pipeline: beam.Pipeline) -> ShardRefs:
        return (
            pipeline | "Refs" >> beam.Create(list(self.refs)).with_output_types(ShardRef) | "Spread" >> beam.Reshuffle()
        )
