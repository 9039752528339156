"""What an output carries of a sample, and under which names: members that loaders can take, and none that runs code."""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

from transforms.lib import stamps
from transforms.lib.errors import SampleError
from transforms.lib.reshard import json_fields
from transforms.lib.reshard.shard_format import Members
from transforms.lib.samples import encode, images

ALL = "all"
"""Value of ``carry``: every member, pickles among them."""
KEEP = "keep"
"""Value of ``image_name`` and ``image_type``: as in the input."""
IMAGE_NAME = "jpg"
"""Name that an image has where all have one."""
PICKLES = frozenset({"pyd", "pickle", "pkl", "pth", "pt", "joblib", "dill", "ckpt"})
"""Last parts of extensions whose members loaders unpickle, which runs what is in them.

Source: ``webdataset.autodecode.decoders`` (``pyd``, ``pickle``, and ``pth`` by ``torch.load``), and the extensions that
pickle, joblib, dill and PyTorch name.
"""
_NPY = b"\x93NUMPY"
_NPY_HEADER_BYTES = 1 << 12
_OBJECTS = re.compile(rb"""['"][|<>=]?O\d*['"]""")  # the type of Python objects in the header of an array
_ALWAYS = frozenset({"txt"})
_FORMER_FORMAT, _FORMER_SHA256 = "original_image_format", "original_image_sha256"  # fields of the json


class CarriedMembers(NamedTuple):
    """The members that go into the output, and the extensions of those left out because they are pickles."""

    members: Members
    pickles: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Carried:
    """Chooses and names the members of a sample.

    Attributes:
      carry: extensions of the members to be carried beside image and ``.txt``, which always are; empty for all but
        pickles, ``("all",)`` for all. A pickle is carried where its extension is listed.
      image_name: ``jpg``: the image has this name, whatever its format; ``keep``: the name it has.
      image_type: ``keep``: images keep their bytes; ``jpg`` or ``webp``: those of another format are encoded again, and
        all have this name.
    """

    carry: tuple[str, ...] = ()
    image_name: str = IMAGE_NAME
    image_type: str = KEEP

    def of(self, members: Members) -> CarriedMembers:
        """Returns what the output carries of a sample; no byte of a member changes unless images are encoded again.

        An image that cannot be decoded, such as OpenEXR, keeps its bytes and its name.

        Args:
          members: (lower-case extension, data) of a sample.
        """
        try:
            image, _ = images.image_of(dict(members))
        except SampleError:
            image = ""
        kept: Members = []
        pickles: list[str] = []
        for name, data in members:
            if name == image or name in _ALWAYS or self._listed(name):
                kept.append((name, data))
            elif not self.carry and is_pickle(name, data):
                pickles.append(name)
            elif not self.carry:
                kept.append((name, data))
        if image and self.image_type != KEEP:
            kept = _encoded(kept, image, self.image_type)
        elif image and self.image_name != KEEP:
            kept = _renamed(kept, image, self.image_name)
        return CarriedMembers(kept, tuple(pickles))

    def _listed(self, name: str) -> bool:
        return ALL in self.carry or name in self.carry or name.rpartition(".")[2] in self.carry


AS_STORED = Carried((ALL,), KEEP)
"""Every member, under its own name."""
FOR_LOADERS = Carried()
"""What loaders take: all but pickles, and images under one name."""


def is_pickle(extension: str, data: bytes) -> bool:
    """Returns whether a loader that goes by the extension would unpickle a member, or it is an array of objects.

    Args:
      extension: in lower case, with all its dots; the last part counts, as in webdataset.
      data: of the member.
    """
    last = extension.rpartition(".")[2]
    if last in PICKLES:
        return True
    return last == "npy" and data.startswith(_NPY) and _OBJECTS.search(data[:_NPY_HEADER_BYTES]) is not None


def _renamed(members: Members, image: str, name: str) -> Members:
    """Returns the members with the image under another name; one that has that name becomes ``other.NAME``."""
    if image == name:
        return members
    names = {image: name, name: f"other.{name}"}
    return [(names.get(extension, extension), data) for extension, data in members]


def _encoded(members: Members, image: str, extension: str) -> Members:
    """Returns the members with the image in another format; the json says which format and which bytes it had."""
    before = dict(members)[image]
    try:
        data = encode.to_format(before, extension)
    except SampleError:
        return members
    changed = _renamed([(name, data if name == image else old) for name, old in members], image, extension)
    if data is before:
        return changed
    return json_fields.with_fields(
        changed, {_FORMER_FORMAT: images.kind_of(before), _FORMER_SHA256: stamps.sha256(before)}
    )
