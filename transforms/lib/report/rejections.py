"""What scoring rejected, in words, and what to look at when that is everything."""

from __future__ import annotations

from collections.abc import Mapping

from transforms.lib.columnstore import notices

CURES = {
    "caption_missing": "name the json field that holds the caption by --caption_field",
    "image_missing": "members need the extension of an image format",
    "image_too_large": "raise --max_pixels",
    "sample_too_large": "raise --max_sample_bytes",
    "image_undecodable": "columns/index has what was found as detail; --tfio_python reads OpenEXR, HDR and DICOM",
}
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
    if reasons:
        order = sorted(reasons, key=lambda reason: (-reasons[reason], reason))
        listed = ", ".join(f"{reasons[reason]} {reason}" for reason in order)
        lines.insert(0, f"{sum(reasons.values())} of {counters['score.in']} samples were rejected: {listed}")
        if sum(reasons.values()) == counters["score.in"]:
            hint = CURES.get(order[0], "docs/errors.md says what each reason means")
            lines.insert(1, f"nothing is left of this pool: {hint}, and score into another --output")
    return "\n".join(lines)
