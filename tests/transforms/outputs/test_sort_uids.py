"""Sorting uids through files: the same file for any number of shards, passes and workers."""

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from transforms.lib import uids
from transforms.outputs import sort_uids


@pytest.mark.parametrize(("fan_in", "held", "workers"), [(64, 1 << 22, 1), (2, 16, 1), (3, 1, 2)])
def test_any_number_of_passes_gives_the_same_file(tmp_path, fan_in, held, workers):
    pairs = np.random.default_rng(0).integers(0, 50, (700, 2)).astype(np.uint64)
    parts = np.split(pairs, np.arange(0, 700, 50))  # the first one is empty
    rows = [sort_uids.write_run(str(tmp_path), f"a/{number:02d}", part) for number, part in enumerate(parts)]
    options = PipelineOptions(["--direct_num_workers", str(workers)])
    with beam.Pipeline("FnApiRunner", options=options) as pipeline:
        sort = sort_uids.SortUids(str(tmp_path), "subset.npy", len(rows), fan_in, held)
        _ = pipeline | beam.Create(rows) | sort
    with (tmp_path / "subset.npy").open("rb") as file:
        assert (uids.read_subset(file) == uids.subset(pairs)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["subset.npy"], "the runs are gone"


def test_no_shard_is_an_empty_subset(tmp_path):
    with beam.Pipeline("FnApiRunner") as pipeline:
        none = pipeline | beam.Create([]).with_output_types(sort_uids.SortedRun)
        _ = none | sort_uids.SortUids(str(tmp_path), "subset.npy", 0)
    assert len(np.load(tmp_path / "subset.npy")) == 0
