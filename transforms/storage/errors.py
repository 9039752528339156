"""The errors of a store's client, as one line for the user: refused, missing, or without an answer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from apache_beam.io.filesystem import BeamIOError

from transforms.lib.errors import MissingError, NoBucketError, StoreError

_CLIENTS = (  # whose errors are about a store
    "boto3.", "botocore.", "s3transfer.", "google.api_core.", "google.auth.", "google.cloud.", "requests.", "urllib3.",
    "obstore.",
)  # fmt: skip
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "RefreshError"}
_NO_ANSWER = {  # classes of the clients: a connection that was not made, broke, or took too long
    "ConnectionError", "HTTPClientError", "IncompleteReadError", "RequestException", "HTTPError", "TransportError",
    "RetryError",
}  # fmt: skip
_NO_BUCKET = (  # in messages of 404, which has one code for both: Google's and Azure's
    "bucket does not exist",
    "<Code>ContainerNotFound</Code>",
)
_RIGHTS = {  # what to do where access is denied
    "": "check the credentials, and their rights",
    "hf": "check owner and name; for a private or gated repository set HF_TOKEN, or run `hf auth login`",
    "http": "check the address: a signature may have run out",
}
_HINTS = {  # what to do where there are no credentials
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, give --s3_access_key_id and --s3_secret_access_key, "
    "or run where a role gives them",
    "gs": "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
}
_STATUS = re.compile(r"status code: (\d{3})")  # in a message of obstore, whose errors have no fields
_KINDS = {"PermissionDeniedError": 403, "UnauthenticatedError": 401, "PreconditionError": 412, "FileNotFoundError": 404}
_NO_REPLY = re.compile(r"HTTP error: |after \d+ retries|timed out")  # in a message of obstore
_DEBUG = re.compile(r"\n\s*Debug source:")  # where obstore repeats its message for its makers
_SHOWN = 160  # characters of a client's message


@contextlib.contextmanager
def one_line(uri: str, *, writes: bool = False) -> Iterator[None]:
    """Turns the errors of a store's client, raised in a ``with`` block, into one line about an address.

    Args:
      uri: what the block reads, writes or lists.
      writes: the block does not need the object to be there, so that 404 speaks of the bucket.

    Raises:
      MissingError: there is no such object.
      NoBucketError: there is no such bucket.
      StoreError: the store refuses, or does not answer even after retries; there are no credentials, or no client.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("boto3", "botocore"):
            raise
        raise StoreError(f"{uri}: s3:// needs boto3; pip install 'winnow-beam[aws]'") from error
    except Exception as error:
        problem = _problem(uri, error, writes)
        if problem is None:
            raise
        raise problem from error


def _problem(uri: str, error: Exception, writes: bool) -> StoreError | None:
    """Returns what is wrong with a store; None when the error is about something else."""
    causes = [cause for cause in _causes(error) if _of_a_client(cause, uri)]
    if not causes:
        return None
    cause, scheme = causes[-1], uri.partition("://")[0]
    status = _status(cause)
    if type(cause).__name__ in _NO_CREDENTIALS:
        return StoreError(
            f"{uri}: there are no credentials for {scheme}:// ({_text_of(cause)}); {_HINTS.get(scheme, 'give them')}"
        )
    if status in (401, 403):
        cure = _RIGHTS.get(scheme.replace("https", "http"), _RIGHTS[""])
        return StoreError(f"{uri}: access denied ({_text_of(cause)}); {cure}")
    if status == 404 and scheme == "hf":
        return MissingError(f"{uri} does not exist; check owner, name, revision and path")
    if status == 404 and (writes or _code(cause) == "NoSuchBucket" or any(text in str(cause) for text in _NO_BUCKET)):
        bucket = uri.partition("://")[2].partition("/")[0]
        return NoBucketError(f"{uri}: there is no bucket {bucket}; create it, or check the address")
    if status == 404:
        return MissingError(f"{uri} does not exist; check the address")
    if status == 412:
        return StoreError(f"{uri} was replaced while it was read; run the same command again")
    silent = status is None and (
        any(kind.__name__ in _NO_ANSWER for kind in type(cause).__mro__) or _NO_REPLY.search(str(cause)) is not None
    )
    if silent or status == 429 or (status or 0) >= 500:
        return StoreError(
            f"{uri}: the store does not answer, even after retries ({_text_of(cause)}); "
            "run the same command again: what is done is kept"
        )
    return StoreError(f"{uri}: the store refuses the request ({_text_of(cause)})")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yields an error and those that it wraps: Beam's errors, and those of clients that gave up, wrap others."""
    yield error
    wrapped: list[Any] = [getattr(error, "cause", None)]
    if isinstance(error, BeamIOError):
        wrapped += (error.exception_details or {}).values()
    for inner in wrapped:
        if isinstance(inner, BaseException):
            yield from _causes(inner)


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status of the answer behind a client's error; None where there was no answer."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore's
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
    code = getattr(error, "code", None)
    if isinstance(code, int):
        return code
    found = _STATUS.search(str(error))
    return getattr(response, "status_code", None) or (int(found[1]) if found else _KINDS.get(type(error).__name__))


def _code(error: BaseException) -> str:
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _of_a_client(error: BaseException, uri: str) -> bool:
    """Tells whether an error came from the client of a store; obstore's of a missing object is the language's own."""
    missing = isinstance(error, FileNotFoundError) and "://" in uri
    return missing or type(error).__module__.startswith(_CLIENTS)


def _text_of(error: BaseException) -> str:
    said = _DEBUG.split(str(error), maxsplit=1)[0]
    text = " ".join((said or type(error).__name__).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
