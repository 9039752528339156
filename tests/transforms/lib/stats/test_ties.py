import numpy as np

from transforms.lib.stats import ties


def test_an_earlier_crawls_sample_stands_before_every_shards_sample_of_the_same_hash():
    first_of_a_shard = np.array([(5, 0, 0)], ties.DTYPE)  # the least place that a shard can give
    earlier = ties.before_all(np.array([5], np.uint64))
    assert ties.nth(np.concatenate([first_of_a_shard, earlier]), 1) == earlier[0].item()
    assert not ties.at_or_before(first_of_a_shard, earlier[0].item()).any()
