import numpy as np

from transforms.lib.columnstore.block import Block


def test_a_sample_is_alive_when_it_is_valid_and_no_step_dropped_it():
    valid = np.array([True, True, False, False])
    block = Block("s", {}, valid, np.array([2, 0, 1, 0], np.uint16))
    assert block.alive.dtype == bool
    assert block.alive.tolist() == [True, False, False, False]
