"""What it takes to start a job does not grow with the number of shards: requests, the graph, CPU and memory."""

import pytest

from beam_pipelines.planning import column_sets, workspace
from benchmarks import scale

MANY = 20_000  # more than `column_sets.LISTED`; benchmarks/scale.py asks the same of 1.28 million


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    found = {}
    for count in (40, 100, MANY):
        found[count] = tmp_path_factory.mktemp(f"pool{count}")
        scale.write_output(str(found[count]), count)
    return found


@pytest.mark.parametrize("job", scale.JOBS)
def test_neither_requests_nor_the_graph_grow_with_the_pool(outputs, job):
    few, more, many = (scale.start(str(root), job) for root in outputs.values())
    assert few["requests"] == more["requests"]
    assert many["requests"] <= more["requests"] + 2  # the manifest is asked what is whole
    assert max(few["graph_kb"], more["graph_kb"], many["graph_kb"]) < 1000
    assert many["graph_kb"] - few["graph_kb"] < 60  # a stage that spreads the parts of the pool
    assert many["cpu_s"] < few["cpu_s"] + 5


def test_a_column_set_that_is_not_whole_is_not_taken_for_one(outputs, tmp_path):
    refs = workspace.read_pool(str(outputs[MANY]))
    assert column_sets.whole_sets(str(outputs[MANY]), refs) == ["index", "net"]
    scale.write_output(str(tmp_path), 39)
    assert not refs.has_all(workspace.manifest.read(str(tmp_path)).sets["net"])
