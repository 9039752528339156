"""What is known of a sample before its image is decoded: its index row, its caption, and the bytes of its image."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from transforms.lib import uid_rule
from transforms.lib.columnstore import columns
from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples import captions, identity, images, origin
from transforms.lib.samples.captions import CaptionRule
from transforms.lib.tar.shard_samples import RawSample
from transforms.lib.tar_limits import DEFAULT_LIMITS, TarLimits

_LONGEST_SIZE = 32  # characters of a size given as text
_TEXTS = (
    "uid",
    "uid_text",
    "detail",
    "caption",
    "image_extension",
    "image_sha256",
    "notices",
    "sample_digest",
    "url",
    "opt_out",
)
_NUMBERS = ("image_bytes", "width", "height", "original_width", "original_height", "phash")
_BLANK: dict[str, Any] = {**dict.fromkeys(_TEXTS, ""), **dict.fromkeys(_NUMBERS, 0), "status": columns.OK}
_NO_IMAGE = hashlib.sha256().digest()


@dataclasses.dataclass(frozen=True)
class ReadRules:
    """How samples are read; part of the index's stamp.

    Attributes:
      caption_field: json field that holds the caption; empty for ``.txt``, then json ``caption``.
      max_pixels: images with more are rejected before they are decoded.
      max_sample_bytes: samples with more are rejected unread.
      tar: what else of a tar is beyond what is read.
      others: python of an environment with tensorflow-io, which decodes formats that Pillow cannot read; empty to
        reject them. The stamp holds whether it is given, not its path.
      variant: of the preprocessing, one of ``preprocessing.VARIANTS``. With ``fast`` the perceptual hash is that of a
        scaled decode, with ``gpu`` that of what a GPU decoded; they differ by a bit or two.
      uid_field: json field that holds the uid; ``none`` for no field.
      sample_digest: the digest of whole samples that the index notes, as for ``identity.digest_of``.
      opt_out_fields: json fields by which a sample says that its owner does not want it used.
      image_member: extension of the member that is the image; empty for the one that is named like one.
      caption_member: extension of the member that is the caption; empty for ``.txt``, then json ``caption``.
      captions: which caption of a list, as ``CaptionRule.pick``.
      caption_optional: a sample without a caption is good, for networks that see images alone.
      look: False makes an index for copying only: images are not decoded, and a sample needs neither image nor caption.
    """

    needs_caption: ClassVar[bool] = True

    caption_field: str = ""
    max_pixels: int = 89_478_485  # Pillow's own warning level: 256 MiB of RGB
    max_sample_bytes: int = 1 << 28
    tar: TarLimits = DEFAULT_LIMITS
    look: bool = True
    others: str = ""
    variant: str = "exact"
    uid_field: str = "uid"
    sample_digest: str = "none"
    opt_out_fields: tuple[str, ...] = ()
    image_member: str = ""
    caption_member: str = ""
    captions: str = ""
    caption_optional: bool = False

    @functools.cached_property
    def caption_rule(self) -> CaptionRule:
        """Where the caption of a sample is."""
        return CaptionRule(self.caption_field, self.caption_member, self.captions)


@dataclasses.dataclass(frozen=True)
class ImageRules(ReadRules):
    """How images alone are read: a sample needs no caption, and has none."""

    needs_caption: ClassVar[bool] = False


@dataclasses.dataclass
class Looked:
    """A sample that was parsed.

    Attributes:
      row: of ``INDEX_SCHEMA``; without the image's size while there is something to decode.
      data: the encoded image, when it is to be decoded; else None. One of no bytes is to be decoded too, and refused.
      document: the json member.
      notices: what is odd about the sample.
      choices: the captions of which a network is to pick the best; empty where there is nothing to pick.
    """

    row: dict[str, Any]
    data: bytes | None = None
    document: dict[str, Any] = dataclasses.field(default_factory=dict)
    notices: set[Notice] = dataclasses.field(default_factory=set)
    choices: list[str] = dataclasses.field(default_factory=list)


def look(raw: RawSample, rules: ReadRules) -> Looked:
    """Reads everything of a sample but its pixels; a bad one gets its reason as status."""
    row = _BLANK | {"key": raw.key, "offset": raw.offset, "length": raw.length}
    looked = Looked(row)
    data = b""
    try:
        if raw.problem is not None:
            raise SampleError(raw.problem, raw.detail)
        if rules.sample_digest != "none":
            row["sample_digest"] = identity.digest_of(rules.sample_digest, raw.key, raw.members.items())
        looked.document = _side_data(raw.members, looked.notices)
        row["url"] = origin.url_of(looked.document)
        row["opt_out"] = origin.opted_out(looked.document, rules.opt_out_fields)
        if not rules.look:
            _name(looked, raw.members, None, rules.uid_field)
            return looked
        row["image_extension"], data = images.image_of(raw.members, rules.image_member, looked.notices)
        digest = hashlib.sha256(data)
        row.update(image_bytes=len(data), image_sha256=digest.hexdigest())
        _name(looked, raw.members, digest.digest(), rules.uid_field)
        _find_caption(looked, raw.members, rules)
        _check_caption(looked, rules.tar.max_caption_bytes)
    except SampleError as error:
        reject(row, error)
        if raw.key and not row["uid"]:
            _name(looked, raw.members, _NO_IMAGE, rules.uid_field)
        return looked
    looked.data = data
    return looked


def _find_caption(looked: Looked, members: Mapping[str, bytes], rules: ReadRules) -> None:
    """Gives a row its caption; for the ``best`` of several the first one, until a network has picked."""
    if "." in looked.row["key"] and "." in looked.row["key"].rpartition("/")[2]:
        looked.notices.add(Notice.DOTTED_KEY)
    if not rules.needs_caption:
        return
    rule, named = rules.caption_rule, looked.row["image_extension"] in images.IMAGE_EXTENSIONS
    try:
        if rule.pick == "best":
            looked.choices = captions.captions_of(members, rule, looked.notices, named)
            looked.row["caption"] = looked.choices[0]
        else:
            looked.row["caption"] = captions.caption_of(members, rule, looked.notices, named)
    except SampleError:
        if not rules.caption_optional:
            raise


def _check_caption(looked: Looked, most: int) -> None:
    """Checks that no caption of a sample is larger than the index should hold, and forgets one that is.

    Raises:
      SampleError: ``CAPTION_TOO_LARGE``.
    """
    for text in (looked.row["caption"], *looked.choices):
        if 4 * len(text) > most and (size := len(text.encode())) > most:
            looked.row["caption"], looked.choices = "", []
            raise SampleError(Reason.CAPTION_TOO_LARGE, f"{size} bytes")


def _side_data(members: Mapping[str, bytes], notices: set[Notice]) -> dict[str, Any]:
    """Returns the json member; empty where it cannot be read, which costs its fields and not the pair."""
    try:
        return captions.json_of(members, notices)
    except SampleError:
        notices.add(Notice.JSON_UNREADABLE)
        return {}


def reject(row: dict[str, Any], error: SampleError) -> None:
    """Notes in an index row why its sample is rejected."""
    row.update(status=str(error.reason), detail=error.detail[:200])


def original_size(document: Mapping[str, Any], width: int, height: int, notices: set[Notice]) -> dict[str, int]:
    """Returns ``original_width`` and ``original_height``: an image's size before the download resized it.

    They are the json fields of these names, which img2dataset writes, when both are sizes; else the size as decoded,
    for a pool that was never resized. A size is a whole number in 1 .. 2**31 - 1, also as pandas writes it in a column
    with gaps (1024.0) and as text ("1024"). One without the other says nothing.

    Args:
      document: the parsed ``.json`` member, empty without one.
      width: as decoded, in pixels.
      height: as decoded, in pixels.
      notices: gets ``SIZE_UNREADABLE`` when one of the fields is there, and they are not two sizes.
    """
    stated = [document.get(name) for name in ("original_width", "original_height")]
    sizes = [_size(value) for value in stated]
    if all(sizes):
        width, height = sizes
    elif stated != [None, None]:
        notices.add(Notice.SIZE_UNREADABLE)
    return {"original_width": width, "original_height": height}


def _size(value: Any) -> int:
    """Returns a number of pixels from a json value; 0 where it is none."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= _LONGEST_SIZE else 0
        except ValueError:
            return 0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0
    return int(value) if 0 < value < 1 << 31 and value == int(value) else 0


def _name(looked: Looked, members: Mapping[str, bytes], image_sha256: bytes | None, field: str) -> None:
    """Gives a row its uid; one that nothing names needs the image for it, which is read where its hash is None."""
    row, document = looked.row, looked.document
    found = uid_rule.named(document, row["key"], field)
    if found is None:
        if image_sha256 is None:
            row["image_extension"], data = images.image_of(members)
            image_sha256 = hashlib.sha256(data).digest()
        found = uid_rule.of_content(row["key"], image_sha256, uid_rule.stored_caption(members, document)), ""
    if field != "none" and uid_rule.is_odd(document.get(field)):
        looked.notices.add(Notice.UID_UNREADABLE)
    row["uid"], row["uid_text"] = found
