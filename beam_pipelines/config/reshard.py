"""Flags of ``winnow reshard``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from beam_pipelines.config import captions
from beam_pipelines.config.base import Form, flag
from beam_pipelines.config.block import BlockConfig
from beam_pipelines.config.crawl import PoolConfig
from beam_pipelines.config.limits import LimitsConfig, TarConfig
from beam_pipelines.config.report import ReportConfig
from beam_pipelines.config.selection import SelectionConfig
from transforms.lib import registry

if TYPE_CHECKING:
    from typing import Self


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReshardConfig(PoolConfig):
    """Flags of ``reshard`` that ``curate`` has too."""

    samples_per_shard: int = flag(10_000, "copies in each output shard but the last", at_least=1)
    spread_remainder: bool = flag(
        False,
        "make all output shards equal, to within one copy; as many shards, the last one not smaller than the rest",
    )
    max_shard_bytes: int = flag(
        0, "most bytes of the samples of an output shard, which is cut there; 0 = no limit", at_least=0
    )
    shuffle: str = flag(
        "shards",
        "order of the output; full reads each input shard many times",
        choices={
            "none": "that of the pool",
            "shards": "input shards in a seeded order, samples shuffled inside an output shard",
            "full": "every output shard takes its share of every input shard",
        },
    )
    shuffle_seed: int = flag(0, "seed of the order of shards and of the samples inside an output shard", at_least=0)
    format: str = flag("webdataset", "form of the output shards", choices=tuple(registry.FORMATS))
    blur_faces: str = flag(
        "",
        "blur faces: json (boxes in the json field face_bboxes), or Parquet files with columns uid and face_bboxes, "
        "as a glob in which {shard} stands for the input shard's name; default: none are blurred",
    )
    captions: str = captions.written_flag()
    add_to_json: str = flag(
        "",
        "columns that go into the json of each sample, separated by commas: COLUMN or FIELD=COLUMN, for example "
        "uid,score,copies; default: none",
    )
    carry: str = flag(
        "",
        "extensions of the members that the output carries beside image and .txt, separated by commas; all for every "
        "one; default: all but those that loaders would unpickle, which runs code (.pyd, .pickle, .pkl, .pth, .pt ...)",
        form=Form(r"[^\s/,]+(,[^\s/,]+)*", "extensions separated by commas, such as json,cls"),
    )
    image_name: str = flag(
        "jpg",
        "name of the image's member in tars and records; loaders find it by name and decode it by content",
        choices={"jpg": "one for every format", "keep": "that of the input; loaders then leave out some formats"},
    )
    image_type: str = flag(
        "keep",
        "format of images; those of another are encoded again at quality 95, and the json says what they were",
        choices={"keep": "images keep their bytes", "jpg": "", "webp": ""},
    )
    coalesce_bytes: int = flag(
        0,
        "gaps between wanted samples up to this are read through, in bytes; 0 = 64 KiB locally, 4 MiB on an object "
        "store",
        at_least=0,
        operational=True,
    )
    check: str = flag(
        "content",
        "what of each sample is compared with the index before it is copied",
        choices={
            "content": "its key, and its image or its digest",
            "headers": "its key alone, which costs nothing",
        },
        operational=True,
    )

    def own(self) -> Self:
        return dataclasses.replace(self, captions=captions.written_word(self.captions))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReshardJobConfig(BlockConfig, ReshardConfig, LimitsConfig, SelectionConfig, ReportConfig, TarConfig):
    """Flags of ``reshard`` run alone: also by a subset file, also of a pool that Winnow never scored."""

    input: tuple[str, ...] = flag((), "with --subset: shards of a pool that was not scored; as for curate")
    subset: str = flag("", "copy what this subset file lists (.npy, u8,u8, sorted), not what `select` decided")
    uid_field: str = flag("uid", "with --input: json field with the uid, or none; as for curate")

    def problems(self) -> list[str]:
        problems = super().problems()
        if self.input and not self.subset:
            problems.append(
                "--subset is missing; --input is for a pool that was not scored, to be copied by a subset file"
            )
        if self.block_list and not self.subset:
            problems.append("--block_list goes with --subset here; give it to `winnow select`, which decides")
        if self.subset and self.selection:
            problems.append("--subset and --selection both say what to copy; give one of them")
        return problems
