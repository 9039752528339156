"""Objects at s3:// addresses: listed, read by ranges, and put in one piece, by one boto3 client per process.

Beam's own writer of s3:// completes an upload whatever happened to it, cannot write an empty file, makes a client for
every call, and waits minutes for credentials that are not there. So Winnow calls boto3 directly; the settings
are Beam's (``--s3_endpoint_url`` and the others).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, cast

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, S3Options
from apache_beam.utils import retry

from transforms.storage.client import FileInfo
from transforms.storage.object_store import ObjectStore, RangeReader

_ONE_PUT_BYTES = 1 << 30  # S3 takes 5 GiB in one request; above this, parts are put, and completed when all are there
_PART_BYTES = 1 << 26
_ATTEMPTS = 8  # of one request, with waits that double up to a minute
_MOST_DELETED = 1000  # keys in one request; the limit of the API


class _Settings(NamedTuple):
    """What a client is made from: Beam's options of the same names."""

    access_key: str | None
    secret_key: str | None
    token: str | None
    endpoint: str | None
    region: str | None
    api_version: str | None
    verify: str | None
    plain: bool


def _split(uri: str) -> tuple[str, str]:
    """Returns bucket and key of an address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class S3Client(ObjectStore):
    """The ``StoreClient`` of Amazon S3, and of stores that speak as it does."""

    def list_prefix(self, prefix: str) -> Iterator[FileInfo]:
        bucket, key = _split(prefix)
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for item in page.get("Contents", ()):
                yield FileInfo(f"s3://{bucket}/{item['Key']}", item["Size"], item["LastModified"].timestamp())

    def folders(self, folder: str) -> Iterator[str]:
        """Yields the names of the folders directly below one, 1,000 per request, whatever they hold."""
        bucket, key = _split(folder.rstrip("/") + "/")
        for page in _client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key, Delimiter="/"):
            for item in page.get("CommonPrefixes", ()):
                yield item["Prefix"][len(key) :].rstrip("/")

    def exists(self, uri: str) -> bool:
        from botocore.exceptions import ClientError

        bucket, key = _split(uri)
        try:
            _client().head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def read_bytes(self, uri: str) -> bytes:
        bucket, key = _split(uri)
        return _body({"Bucket": bucket, "Key": key})

    def reader(self, uri: str) -> RangeReader:
        return _Object(uri)

    def put(self, uri: str, file: BinaryIO) -> None:
        from boto3.s3.transfer import TransferConfig

        bucket, key = _split(uri)
        how = TransferConfig(multipart_threshold=_ONE_PUT_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False)
        _client().upload_fileobj(file, bucket, key, {"ContentType": "application/octet-stream"}, Config=how)

    def read_version(self, uri: str) -> tuple[bytes, str]:
        bucket, key = _split(uri)

        def read() -> tuple[bytes, str]:
            answer = _client().get_object(Bucket=bucket, Key=key)
            return bytes(answer["Body"].read()), str(answer["ETag"])

        data, version = _again(read)()
        return data, version

    def replace(self, uri: str, data: bytes, version: str) -> bool:
        """Puts an object by ``If-Match`` with its ETag, or ``If-None-Match: *`` where there is none."""
        from botocore.exceptions import ClientError

        bucket, key = _split(uri)
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            _client().put_object(Bucket=bucket, Key=key, Body=data, ContentType="application/octet-stream", **condition)
        except ClientError as error:
            answer = error.response
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            gone = status == 404 and bool(version) and answer["Error"]["Code"] != "NoSuchBucket"
            if status in (409, 412) or gone:  # 409: two conditional puts at once
                return False
            raise
        return True

    def copy(self, source: str, target: str) -> None:
        bucket, key = _split(target)
        _client().copy(dict(zip(("Bucket", "Key"), _split(source), strict=True)), bucket, key)

    def delete(self, uris: Sequence[str]) -> None:
        """Deletes objects; those that are not there are no error.

        Raises:
          botocore.exceptions.ClientError: the store kept some; as if the first of them had been deleted alone.
        """
        from botocore.exceptions import ClientError

        buckets: dict[str, list[str]] = {}
        for uri in uris:
            bucket, key = _split(uri)
            buckets.setdefault(bucket, []).append(key)
        for bucket, keys in buckets.items():
            for start in range(0, len(keys), _MOST_DELETED):
                listed = [{"Key": key} for key in keys[start : start + _MOST_DELETED]]
                answer = _client().delete_objects(Bucket=bucket, Delete={"Objects": listed, "Quiet": True})
                for refused in answer.get("Errors", ()):
                    status = {"HTTPStatusCode": 403 if refused["Code"] == "AccessDenied" else 500}
                    raise ClientError({"Error": refused, "ResponseMetadata": status}, "DeleteObjects")


def _client() -> Any:
    """Returns this process's client for the options that Beam's file systems have now."""
    options = cast(Any, FileSystems.get_filesystem("s3://"))._options or {}
    if not isinstance(options, PipelineOptions):
        options = PipelineOptions.from_dictionary(dict(options))
    s3 = options.view_as(S3Options)
    return _client_of(
        _Settings(
            s3.s3_access_key_id,
            s3.s3_secret_access_key,
            s3.s3_session_token,
            s3.s3_endpoint_url,
            s3.s3_region_name,
            s3.s3_api_version,
            s3.s3_verify,
            bool(s3.s3_disable_ssl),
        )
    )


@functools.cache
def _client_of(settings: _Settings) -> Any:
    import boto3
    from botocore.exceptions import InvalidConfigError, NoCredentialsError

    session = boto3.session.Session()
    if not settings.access_key and session.get_credentials() is None:
        raise NoCredentialsError
    try:
        return _new_client(session, settings)
    except ValueError as error:  # an endpoint of the environment, or of a profile, is no address
        raise InvalidConfigError(error_msg=str(error)) from error


def _new_client(session: Any, settings: _Settings) -> Any:
    from botocore.config import Config

    return session.client(
        "s3",
        region_name=settings.region,
        api_version=settings.api_version,
        use_ssl=not settings.plain,
        verify=settings.verify,
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.token,
        # "legacy" is the mode that repeats a request answered by 429
        config=Config(retries={"mode": "legacy", "total_max_attempts": _ATTEMPTS}, max_pool_connections=32),
    )


def _broken_off(error: Exception) -> bool:
    """Tells whether an answer began and did not end; botocore repeats only those that did not begin."""
    from botocore.exceptions import HTTPClientError, IncompleteReadError
    from urllib3.exceptions import HTTPError

    return isinstance(error, (HTTPClientError, IncompleteReadError, HTTPError, ConnectionError))


class _Object:
    """Reads byte ranges of one version of an object."""

    def __init__(self, uri: str) -> None:
        self._place = dict(zip(("Bucket", "Key"), _split(uri), strict=True))
        head = _client().head_object(**self._place)
        self._size: int = head["ContentLength"]
        self._version: str = head["ETag"]

    @property
    def size(self) -> int:
        return self._size

    def get_range(self, start: int, end: int) -> bytes:
        return _body({**self._place, "Range": f"bytes={start}-{end - 1}", "IfMatch": self._version})


_again = retry.with_exponential_backoff(
    num_retries=_ATTEMPTS - 1, initial_delay_secs=0.5, retry_filter=_broken_off, logger=lambda *args: None
)


def _body(request: dict[str, str]) -> bytes:
    """Returns the bytes that answer a request for an object, or for a range of it."""
    return bytes(_again(lambda: _client().get_object(**request)["Body"].read())())
