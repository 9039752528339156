"""What scoring rejected, in words, and what to look at when that is everything."""

from __future__ import annotations

from collections.abc import Mapping

from transforms.lib.columnstore import notices

CURES = {
    "caption_missing": "name the json field that holds the caption by --caption_field",
    "image_missing": "members need the extension of an image format",
    "image_too_large": "raise --max_pixels",
    "image_too_costly": "raise --max_pixels",
    "sample_too_large": "raise --max_sample_bytes and --max_member_bytes",
    "tar_too_large": "raise --max_unpack_ratio, --max_unpacked_bytes or --max_empty_members",
    "image_undecodable": "columns/index has what was found as detail; --tfio_python reads OpenEXR, HDR and DICOM",
}
EXPLAINED = {
    "shard_unreadable": "the next run tries such shards again",
    "not_a_tar": "",
    "tar_corrupt": "the file was damaged or is of another form; download it again",
    "tar_truncated": "the file is shorter than it was; download it again",
    "image_missing": "name the member that is the image by --image_member",
    "caption_missing": "name the member that is the caption by --caption_member, or its json field by --caption_field",
    "duplicate_key": "the members of a sample must follow one another; `tar --sort=name` packs them so",
}
"""Reason that a pool has as a whole, more than a sample -> what to do, where the detail of a sample does not say it."""
_REJECTED, _UNSEEN, _NOTICE = "score.rejected_", "score.unseen_by_", "score.notice_"


def sentence(counters: Mapping[str, int]) -> str:
    """Returns lines on what a run rejected, what single networks could not take, and what was odd; "" for nothing.

    Args:
      counters: ``score.NAME`` -> count.
    """
    reasons = {name.removeprefix(_REJECTED): n for name, n in counters.items() if name.startswith(_REJECTED) and n}
    unseen = {name.removeprefix(_UNSEEN): n for name, n in counters.items() if name.startswith(_UNSEEN) and n}
    lines = [f"{count} images are too narrow for {name}, and have no score there" for name, count in unseen.items()]
    lines += notices.sentences(
        {n.removeprefix(_NOTICE): count for n, count in counters.items() if n.startswith(_NOTICE)}
    )
    if shards := counters.get("score.shards_lost"):
        lines.insert(0, f"warning: {shards} shards could not be read, and all of their samples are missing")
    if reasons:
        order = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
        listed = ", ".join(f"{reasons[reason]} {reason}" for reason in order)
        lines.insert(0, f"{sum(reasons.values())} of {counters['score.in']} samples were rejected: {listed}")
        if sum(reasons.values()) == counters["score.in"]:
            hint = CURES.get(order[0], "docs/errors.md says what each reason means")
            lines.insert(1, f"nothing is left of this pool: {hint}, and score into another --output")
    return "\n".join(lines)


def hints(details: Mapping[str, str]) -> list[str]:
    """Returns one line for each reason of ``EXPLAINED`` that has an example: what was seen where, and what helps.

    Args:
      details: reason -> shard and detail of a sample that was rejected for it.
    """
    known = [(reason, hint) for reason, hint in EXPLAINED.items() if reason in details]
    return ["; ".join(filter(None, (f"{reason}, for example in {details[reason]}", hint))) for reason, hint in known]
