"""Which kind of input an address is, by its name; and what to do with files of no kind."""

from __future__ import annotations

import functools

from transforms.lib import registry
from transforms.lib.addresses import without_query
from transforms.lib.inputs import folder_input
from transforms.lib.inputs.input_kind import InputKind

ORDER = ("tar", "parquet", "folder")
"""Of several kinds that one pattern matches, the first is meant: tables and pictures lie beside tars."""

_LISTS = "a list of addresses holds no images; download them: img2dataset --url_list FILE --output_format webdataset"
_VIDEO = "videos are not read; cut them into pictures first: ffmpeg -i FILE -vf fps=1 frames/%06d.jpg"
_PACKED = "unpack it into a folder, and give that folder as --input"
_HINTS = {
    (".zip", ".rar", ".7z"): _PACKED,
    (".tfrecord", ".tfrecords"): "TFRecord is not read; write each example to a tar with webdataset.TarWriter",
    (".csv", ".tsv", ".jsonl", ".json", ".txt"): _LISTS,
    (".mp4", ".mkv", ".webm", ".avi", ".mov"): _VIDEO,
    (".arrow", ".feather"): "write it as Parquet: datasets.load_from_disk(FOLDER).to_parquet(FILE)",
    (".mds", ".h5", ".hdf5", ".npz", ".npy", ".lmdb", ".mdb", ".beton", ".bin", ".pkl", ".pickle", ".pt"): (
        "this form is not read; write the samples to tars with webdataset.TarWriter"
    ),
}


@functools.cache
def kind_named(name: str) -> InputKind:
    """Returns one of the kinds by its name; its libraries are imported here."""
    kind: InputKind = registry.INPUTS[name].load()()
    return kind


def kind_of_file(uri: str) -> str | None:
    """Returns the name of the kind whose shards hold such a file; None where there is none."""
    lower = without_query(uri).lower()
    return next((name for name in ORDER if lower.endswith(kind_named(name).suffixes)), None)


def kind_of(uri: str) -> InputKind:
    """Returns the kind of a shard by its address; a tar where the name says nothing."""
    return kind_named("folder" if folder_input.is_block(uri) else kind_of_file(uri) or "tar")


def hint_for(uri: str) -> str:
    """Returns what to do with a file of no kind; empty where nothing is known of it."""
    lower = without_query(uri).lower()
    return next((hint for suffixes, hint in _HINTS.items() if lower.endswith(suffixes)), "")
