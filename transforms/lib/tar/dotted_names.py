"""Names with dots before the extension: ``22.05.png`` and ``22.05.txt``, or ``a.input.jpg`` and ``a.output.txt``.

``webdataset`` ends a key at the first dot. For the first pair that gives the key ``22``, the extensions ``05.png`` and
``05.txt``, and one sample with the pairs ``22.06`` and so on. Its rule stands wherever a sample has a member with a
plain extension. Where all members of a sample share what lies between the first and the last dot, that is part of the
key.
"""

from __future__ import annotations

from collections.abc import Iterable

from transforms.lib.tar.raw_sample import RawSample


def shared_part(extensions: Iterable[str]) -> str:
    """Returns what two or more extensions have before their last dot, if it is the same in all; else nothing."""
    names = list(extensions)
    parts = {name.rpartition(".")[0] for name in names}
    return parts.pop() if len(parts) == 1 and len(names) > 1 else ""


class DottedNames:
    """Finds where samples begin that have one key by webdataset's rule, and gives each of them a key of its own."""

    def __init__(self) -> None:
        self._part = ""  # what the first member of the present sample has between its first and its last dot
        self._parted = ""  # the last key, up to its first dot, that several samples have

    def begin(self, key: str, extension: str) -> str:
        """Notes the first member of a sample; returns the key that the sample has if all members share its dots."""
        self._part = extension.rpartition(".")[0]
        return f"{key}.{self._part}" if self._part else key

    def begins_another(self, sample: RawSample, extension: str) -> bool:
        """Tells whether a member belongs to another sample than those before it, though the first dot gives one key.

        It does when those before it are whole, two or more that share what lies before their last dot, and it has
        something else there and an extension behind it that they have already. Of a rejected sample the members are
        gone; where keys have dots, the next part is the next sample.

        Args:
          sample: so far.
          extension: of the member that follows.
        """
        part, _, last = extension.rpartition(".")
        if sample.problem is not None:
            return self._parted == sample.key and part != self._part
        before = shared_part(sample.members)
        if not (part and before and part != before and f"{before}.{last}" in sample.members):
            return False
        self._parted = sample.key
        return True

    def complete(self, sample: RawSample) -> tuple[str, ...]:
        """Makes what the members of a whole sample share a part of its key; returns the key where they share nothing.

        That is for samples whose first member has dots in its extension; others stay as they are.
        """
        if sample.problem is not None or "." not in next(iter(sample.members), ""):
            return ()
        part = shared_part(sample.members)
        if not part:
            return (sample.key,)
        sample.key = f"{sample.key}.{part}"
        sample.members = {name[len(part) + 1 :]: data for name, data in sample.members.items()}
        return ()
