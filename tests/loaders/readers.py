"""Each reader of each form of shards, as its users call it: what arrives of an output, as (uid, caption, image)."""

import argparse
import glob
import io
import os
import tempfile

import datasets
import duckdb
import mlcroissant
import open_clip
import pandas
import polars
import pyarrow.dataset
import torch
import webdataset
from open_clip_train.data import get_wds_dataset
from PIL import Image

datasets.disable_progress_bars()


def opened(data):
    return Image.open(io.BytesIO(data))


def uid_of(key):
    return os.path.basename(key).rpartition("-")[0]


def tars(out):
    return sorted(glob.glob(f"{out}/shards/*.tar"))


def with_webdataset(out):
    for sample in webdataset.WebDataset(tars(out), shardshuffle=False).decode("pil"):
        yield uid_of(sample["__key__"]), sample["txt"], sample["jpg"]


def with_a_torch_loader(out):
    data = webdataset.WebDataset(tars(out), shardshuffle=False).decode("pil").to_tuple("__key__", "txt", "jpg")
    for key, text, image in torch.utils.data.DataLoader(data, batch_size=None, num_workers=2):
        yield uid_of(key), text, image


def with_open_clip(out):
    """Its loader gives pixels and tokens alone: the token of a caption is its number, and so the uid."""
    last = len(tars(out)) - 1
    shards = f"{out}/shards/{{00000000..{last:08d}}}.tar"
    args = argparse.Namespace(
        train_data=shards, val_data=shards, val_num_samples=None, train_num_samples=None, batch_size=1, workers=0,
        train_data_upsampling_factors=None, dataset_resampled=False, world_size=1, seed=0,
    )  # fmt: skip
    transform = open_clip.image_transform(32, is_train=False)
    data = get_wds_dataset(args, transform, is_train=False, tokenizer=lambda text: [int(text.split()[-1])])
    for images, numbers in data.dataloader:
        number = int(numbers[0])
        yield f"{number + 1:032x}", f"thing number {number}", Image.new("RGB", (50, 40)) if images.any() else None


def _loaded(*args, **flags):
    with tempfile.TemporaryDirectory() as cache:
        yield from datasets.load_dataset(*args, split="train", cache_dir=cache, **flags)


def _of_tars(rows):
    return ((uid_of(row["__key__"]), row["txt"], row["jpg"]) for row in rows)


def _of_table(rows):
    return ((row["uid"], row["caption"], row["image"]) for row in rows)


def with_datasets_webdataset(out):
    return _of_tars(_loaded("webdataset", data_files=f"{out}/shards/*.tar"))


def with_datasets_streamed(out):
    return _of_tars(_loaded("webdataset", data_files=f"{out}/shards/*.tar", streaming=True))


def with_datasets_folder_of_tars(out):
    return _of_tars(_loaded(f"{out}/shards"))


def with_datasets_output_of_tars(out):
    return _of_tars(_loaded(out))


def with_datasets_parquet(out):
    return _of_table(_loaded("parquet", data_files=f"{out}/shards/*.parquet"))


def with_datasets_folder_of_tables(out):
    return _of_table(_loaded(f"{out}/shards"))


def with_datasets_output_of_tables(out):
    return _of_table(_loaded(out))


def _decoded(rows):
    return ((row["uid"], row["caption"], opened(row["image"]["bytes"])) for row in rows)


def with_pandas(out):
    return _decoded(pandas.read_parquet(f"{out}/shards").to_dict("records"))


def with_pyarrow(out):
    return _decoded(pyarrow.dataset.dataset(f"{out}/shards").to_table().to_pylist())


def with_polars(out):
    return _decoded(polars.read_parquet(f"{out}/shards").to_dicts())


def with_duckdb(out):
    rows = duckdb.sql(f"select uid, caption, image from read_parquet('{out}/shards/*.parquet')").fetchall()
    return _decoded(dict(zip(("uid", "caption", "image"), row, strict=True)) for row in rows)


def with_mlcroissant(out):
    for row in mlcroissant.Dataset(jsonld=f"{out}/croissant.json").records(record_set="samples"):
        yield row["samples/uid"].decode(), row["samples/caption"].decode(), row["samples/image"]


READERS = {
    ("webdataset", '`webdataset.WebDataset(...).decode("pil")`'): with_webdataset,
    ("webdataset", "the same in a torch `DataLoader` with workers"): with_a_torch_loader,
    ("webdataset", "open_clip's `get_wds_dataset`"): with_open_clip,
    ("webdataset", '`load_dataset("webdataset", data_files=...)`'): with_datasets_webdataset,
    ("webdataset", "the same, `streaming=True`"): with_datasets_streamed,
    ("webdataset", '`load_dataset("out/shards")`'): with_datasets_folder_of_tars,
    ("webdataset", '`load_dataset("out")`'): with_datasets_output_of_tars,
    ("parquet", '`load_dataset("parquet", data_files=...)`'): with_datasets_parquet,
    ("parquet", '`load_dataset("out/shards")`'): with_datasets_folder_of_tables,
    ("parquet", '`load_dataset("out")`'): with_datasets_output_of_tables,
    ("parquet", '`pandas.read_parquet("out/shards")`'): with_pandas,
    ("parquet", '`pyarrow.dataset.dataset("out/shards")`'): with_pyarrow,
    ("parquet", '`polars.read_parquet("out/shards")`'): with_polars,
    ("parquet", "DuckDB's `read_parquet('out/shards/*.parquet')`"): with_duckdb,
    ("parquet", '`mlcroissant.Dataset("out/croissant.json")`'): with_mlcroissant,
}
"""(format, how it is read) -> what reads it."""
