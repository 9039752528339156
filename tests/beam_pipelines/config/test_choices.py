"""The values that a flag offers are those that the library knows; settings cannot import it, so a test compares."""

import pytest

from beam_pipelines.config.base import flags_of
from beam_pipelines.config.crawl import AGAINST
from beam_pipelines.config.jobs import JOBS
from transforms.lib.clusters import kmeans, nearest
from transforms.lib.dedup import semdedup
from transforms.lib.importers import datacomp, score_table
from transforms.lib.models import building, preprocessing
from transforms.lib.reshard import shard_formats, shard_layout


@pytest.mark.parametrize(
    ("job", "name", "known"),
    [
        ("score", "preprocess", preprocessing.VARIANTS),
        ("score", "precision", ("auto", *building.PRECISIONS)),
        ("cluster", "metric", kmeans.METRICS),
        ("cluster", "assign", nearest.RULES),
        ("dedup", "chains", semdedup.CHAINS),
        ("reshard", "shuffle", shard_layout.SHUFFLES),
        ("reshard", "format", shard_formats.NAMES),
        ("import-scores", "by", score_table.KINDS),
        ("select", "dedup_against", AGAINST),
    ],
)
def test_a_flag_offers_what_the_library_knows(job, name, known):
    assert sorted(flags_of(JOBS[job].settings)[name].choices) == sorted(known)


def test_datacomps_column_sets_are_those_that_can_be_read():
    from beam_pipelines.config.imports import DATACOMP_SETS

    assert set(DATACOMP_SETS) == set(datacomp.KEYS)
