"""Keyword arguments of the jobs; ``make templates`` writes this file from the flags of the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict

Text = str | os.PathLike[str]


class CurateFlags(TypedDict, total=False):
    """Flags of ``winnow curate``; docs/cli.md says what each is."""

    output: Text
    crawl_id: Text
    gate_retention: Text
    gate_drift: float | None
    allow_older: bool
    compare_with: Text
    samples_per_shard: int
    spread_remainder: bool
    max_shard_bytes: int
    shuffle: Text
    shuffle_seed: int
    format: Text
    blur_faces: Text
    captions: Text
    add_to_json: Text
    carry: Text
    image_name: Text
    image_type: Text
    coalesce_bytes: int
    check: Text
    report_pictures: Text
    report_times: bool
    max_sample_bytes: int
    max_member_bytes: int
    max_name_bytes: int
    max_header_bytes: int
    max_empty_members: int
    max_unpacked_bytes: int
    max_unpack_ratio: int
    max_caption_bytes: int
    max_unreadable_fraction: float
    max_reject_fraction: float
    min_coverage: float
    on_repeated_uid: Text
    thresholds: Text
    dedup_against: Text
    block_list: Text | Sequence[Text]
    block_radius: int
    recipe: Text
    keep_fraction: float | None
    set: Text | Sequence[Text]
    seed: int
    name: Text
    input: Text | Sequence[Text]
    model: Text | Sequence[Text]
    caption_field: Text
    uid_field: Text
    caption_member: Text
    image_member: Text
    max_pixels: int
    sample_digest: Text
    opt_out_fields: Text | Sequence[Text]
    batch_size: int
    device: Text
    precision: Text
    preprocess: Text
    tfio_python: Text
    threads: int
    decode_threads: int
    preset: Text
    layout: Text
    dry_run: bool
    quiet: bool
    verbose: bool
    log_file: Text
    track: Text


class ScoreFlags(TypedDict, total=False):
    """Flags of ``winnow score``; docs/cli.md says what each is."""

    output: Text
    crawl_id: Text
    max_sample_bytes: int
    max_member_bytes: int
    max_name_bytes: int
    max_header_bytes: int
    max_empty_members: int
    max_unpacked_bytes: int
    max_unpack_ratio: int
    max_caption_bytes: int
    max_unreadable_fraction: float
    input: Text | Sequence[Text]
    model: Text | Sequence[Text]
    caption_field: Text
    uid_field: Text
    caption_member: Text
    captions: Text
    image_member: Text
    max_pixels: int
    sample_digest: Text
    opt_out_fields: Text | Sequence[Text]
    batch_size: int
    device: Text
    precision: Text
    preprocess: Text
    tfio_python: Text
    threads: int
    decode_threads: int
    preset: Text
    layout: Text
    dry_run: bool
    quiet: bool
    verbose: bool
    log_file: Text
    track: Text


class SelectFlags(TypedDict, total=False):
    """Flags of ``winnow select``; docs/cli.md says what each is."""

    output: Text
    crawl_id: Text
    report_pictures: Text
    report_times: bool
    max_unreadable_fraction: float
    max_reject_fraction: float
    min_coverage: float
    on_repeated_uid: Text
    thresholds: Text
    dedup_against: Text
    block_list: Text | Sequence[Text]
    block_radius: int
    recipe: Text
    keep_fraction: float | None
    set: Text | Sequence[Text]
    seed: int
    name: Text
    make_columns: bool
    preset: Text
    layout: Text
    dry_run: bool
    quiet: bool
    verbose: bool
    log_file: Text
    track: Text


class ReshardFlags(TypedDict, total=False):
    """Flags of ``winnow reshard``; docs/cli.md says what each is."""

    output: Text
    crawl_id: Text
    max_sample_bytes: int
    max_member_bytes: int
    max_name_bytes: int
    max_header_bytes: int
    max_empty_members: int
    max_unpacked_bytes: int
    max_unpack_ratio: int
    max_caption_bytes: int
    report_pictures: Text
    report_times: bool
    selection: Text
    max_unreadable_fraction: float
    max_reject_fraction: float
    min_coverage: float
    on_repeated_uid: Text
    samples_per_shard: int
    spread_remainder: bool
    max_shard_bytes: int
    shuffle: Text
    shuffle_seed: int
    format: Text
    blur_faces: Text
    captions: Text
    add_to_json: Text
    carry: Text
    image_name: Text
    image_type: Text
    coalesce_bytes: int
    check: Text
    block_list: Text | Sequence[Text]
    block_radius: int
    input: Text | Sequence[Text]
    subset: Text
    uid_field: Text
    preset: Text
    layout: Text
    dry_run: bool
    quiet: bool
    verbose: bool
    log_file: Text
    track: Text
