"""A job may die anywhere: what the next run makes of it has the bytes of one that was never stopped."""

from tests.chaos import kills, store_faults


def test_killed_runs_end_with_equal_bytes(tmp_path):
    equal, killed = kills.run(tmp_path, 2)
    assert equal == 2
    assert killed > 1


def test_a_fault_of_a_store_loses_nothing_and_leaves_nothing_half_visible(s3, faulty_pool, tiny_network):
    assert store_faults.run_all(s3, faulty_pool, tiny_network, 3) == {"failed and went on": 1, "went on at once": 2}
