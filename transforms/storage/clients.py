"""Which client speaks to the store of an address."""

from __future__ import annotations

import re
from types import ModuleType

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from transforms.lib.errors import StoreError
from transforms.storage import gcs, s3

_STORES = {"gs": gcs, "s3": s3}
_BUCKET = re.compile(r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9](/|$)|s3://[^/]")


def store_of(uri: str) -> ModuleType | None:
    """Returns the module that speaks to the store of an address; None where Beam's file systems do.

    Raises:
      StoreError: no store has such addresses, or this one names no bucket.
    """
    scheme = FileSystems.get_scheme(uri)
    if store := _STORES.get(scheme):
        if not _BUCKET.match(uri):
            raise StoreError(f"{uri} names no bucket; write {scheme}://BUCKET/PATH")
        return store
    if scheme is not None:
        try:
            FileSystems.get_filesystem(uri)
        except (ValueError, BeamIOError):
            raise StoreError(
                f"{uri}: {scheme}:// is no store that is known here; name a local path, gs:// or s3://"
            ) from None
    return None
