"""The exception tree and the closed list of reasons for which a sample is rejected.

CurationError
├─ ConfigError       bad options; every problem of a run in one error      driver, exit 2
├─ InputError        an input, a model or an output location is unusable   driver, exit 2
├─ SampleError       one sample is bad; becomes a row with its reason      worker, job goes on
├─ ShardError        the rest of one shard is bad; the same                worker, job goes on
├─ UnreadableError   one shard cannot be read now; the same                worker, job goes on
├─ EmptyPoolError    there is nothing to measure                           job fails, exit 1
├─ CapacityError     the pool cannot give what a step must take            job fails, exit 1
├─ AccountsError     books do not close, or too many samples rejected      job fails, exit 1
└─ GateError         a crawl is complete, and does not become the latest   job fails, exit 3

Anything else is a bug or an outage: it crashes loudly and the runner retries.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from transforms.lib.addresses import without_secrets


class Reason(str, enum.Enum):
    """Why a sample was rejected. The list is closed: a new reason needs a test and a line in docs/errors.md."""

    SHARD_UNREADABLE = "shard_unreadable"
    NOT_A_TAR = "not_a_tar"
    TAR_TRUNCATED = "tar_truncated"
    TAR_CORRUPT = "tar_corrupt"
    TAR_TOO_LARGE = "tar_too_large"
    TAR_MEMBER_UNSAFE = "tar_member_unsafe"
    DUPLICATE_KEY = "duplicate_key"
    SAMPLE_TOO_LARGE = "sample_too_large"
    UID_INVALID = "uid_invalid"
    JSON_INVALID = "json_invalid"
    IMAGE_MISSING = "image_missing"
    IMAGE_UNDECODABLE = "image_undecodable"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_TOO_COSTLY = "image_too_costly"
    CAPTION_MISSING = "caption_missing"
    CAPTION_NOT_UTF8 = "caption_not_utf8"
    CAPTION_TOO_LARGE = "caption_too_large"
    SCORE_NOT_FINITE = "score_not_finite"
    LABEL_MISSING = "label_missing"
    TAKEN_DOWN = "taken_down"

    def __str__(self) -> str:
        return self.value


class Notice(str, enum.Enum):
    """What is odd about a sample that is used all the same; counted, never a reason to reject it.

    The list is closed, as that of reasons: a new notice needs a test and a line in docs/errors.md.

    Attributes:
      words: what was done about it, as the rest of a sentence that begins with a number of samples.
    """

    words: str

    JSON_UNREADABLE = "json_unreadable", "have a json member that is no JSON object; it was not needed, and not used"
    JSON_NOT_FINITE = "json_not_finite", "have NaN or Infinity in their json; such a field counts as missing"
    JSON_REPEATED_FIELD = "json_repeated_field", "have a field twice in their json; the last one counts"
    SIZE_UNREADABLE = "size_unreadable", "have an original_width or original_height that is no size; the image's counts"
    UID_UNREADABLE = "uid_unreadable", "have a uid that is neither text nor number; a key of Winnow's or a hash counts"
    IMAGE_METADATA = "image_metadata", "have text or a colour profile in their PNG that cannot be read; its pixels can"
    IMAGE_DEPTH = "image_depth", "have an image of more than 8 bits per channel; it was scaled to 8 for all who see it"
    IMAGE_MEMBER = "image_member", "have their image under another name than jpg, png ...; --image_member names one"
    SEVERAL_IMAGES = "several_images", "have several images; the first of jpg, jpeg, png ... is scored, all are copied"
    CAPTION_MEMBER = "caption_member", "have their caption under another name than txt; --caption_member names one"
    CAPTION_LIST = "caption_list", "have a list of captions; --captions says which of them is used"
    DOTTED_KEY = (
        "dotted_key",
        "have a dot in their key, since a key that ends at the first dot makes no pair of them",
    )
    ONE_PIXEL = "one_pixel", "have an image of 1 x 1 pixels, as trackers are"
    PLACEHOLDER = "placeholder", "have an image that ten or more captions of their shard share, as placeholders do"

    def __new__(cls, value: str, words: str) -> Notice:
        notice = str.__new__(cls, value)
        notice._value_ = value
        notice.words = words
        return notice

    def __str__(self) -> str:
        return str(self.value)


class CurationError(Exception):
    """Base of every error that Winnow raises on purpose."""

    exit_code = 1


class ConfigError(CurationError, ValueError):
    """One or more options are unusable; nothing was started.

    Attributes:
      problems: one line each, with the value, what is allowed and the hint.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = tuple(map(without_secrets, (problems,) if isinstance(problems, str) else problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class InputError(ConfigError):
    """An input, a model or an output location is missing or unreadable; nothing was started."""


class DamagedError(InputError):
    """A file of an output folder is not as it was written; the line names it and says what to do."""


class StoreError(InputError):
    """An object store refuses, or does not answer; the line names the address and says what to do."""


class MissingError(StoreError):
    """There is no such object, or no such bucket."""


class NoBucketError(MissingError):
    """There is no such bucket."""


class SampleError(CurationError):
    """One sample cannot be processed.

    Attributes:
      reason: one of ``Reason``.
      detail: what was found, for the index; never a path or a secret.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}" if detail else str(reason))

    def __reduce__(self) -> tuple[type, tuple[Reason, str]]:
        return type(self), (self.reason, self.detail)


class ShardError(CurationError):
    """A tar cannot be read from ``offset`` on.

    Attributes:
      reason: one of ``Reason``.
      offset: byte in the (uncompressed) tar at which reading stopped.
      detail: what was found there.
    """

    def __init__(self, reason: Reason, offset: int, detail: str = "") -> None:
        self.reason = reason
        self.offset = offset
        self.detail = detail
        super().__init__(f"{reason} at byte {offset}: {detail}")

    def __reduce__(self) -> tuple[type, tuple[Reason, int, str]]:
        return type(self), (self.reason, self.offset, self.detail)


class UnreadableError(CurationError):
    """A shard cannot be read: it is gone or locked, or its store or disk does not answer, even after retries.

    Attributes:
      detail: what was found, for the index; never a path or a secret.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class EmptyPoolError(CurationError):
    """There is no sample to measure, so no threshold exists."""


class GateError(CurationError):
    """A crawl did not pass its gate: all of its output is there, and the latest crawl is another one as before."""

    exit_code = 3


class CapacityError(CurationError):
    """A step must take more copies than this pool, or a decision, can hold; the message has the hint."""


class AccountsError(CurationError):
    """The books do not close, or more samples were rejected than the user allows."""
