"""What output shards hold, as counts: image formats under their names, and members, so that loaders can be warned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from transforms.lib.errors import SampleError
from transforms.lib.reshard.shard_format import Members
from transforms.lib.samples import images

_MOST_NAMES = 100  # of members that are counted in a shard: the names are data, and could be one for each sample
_IMAGE, _MEMBER, _PICKLE = "image ", "member ", "pickle "

Counts = tuple[tuple[str, int], ...]
"""Name -> count, as a row that Beam can carry; ``Counting`` makes the names, and only ``Held`` reads them."""


class Counting:
    """Counts the samples of one shard as they go by."""

    def __init__(self) -> None:
        self._images: Counter[tuple[str, str]] = Counter()  # by kind and extension
        self._shapes: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()  # by members and pickles

    def add(self, members: Members, pickles: Iterable[str] = ()) -> None:
        """Counts one sample.

        Args:
          members: that the output holds of it.
          pickles: extensions of the members that were left out.
        """
        self._shapes[tuple([name for name, _ in members]), tuple(pickles)] += 1
        try:
            extension, data = images.image_of(dict(members))
        except SampleError:
            return
        self._images[images.kind_of(data), extension] += 1

    def counts(self) -> Counts:
        """Returns the counts so far, sorted by name."""
        total: Counter[str] = Counter()
        for (members, pickles), count in self._shapes.items():  # in the order in which they came
            for name in (*(f"{_MEMBER}{name}" for name in members), *(f"{_PICKLE}{name}" for name in pickles)):
                if name in total or len(total) < _MOST_NAMES:
                    total[name] += count
        for (kind, extension), count in self._images.items():
            total[f"{_IMAGE}{kind} {extension}"] += count
        return tuple(sorted(total.items()))


class Held(NamedTuple):
    """The counts of a whole output.

    Attributes:
      images: (extension, format by content) -> samples whose image has both; a sample without an image is in none.
      members: extension -> samples that have such a member; in each shard, of the first 100 names in it.
      pickles: extension -> members of it that were left out because loaders would unpickle them.
    """

    images: Mapping[tuple[str, str], int]
    members: Mapping[str, int]
    pickles: Mapping[str, int]

    @classmethod
    def of(cls, shards: Iterable[Counts]) -> Held:
        """Returns the sum of the counts of all shards."""
        total: Counter[str] = Counter()
        for counts in shards:
            total.update(dict(counts))
        found: dict[tuple[str, str], int] = {}
        for name, count in sorted(total.items()):
            if name.startswith(_IMAGE):
                kind, _, extension = name.removeprefix(_IMAGE).partition(" ")
                found[extension, kind] = count
        members, pickles = (
            {name.removeprefix(what): count for name, count in sorted(total.items()) if name.startswith(what)}
            for what in (_MEMBER, _PICKLE)
        )
        return cls(found, members, pickles)
