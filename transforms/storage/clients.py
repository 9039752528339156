"""Which client speaks to the store of an address."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from transforms.lib.errors import StoreError
from transforms.storage.client import StoreClient
from transforms.storage.gcs import GcsClient
from transforms.storage.local import BeamClient, LocalClient
from transforms.storage.s3 import S3Client

CLIENTS: Mapping[str | None, StoreClient] = {None: LocalClient(), "gs": GcsClient(), "s3": S3Client()}
"""Scheme -> client; None is the scheme of a local path."""

_OTHERS = BeamClient()
_BUCKET = re.compile(r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9](/|$)|s3://[^/]")


def client_of(uri: str) -> StoreClient:
    """Returns the client that speaks to the store of an address.

    Raises:
      StoreError: no store has such addresses, or this one names no bucket.
    """
    scheme = FileSystems.get_scheme(uri)
    client = CLIENTS.get(scheme)
    if client is not None:
        if scheme is not None and not _BUCKET.match(uri):
            raise StoreError(f"{uri} names no bucket; write {scheme}://BUCKET/PATH")
        return client
    try:
        FileSystems.get_filesystem(uri)
    except (ValueError, BeamIOError):
        raise StoreError(
            f"{uri}: {scheme}:// is no store that is known here; name a local path, gs:// or s3://"
        ) from None
    return _OTHERS
