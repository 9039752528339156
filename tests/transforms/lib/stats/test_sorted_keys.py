import io

import numpy as np

from transforms.lib.stats import crawl_summary, sorted_keys


def test_the_hashes_of_a_key_are_its_own_wherever_the_key_stands_in_its_bin():
    keys = np.array([7, 5, 7, 1 << 16, 6, 7], np.uint32)
    hashes = np.array([30, 1, 10, 2, 3, 20], np.uint64)
    summary = crawl_summary.SummaryFile(io.BytesIO(crawl_summary.to_bytes(sorted_keys.arrays_of(keys, hashes))))
    assert {key: sorted_keys.hashes_at(summary, key).tolist() for key in (5, 6, 7, 8, 1 << 16)} == {
        5: [1],
        6: [3],
        7: [10, 20, 30],
        8: [],
        1 << 16: [2],
    }
