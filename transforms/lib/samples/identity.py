"""Whether the bytes of a sample, read again, are those that were indexed."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from transforms.lib.errors import InputError, SampleError, ShardError
from transforms.lib.samples import images

READ_ERRORS = (FileNotFoundError, EOFError, ShardError, SampleError)
"""What reading a sample raises where the input shard is another one."""


class Indexed(NamedTuple):
    """What the index knows of a sample's bytes.

    Attributes:
      key: of the sample.
      image_sha256: of its encoded image; empty where the image was not looked at.
      sample_digest: as ``digest_of`` made it; empty where none was asked for.
      image_extension: of the member that is its image; empty where the image was not looked at.
    """

    key: str
    image_sha256: str
    sample_digest: str
    image_extension: str = ""


def digest_of(method: str, key: str, members: Iterable[tuple[str, bytes]]) -> str:
    """Returns the digest of a sample: of its key, and of the extension and data of each member, in their order.

    That is all of it that is ever copied. Times and owners in the headers of the tar have no say.

    Args:
      method: ``none``, ``crc32c`` or ``sha256``, as for --sample_digest.
      key: of the sample.
      members: lower-case extension and data.

    Returns:
      the method, a colon and hex digits: 8 of CRC-32C (RFC 3720), or 64 of SHA-256; "" for ``none``.
    """
    if method == "none":
        return ""
    if method == "sha256":
        sha256 = hashlib.sha256()
        for part in _parts(key, members):
            sha256.update(part)
        return f"sha256:{sha256.hexdigest()}"
    import google_crc32c  # of google-cloud-storage; imported where it is wanted, as that library is

    crc = 0
    for part in _parts(key, members):
        crc = google_crc32c.extend(crc, part)
    return f"crc32c:{crc:08x}"


def _parts(key: str, members: Iterable[tuple[str, bytes]]) -> Iterable[bytes]:
    """Yields a sample's bytes and their lengths, so that no two samples give the same."""
    for text, data in (("", key.encode()), *members):
        name = text.encode()
        yield b"%d %d " % (len(name), len(data)) + name
        yield data


def difference(indexed: Indexed, key: str, members: Sequence[tuple[str, bytes]], check: str) -> str:
    """Returns how a sample differs from the one that was indexed, after "the sample there"; empty when it does not.

    Args:
      indexed: what the index says of it.
      key: that its headers have.
      members: extension and data.
      check: ``content`` or, to compare the key alone, ``headers``, as for --check.
    """
    if key != indexed.key:
        return "has another key"
    if check == "headers":
        return ""
    if indexed.sample_digest:
        method = indexed.sample_digest.partition(":")[0]
        return "" if digest_of(method, key, members) == indexed.sample_digest else "has other members"
    if indexed.image_sha256:
        try:
            image = images.image_of(dict(members), indexed.image_extension)[1]
        except SampleError:
            return "has no image any more"
        return "" if hashlib.sha256(image).hexdigest() == indexed.image_sha256 else "has another image"
    return ""


@contextlib.contextmanager
def as_indexed(uri: str) -> Iterator[None]:
    """Turns what goes wrong while an input shard is read, because it is another one, into one line about it."""
    try:
        yield
    except READ_ERRORS as error:
        raise misread(uri, error) from None


def misread(uri: str, error: Exception) -> InputError:
    """Returns the line about one of ``READ_ERRORS``, for loops in which ``as_indexed`` would be entered per sample."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{uri} is missing; put it back, or run `winnow score` and `winnow select` again")
    return changed(uri, str(error))


def changed(uri: str, found: str) -> InputError:
    """Returns the error of an input shard that is not the one that was indexed."""
    return InputError(
        f"{uri} is not as it was when it was scored: {found}; put it back, or run `winnow score` and `winnow select` "
        "again"
    )
