"""WebDataset shards as webdataset and a torch DataLoader read them."""

import glob

import torch
import webdataset

from tests.loaders.conftest import samples


def shards(outputs):
    return sorted(glob.glob(outputs["webdataset"] + "/shards/*.tar"))


def test_webdataset_reads_every_sample(outputs):
    found = list(webdataset.WebDataset(shards(outputs), shardshuffle=False).decode())
    assert sorted(sample["json"]["uid"] for sample in found) == sorted(samples())


def test_a_torch_loader_with_workers_gives_every_sample_once(outputs):
    data = webdataset.WebDataset(shards(outputs), shardshuffle=False).to_tuple("__key__", "txt")
    rows = list(torch.utils.data.DataLoader(data, batch_size=None, num_workers=2))
    assert sorted(key.rpartition("-")[0] for key, _ in rows) == sorted(samples())
