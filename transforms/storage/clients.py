"""The clients of all stores, and which of them speaks to the store of an address."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from transforms.lib.errors import StoreError
from transforms.storage import hub
from transforms.storage.azure import AzureClient
from transforms.storage.client import StoreClient
from transforms.storage.gcs import GcsClient
from transforms.storage.hub import HubClient
from transforms.storage.local import BeamClient, LocalClient
from transforms.storage.s3 import S3Client
from transforms.storage.web import WebClient

_WEB = WebClient()

CLIENTS: Mapping[str | None, StoreClient] = {
    None: LocalClient(),
    "gs": GcsClient(),
    "s3": S3Client(),
    "az": AzureClient(),
    "hf": HubClient(),
    "https": _WEB,
    "http": _WEB,
}
"""Scheme -> client; None is the scheme of a local path."""

_OTHERS = BeamClient()
_ADDRESSES = {  # scheme -> what its addresses look like, and how to write one
    "gs": (re.compile(r"gs://[a-z0-9][-_a-z0-9.]*[a-z0-9](/|$)"), "names no bucket; write gs://BUCKET/PATH"),
    "s3": (re.compile(r"s3://[^/]"), "names no bucket; write s3://BUCKET/PATH"),
    "az": (re.compile(r"az://[^/]"), "names no container; write az://CONTAINER/PATH"),
    "hf": (hub.ADDRESS, "names no repository; write hf://datasets/OWNER/NAME@REVISION/PATH"),
    "https": (re.compile(r"https://[^/?#]"), "names no server; write https://HOST/PATH"),
    "http": (re.compile(r"http://[^/?#]"), "names no server; write http://HOST/PATH"),
}


def client_of(uri: str) -> StoreClient:
    """Returns the client that speaks to the store of an address.

    Raises:
      StoreError: no store has such addresses, or this one names no bucket.
    """
    scheme = FileSystems.get_scheme(uri)
    client = CLIENTS.get(scheme)
    if client is not None:
        if scheme is not None and not _ADDRESSES[scheme][0].match(uri):
            raise StoreError(f"{uri} {_ADDRESSES[scheme][1]}")
        return client
    known = ", ".join(f"{name}://" for name in CLIENTS if name)
    try:
        FileSystems.get_filesystem(uri)
    except (ValueError, BeamIOError):
        raise StoreError(
            f"{uri}: {scheme}:// is no store that is known here; name a local path, or one of {known}"
        ) from None
    return _OTHERS
