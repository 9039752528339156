"""What loaders make of an output: which of them leave out samples, how many, and what a user can do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from transforms.lib.reshard.held import Held

OPEN_CLIP_IMAGES = ("png", "jpg", "jpeg", "webp")
"""Names under which open_clip looks for the image. Source: ``filter_no_caption_or_no_image`` of ``open_clip_train``."""
_UNREADABLE = (
    "openexr",
    "hdr",
    "dicom",
    "unknown",
)  # formats that Pillow, by which all loaders decode, has no reader of
_ONE_NAME = "give --image_name jpg to `winnow reshard`, which changes no image"
_SMALL = 0.5  # share of the largest shard below which one is told of: it may count twice
_TARS, _RECORDS = "webdataset", "tfrecord"


def warnings(form: str, sizes: Sequence[int], held: Held) -> list[str]:
    """Returns one line for each reason for which a loader leaves samples of an output out, or reads some too often.

    Args:
      form: of the shards, one of ``shard_formats.NAMES``.
      sizes: samples in each shard.
      held: what they hold.
    """
    by_name: Counter[str] = Counter()
    by_kind: Counter[str] = Counter()
    for (name, kind), count in held.images.items():
        by_name[name] += count
        by_kind[kind] += count
    lines = [
        f"{count:,} images are of the format {kind}, which no loader decodes"
        for kind, count in sorted(by_kind.items())
        if kind in _UNREADABLE
    ]
    if form == _TARS:
        lines += [*_of_tars(sum(sizes), by_name, held), *_unequal(sizes)]
    elif form == _RECORDS and len(by_name) > 1:
        lines.append(f"tf.data reads the images of one feature; there are {_listed(by_name)}; {_ONE_NAME}")
    for name, count in held.pickles.items():
        lines.append(
            f"{count:,} members .{name} were left out: loaders would unpickle them, which runs code; --carry takes them"
        )
    return lines


def _of_tars(samples: int, by_name: Mapping[str, int], held: Held) -> list[str]:
    lines = []
    unknown = {name: count for name, count in by_name.items() if name not in OPEN_CLIP_IMAGES}
    if unknown:
        lines.append(f"open_clip leaves out {sum(unknown.values()):,} images, {_listed(unknown)}; {_ONE_NAME}")
    lacking = {"image": samples - sum(by_name.values()), ".txt": samples - held.members.get("txt", 0)}
    lines += [f"open_clip leaves out {count:,} samples without {what}" for what, count in lacking.items() if count]
    if len(by_name) > 1:
        lines.append(
            f'load_dataset("webdataset", ...) takes images of one name; there are {_listed(by_name)}; {_ONE_NAME}, or '
            "load the folder, load_dataset(FOLDER)"
        )
    partial = {name: count for name, count in held.members.items() if count < samples and name not in by_name}
    if partial:
        lines.append(
            f'load_dataset("webdataset", ...) fails when the first five samples have different members, and leaves out '
            f"those that these lack: {_listed(partial)} of {samples:,} samples; load the folder, load_dataset(FOLDER)"
        )
    return lines


def _unequal(sizes: Sequence[int]) -> list[str]:
    """Returns the line on shards much smaller than the rest.

    open_clip's training loader deals shards to workers, of which each reads its own again until it has as many batches
    as the others. With ``--dataset-resampled`` a worker reads each shard that it draws whole, so all samples are
    equal whatever the sizes. Source: ``get_wds_dataset`` of ``open_clip_train``; measured in docs/resharding.md.
    """
    least, most = min(sizes, default=0), max(sizes, default=0)
    small = sum(size < _SMALL * most for size in sizes)
    if not small:
        return []
    return [
        f"{small:,} of {len(sizes):,} shards have less than half of the samples of the largest ({least:,}, {most:,}); "
        f"open_clip without --dataset-resampled reads such a shard more often, {most / least:.0f} times where a worker "
        "has no other; --spread_remainder true makes shards equal"
    ]


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} .{name}" for name, count in sorted(counts.items()))
