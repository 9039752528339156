"""The members of a sample as the decision saw them: the scored caption as ``.txt``, and columns in its json."""

from __future__ import annotations

from transforms.lib.reshard.shard_format import Members
from transforms.lib.samples import image_formats

CAPTION = "txt"
"""Extension of the member that open_clip's and webdataset's loaders take the caption from."""
_FORMER = "original"
_BOM = b"\xef\xbb\xbf"


def with_caption(members: Members, caption: str) -> Members:
    """Puts the caption that was scored where loaders look for it.

    A ``.txt`` with other text stays under the name ``original.txt`` (``original.2.txt`` where that is taken), behind
    the other members. Members of a sample whose ``.txt`` is the caption, but for white space around it, stay as they
    are.

    Args:
      members: (lower-case extension, data) of a sample.
      caption: that was scored; empty where none was, and then nothing changes.

    Returns:
      members, of which ``.txt`` holds the caption in UTF-8.
    """
    if not caption:
        return members
    text = caption.encode()
    stored = next((data for name, data in members if name == CAPTION), None)
    if stored is None:
        return [*members, (CAPTION, text)]
    if stored == text or _same(stored, caption):
        return members
    return replaced(members, CAPTION, text)


def with_image(members: Members, extension: str) -> Members:
    """Puts the image that was scored where loaders look for it.

    ``input.jpg`` becomes ``jpg``, and ``img`` what its bytes are. An image that loaders would take instead stays under
    the name ``original.jpg``. Members of a sample whose image has such a name already stay as they are.

    Args:
      members: (lower-case extension, data) of a sample.
      extension: of the image that was scored; empty where none was, and then nothing changes.

    Returns:
      members, of which the scored image is the first in the order of ``images.IMAGE_EXTENSIONS``.
    """
    if not extension or extension == image_formats.IMAGE_EXTENSIONS[0]:
        return members
    by_name = dict(members)
    if extension not in by_name:
        return members
    plain = image_formats.plain_extension(extension, by_name[extension])
    order = image_formats.IMAGE_EXTENSIONS
    before = order[: order.index(plain) + 1] if plain in order else order
    names = {name: _free_name(members, name) for name in before if name in by_name and name != extension}
    names[extension] = plain
    return [(names.get(name, name), data) for name, data in members]


def replaced(members: Members, extension: str, data: bytes) -> Members:
    """Returns the members with another one in the place of ``extension``; the former one is last, as ``original``."""
    former = next(old for name, old in members if name == extension)
    changed = [(name, data if name == extension else old) for name, old in members]
    return [*changed, (_free_name(members, extension), former)]


def _same(stored: bytes, caption: str) -> bool:
    try:
        return stored.removeprefix(_BOM).decode().strip() == caption
    except UnicodeDecodeError:
        return False


def _free_name(members: Members, extension: str) -> str:
    """Returns a name for a former member that no member has."""
    taken = {name for name, _ in members}
    name, number = f"{_FORMER}.{extension}", 2
    while name in taken:
        name, number = f"{_FORMER}.{number}.{extension}", number + 1
    return name


def is_former_image(extension: str) -> bool:
    """Tells whether a member is an image that ``with_image`` put aside."""
    first, _, rest = extension.partition(".")
    return first == _FORMER and rest.rpartition(".")[2] in image_formats.IMAGE_EXTENSIONS
