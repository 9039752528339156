"""Pack image files into shards, so that a folder of pictures can be scored like any pool."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam

from transforms.lib import stamps
from transforms.lib.errors import InputError
from transforms.lib.samples import images
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_sample
from transforms.rows import Shard, Shards
from transforms.storage import filesystem

_GROUP = 256  # images of a shard


class ImageGroup(NamedTuple):
    """Image files that become one shard.

    Attributes:
      shard: as it will be, with the size of the images; its stamp is that of the files.
      files: their addresses, in order.
    """

    shard: Shard
    files: tuple[str, ...]


def find_images(folder: str, to: str) -> tuple[ImageGroup, ...]:
    """Finds the images below a folder, by their suffix, in the order of their addresses.

    Args:
      folder: where they are, in folders of any depth.
      to: the folder that shards of them would be written to.

    Raises:
      InputError: there is none.
    """
    files = sorted(info for info in filesystem.children(folder) if _extension(info.uri) in images.IMAGE_EXTENSIONS)
    if not files:
        known = ", ".join(images.IMAGE_EXTENSIONS)
        raise InputError(f"--target {folder} holds no image ({known}), no shard and no scored pool; check the address")
    groups = []
    for number, at in enumerate(range(0, len(files), _GROUP)):
        some = files[at : at + _GROUP]
        name = f"{number:05d}"
        stamp = stamps.stamp(images=[info._asdict() for info in some])
        shard = Shard(name, filesystem.join(to, f"{name}.tar"), sum(info.size for info in some), stamp)
        groups.append(ImageGroup(shard, tuple(info.uri for info in some)))
    return tuple(groups)


def _extension(uri: str) -> str:
    return uri.rpartition(".")[2].lower()


def pack(group: ImageGroup) -> Shard:
    """Writes a shard of images without captions; returns the shard, with the size of its tar."""
    tar = b"".join(
        write_sample(f"{number:06d}", [(_extension(uri), filesystem.read_bytes(uri))])
        for number, uri in enumerate(group.files)
    )
    tar += END_OF_ARCHIVE
    filesystem.write_atomic(group.shard.uri, tar)
    return group.shard._replace(size=len(tar))


@dataclasses.dataclass(eq=False)
class PackImages(beam.PTransform):
    """Packs groups of images: the pipeline in, ``Shard`` rows out, each once its tar is written.

    Cost: every image is read and written once; a worker holds the images of one shard, 256.

    Attributes:
      groups: as ``find_images`` returns them.
    """

    groups: Sequence[ImageGroup]

    def expand(self, pipeline: beam.Pipeline) -> Shards:
        return (
            pipeline
            | "Groups" >> beam.Create(list(self.groups))
            | "Spread" >> beam.Reshuffle()
            | "Pack" >> beam.Map(pack).with_output_types(Shard)
            | "Checkpoint" >> beam.Reshuffle()
        )
