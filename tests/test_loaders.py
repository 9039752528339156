"""The kept shards open with the tools that people train with."""

import argparse
import json

import pytest

from tests.conftest import make_pool


@pytest.fixture(scope="module")
def shards(tmp_path_factory, tiny_network):
    from beam_pipelines import cli

    folder = tmp_path_factory.mktemp("loaders")
    pool = make_pool(folder / "pool", rows=20, faults=False)
    flags = ["--input", f"{pool}/*.tar", "--output", str(folder / "out"), "--model", f"net={tiny_network}"]
    assert cli.main(["curate", *flags, "--recipe", "no_filter", "--samples_per_shard", "16"]) == 0
    return folder / "out/shards"


def test_webdataset_reads_every_sample_with_all_its_members(shards):
    import webdataset

    urls = sorted(str(path) for path in shards.glob("*.tar"))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False).decode("pil"))
    assert len(samples) == 60
    assert len({sample["__key__"] for sample in samples}) == 60
    for sample in samples:
        assert sample["jpg"].size == (50, 40)
        assert sample["cls"] == 7
        if "json" in sample:
            assert sample["__key__"] == f"{sample['json']['uid']}-0"
            assert sample["txt"] == f"thing number {int(sample['json']['uid'], 16)}"


@pytest.mark.parametrize("resampled", [False, True])
def test_open_clips_training_loader_reads_it(shards, resampled):
    import open_clip
    import torch
    from open_clip_train.data import get_wds_dataset

    meta = json.loads((shards / "meta.json").read_text())
    last = meta["output_shard_format"].format(meta["output_shard_count"] - 1).removesuffix(".tar")
    args = argparse.Namespace(
        train_data=f"{shards}/{{00000000..{last}}}.tar", train_num_samples=None, train_data_upsampling_factors=None,
        dataset_resampled=resampled, batch_size=8, workers=0, world_size=1, seed=0,
    )  # fmt: skip
    transform = open_clip.image_transform(32, is_train=True)
    data = get_wds_dataset(args, transform, is_train=True, tokenizer=open_clip.get_tokenizer("ViT-B-32"))
    assert data.dataloader.num_samples == 64  # 60, which it read from sizes.json, in full batches of 8
    batches = list(data.dataloader)
    assert [len(images) for images, _ in batches] == [8] * 8
    assert batches[0][0].shape == (8, 3, 32, 32)
    assert batches[0][1].dtype == torch.int64


def test_each_shard_has_its_statistics(shards):
    sizes = json.loads((shards / "sizes.json").read_text())
    assert sizes == {"00000000.tar": 16, "00000001.tar": 16, "00000002.tar": 16, "00000003.tar": 12}
    for name, count in sizes.items():
        stats = json.loads((shards.parent / "shard_stats" / name.replace(".tar", ".json")).read_text())
        assert stats["successes"] == count
