"""The dataset card and the Croissant metadata; `make test-loaders` reads outputs by them."""

import json

import yaml

from transforms.lib.reshard import card, croissant
from transforms.lib.reshard.held import Held


def head(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_head_leads_to_the_shards():
    held = Held({("jpg", "jpeg"): 3, ("jpg", "png"): 2}, {"jpg": 5, "txt": 5}, {})
    text = card.card("webdataset", "shards/*.tar", 5, 2, held, ["a warning"])
    assert head(text)["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "shards/*.tar"}]}
    ]
    assert head(text)["size_categories"] == ["n<1K"]
    assert "dataset_info" not in head(text)
    for line in ("5 samples in 2 shards", "| jpg | png | 2 |", "* a warning"):
        assert line in text


def test_columns_are_stated_where_samples_differ():
    held = Held({("jpg", "jpeg"): 4, ("png", "png"): 1}, {"jpg": 4, "png": 1, "txt": 5, "json": 2, "cls": 5}, {})
    features = {
        one["name"]: one["dtype"]
        for one in head(card.card("webdataset", "*", 5, 1, held, []))["dataset_info"]["features"]
    }
    assert features == {
        "jpg": "image", "png": "image", "txt": "string", "json": "json", "cls": "int64", "__key__": "string",
        "__url__": "string",
    }  # fmt: skip


def test_columns_of_a_type_that_only_the_member_says_are_not_stated():
    held = Held({("jpg", "jpeg"): 4}, {"jpg": 4, "npy": 2}, {})
    assert "dataset_info" not in head(card.card("webdataset", "*", 4, 1, held, []))


def test_a_name_from_data_cannot_break_the_head():
    held = Held({("jpg", "jpeg"): 4}, {"jpg": 4, 'a"\n- x': 2}, {})
    assert "dataset_info" not in head(card.card("webdataset", "*", 4, 1, held, []))


def test_croissant_names_the_columns_of_a_table():
    found = croissant.document("parquet", "shards/*.parquet", 5, 2)
    assert found["distribution"][0]["includes"] == "shards/*.parquet"
    columns = [field["source"]["extract"]["column"] for field in found["recordSet"][0]["field"]]
    assert columns == ["image", "caption", "uid", "key", "json"]
    assert json.loads(json.dumps(found)) == found
    assert "recordSet" not in croissant.document("webdataset", "shards/*.tar", 5, 2)


def test_records_that_datasets_does_not_read_are_not_offered_to_it():
    text = card.card("tfrecord", "shards/*.tfrecord", 4, 1, Held({("jpg", "jpeg"): 4}, {"jpg": 4}, {}), [])
    assert "configs" not in head(text)
    assert "load_dataset" not in text
