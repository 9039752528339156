"""Names that stand for files elsewhere: links on a disk, copies in a bucket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from transforms.storage import filesystem
from transforms.storage.local import partial_name


def show(root: str, folder: str, alias: str, names: Sequence[str]) -> None:
    """Shows files of a folder under their names below ``root``, where older ones of these names go.

    On a disk, ``alias`` is a link to the folder, and each name a link through it: all of them change in one rename. A
    bucket has no links: files are copied inside it, each whole, and what lies below the name of a folder is deleted.

    Args:
      root: of everything.
      folder: path below ``root``.
      alias: path below ``root``, in the same place as the folder.
      names: of files and folders in ``folder``; those that it does not have are not shown.
    """
    folder = folder.rstrip("/")
    if filesystem.is_local(root):
        _link(os.path.basename(folder), os.path.join(root, alias))
        for name in names:
            _link(os.path.join(alias, name), os.path.join(root, name))
        return
    source = filesystem.join(root, folder)
    for name in names:
        target = filesystem.join(root, name)
        if filesystem.stat(filesystem.join(source, name)):
            filesystem.copy(filesystem.join(source, name), target)
        else:
            filesystem.delete([target, *(info.uri for info in filesystem.children(target))])


def _link(to: str, path: str) -> None:
    """Makes a link of relative address ``to`` at ``path``; none where it would lead nowhere."""
    place = os.path.dirname(path)
    if os.path.islink(path) and os.readlink(path) == to and os.path.exists(path):
        return
    if not os.path.exists(os.path.join(place, to)):
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        return
    temporary = os.path.join(place, partial_name(os.path.basename(path)))
    os.symlink(to, temporary)
    if os.path.isdir(path) and not os.path.islink(path):  # of an older version, which wrote no links
        old = os.path.join(place, partial_name(os.path.basename(path)))
        os.rename(path, old)
        os.replace(temporary, path)
        shutil.rmtree(old)
        return
    os.replace(temporary, path)
