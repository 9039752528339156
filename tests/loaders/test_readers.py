"""What goes in comes out: every sample, with its caption and its image, by every reader of every form.

docs/loaders.md has the counts as a table; `python -m tests.loaders.table` in the environment of these tests prints it.
"""

import json
from pathlib import Path

import mlcroissant
import pytest

from tests.loaders import readers, table
from tests.loaders.conftest import ROOT, samples

_FOUND = {}


@pytest.fixture(params=[*readers.READERS], ids=lambda reader: f"{reader[0]}-{readers.READERS[reader].__name__}")
def reader(request):
    return request.param


def test_every_sample_arrives_with_its_caption_and_its_image(outputs, reader):
    rows = list(readers.READERS[reader](outputs[reader[0]]))
    pool = samples()
    assert sorted(uid for uid, _, _ in rows) == sorted(pool)
    for uid, caption, image in rows:
        assert caption == pool[uid][1]["txt"].decode()
        assert image.size == (50, 40)
    _FOUND[reader] = table.counts(uid for uid, _, _ in rows)


def test_the_page_has_the_counts(outputs):
    """Run after the others, whose counts it compares."""
    assert table.page(_FOUND) in (ROOT / "docs/loaders.md").read_text()


def test_the_metadata_is_croissant(outputs):
    for out in outputs.values():
        metadata = mlcroissant.Dataset(jsonld=f"{out}/croissant.json").metadata
        assert not metadata.ctx.issues.errors


def test_the_json_of_a_table_is_that_of_the_sample(outputs):
    import pandas

    for row in pandas.read_parquet(f"{outputs['parquet']}/shards").to_dict("records"):
        assert -1 <= row["tinyclip_score"] <= 1
        assert row["json"].encode() == samples()[row["uid"]][1]["json"]


def test_sizes_count_what_open_clip_takes(outputs):
    sizes = json.loads(Path(outputs["webdataset"], "shards/sizes.json").read_text())
    assert sum(sizes.values()) == len(list(readers.with_open_clip(outputs["webdataset"])))


def test_the_card_alone_finds_all_samples_where_names_and_members_differ(differing):
    import datasets

    with pytest.raises(ValueError, match="don't share the same prefix or the same types"):
        list(readers.with_datasets_webdataset(differing))
    for folder in (differing, f"{differing}/shards"):
        rows = datasets.load_dataset(folder, split="train", cache_dir=f"{differing}/cache")
        images = [name for name in rows.column_names if name in {extension for extension, _ in samples().values()}]
        assert len(rows) == len(samples())
        assert all(sum(row[name] is not None for name in images) == 1 for row in rows)
        assert {json.dumps(row["json"]) for row in rows} == {
            json.dumps(json.loads(m["json"])) for _, m in samples().values()
        }


def test_a_job_says_what_loaders_leave_out(outputs, differing):
    card = Path(differing, "README.md").read_text()
    assert "open_clip leaves out 36 images, 6 .avif, 6 .bmp, 6 .gif, 6 .jp2, 6 .ppm, 6 .tif" in card
    assert "takes images of one name; there are 6 .avif" in card
    assert "leaves out" not in Path(outputs["webdataset"], "README.md").read_text()
