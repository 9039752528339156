"""Objects at az:// addresses, ``az://CONTAINER/PATH``, in Azure's Blob Storage: listed, read by ranges, and put."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import AzureOptions, PipelineOptions

from transforms.lib.errors import StoreError
from transforms.storage.client import FileInfo
from transforms.storage.object_store import ObjectStore, RangeReader

if TYPE_CHECKING:
    from obstore.store import AzureStore

_PAGE = 1000  # names per step of a listing
_AT_ONCE = 8  # deletions at a time
_WORDS = {  # of a connection string -> obstore's
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "BlobEndpoint": "endpoint",
    "SharedAccessSignature": "sas_token",
}


class _Settings(NamedTuple):
    """What a client is made from: Beam's options of the same names; without them, the environment."""

    connection_string: str | None
    endpoint: str | None
    client_id: str | None


class AzureClient(ObjectStore):
    """The ``StoreClient`` of Azure's Blob Storage."""

    def list_prefix(self, prefix: str) -> Iterator[FileInfo]:
        import obstore

        store, key = _place(prefix)
        head = prefix.removesuffix(key)
        for page in obstore.list(store, key.rpartition("/")[0] or None, chunk_size=_PAGE):
            for item in page:
                if item["path"].startswith(key):
                    yield _info(head + item["path"], item)

    def folders(self, folder: str) -> Iterator[str]:
        import obstore

        store, key = _place(folder.rstrip("/") + "/")
        for name in obstore.list_with_delimiter(store, key.rstrip("/") or None)["common_prefixes"]:
            yield name.rstrip("/").rpartition("/")[2]

    def stat(self, uri: str) -> FileInfo | None:
        import obstore

        try:
            found = obstore.head(*_place(uri))
        except FileNotFoundError:
            return None
        return _info(uri, found)

    def exists(self, uri: str) -> bool:
        return self.stat(uri) is not None

    def read_bytes(self, uri: str) -> bytes:
        from transforms.storage.obstore_reader import read_object

        return read_object(*_place(uri))

    def reader(self, uri: str) -> RangeReader:
        import obstore

        from transforms.storage.obstore_reader import ObjectReader

        store, key = _place(uri)
        return ObjectReader(store, key, obstore.head(store, key))

    def put(self, uri: str, file: BinaryIO) -> None:
        import obstore

        obstore.put(*_place(uri), file)

    def read_version(self, uri: str) -> tuple[bytes, str]:
        import obstore

        found = obstore.get(*_place(uri))
        return bytes(found.bytes()), str(found.meta["e_tag"])

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Puts a blob by ``If-Match`` with its ETag, or ``If-None-Match: *`` where there is none."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            obstore.put(*_place(uri), data, mode={"e_tag": version} if version else "create")
        except (AlreadyExistsError, PreconditionError):
            return False
        except FileNotFoundError:  # it was deleted meanwhile; or there is no container, which any other request says
            if version:
                return False
            raise
        return True

    def copy(self, source: str, target: str) -> None:
        import obstore

        store, key = _place(source)
        obstore.copy(store, key, _place(target)[1])

    def delete(self, uris: Sequence[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(_delete, dict.fromkeys(uris)))


def _info(uri: str, facts: Mapping[str, Any]) -> FileInfo:
    version = (facts["e_tag"] or "").strip('"')  # in a listing it has no quotes
    return FileInfo(uri, facts["size"], facts["last_modified"].timestamp(), version)


def _delete(uri: str) -> None:
    import obstore

    with contextlib.suppress(FileNotFoundError):
        obstore.delete(*_place(uri))


def _place(uri: str) -> tuple[AzureStore, str]:
    """Returns the container of an address, and the path in it.

    Raises:
      StoreError: the client cannot name such a path.
    """
    container, _, key = uri.removeprefix("az://").partition("/")
    if "//" in key or {".", ".."} & set(key.split("/")):
        raise StoreError(f"{uri}: no part of an az:// address may be empty, '.' or '..'")
    return _store(container, _settings()), key


def _settings() -> _Settings:
    options = cast(Any, FileSystems)._pipeline_options
    azure = (options if isinstance(options, PipelineOptions) else PipelineOptions([])).view_as(AzureOptions)
    return _Settings(azure.azure_connection_string, azure.blob_service_endpoint, azure.azure_managed_identity_client_id)


@functools.cache
def _store(container: str, settings: _Settings) -> AzureStore:
    from obstore.store import AzureStore

    from transforms.storage.obstore_reader import RETRIES, client_options

    words = dict(part.split("=", 1) for part in (settings.connection_string or "").split(";") if "=" in part)
    config = {ours: words[theirs] for theirs, ours in _WORDS.items() if theirs in words}
    if settings.endpoint:
        config["endpoint"] = settings.endpoint
    if settings.client_id:
        config["client_id"] = settings.client_id
    return AzureStore(container, config=cast(Any, config), client_options=cast(Any, client_options()),
                      retry_config=cast(Any, RETRIES))  # fmt: skip
