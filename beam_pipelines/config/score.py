"""Flags of ``winnow score``. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from beam_pipelines.config import captions
from beam_pipelines.config.base import Form, flag
from beam_pipelines.config.limits import LostConfig, TarConfig
from beam_pipelines.config.train_filter import DEFAULT_MODEL

if TYPE_CHECKING:
    from typing import Self

BATCH_SIZES = {"cpu": 8, "cuda": 256}  # activations of eight images stay in memory that malloc keeps
PRECISION_OF = {"cpu": "fp32", "cuda": "fp16"}  # of --precision auto
_MEMBER = Form(r"[^./\s][^/\s]*", "an extension without its first dot, such as input.jpg")
_MACHINE = "0 chooses by the machine"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreConfig(LostConfig, TarConfig):
    """Flags of ``score``."""

    input: tuple[str, ...] = flag(
        (),
        "shards of the pool: a glob ('DIR/*.tar'), braces ('DIR/{00000..00127}.tar') or @FILE with one address "
        "per line; tars, also packed by gzip, bzip2, xz or zstd, as their first bytes say; may be repeated",
        required="name the shards, for example --input 'DIR/*.tar'",
    )
    model: tuple[str, ...] = flag(
        (DEFAULT_MODEL,),
        "network that scores, [NAME=]SPEC; NAME is the column set; may be repeated; `winnow models` lists SPECs",
    )
    caption_field: str = flag("", "json field with the caption; default: the .txt member, then json `caption`")
    uid_field: str = flag(
        "uid",
        "json field with the uid, any text or number; none: no field, so that the key or a hash names the sample "
        "(docs/pools.md)",
    )
    caption_member: str = flag(
        "", "extension of the member that is the caption, for example outputs.txt or cap; default: txt", form=_MEMBER
    )
    captions: str = captions.read_flag()
    image_member: str = flag(
        "",
        "extension of the member that is the image, for example input.jpg or img; default: the one that is named like "
        "an image",
        form=_MEMBER,
    )
    max_pixels: int = flag(
        89_478_485, "most pixels of an image; larger ones are rejected before they are decoded", at_least=1
    )
    sample_digest: str = flag(
        "none",
        "digest of each whole sample in the index, by which `reshard` and `verify` see any later change of its members",
        choices={
            "none": "images are known by their SHA-256, and samples by their keys",
            "crc32c": "sees damage, at some 10 GB/s",
            "sha256": "also sees what somebody changed on purpose, at some 1.5 GB/s",
        },
    )
    opt_out_fields: tuple[str, ...] = flag(
        ("noai", "noimageai", "opt_out"),
        "json fields by which a sample says that its owner does not want it used, separated by commas; may be "
        "repeated; `index.opt_out` has those that are set, and a step opt_out drops by it",
    )
    batch_size: int = flag(
        0,
        "images given to a model at once; 0 = 8 on a CPU, 256 on a GPU; part of the scores' stamp",
        at_least=0,
        at_most=16_384,
        hint=_MACHINE,
    )
    device: str = flag(
        "auto",
        "device of the network; one that is named must be there",
        choices={"auto": "the GPU of the machine that starts the job, if it has one", "cpu": "", "cuda": ""},
    )
    precision: str = flag(
        "auto",
        "numbers of the network; part of the scores' stamp",
        choices={"auto": "fp32 on a CPU, fp16 on a GPU", "fp32": "", "bf16": "", "fp16": ""},
    )
    preprocess: str = flag(
        "exact",
        "how images become pixels; fast and gpu move scores a little (docs/scoring.md); part of the scores' stamp",
        choices={
            "exact": "the pixels of open_clip's own transform",
            "fast": "JPEGs decoded at a fraction of their size",
            "gpu": "JPEGs decoded and resized on a GPU",
        },
    )
    tfio_python: str = flag(
        "",
        "python of an environment with tensorflow-io, which decodes OpenEXR, HDR and DICOM (docs/scoring.md); default: "
        "they are rejected",
    )
    threads: int = flag(
        0,
        "batches that a model embeds at once on a CPU, one thread each; 0 = all cores",
        at_least=0,
        at_most=1024,
        hint=_MACHINE,
        operational=True,
    )
    decode_threads: int = flag(
        0, "threads that decode images; 0 = all cores", at_least=0, at_most=1024, hint=_MACHINE, operational=True
    )

    def problems(self) -> list[str]:
        problems = super().problems()
        if not self.model:
            problems.append("--model is empty; `winnow models` lists what can be given")
        if self.caption_field and self.caption_member:
            problems.append("--caption_field and --caption_member both say where the caption is; give one of them")
        return problems

    def own(self) -> Self:
        return dataclasses.replace(self, captions=captions.read_word(self.captions))
