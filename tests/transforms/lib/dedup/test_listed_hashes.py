import numpy as np
import pytest

from transforms.lib.dedup import listed_hashes
from transforms.lib.dedup.listed_hashes import near_listed


def bits(value):
    return bin(value).count("1")


@pytest.mark.parametrize("radius", range(9))
@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
def test_near_hashes_are_those_that_comparing_each_with_each_finds(radius, at_once, monkeypatch):
    monkeypatch.setattr(listed_hashes, "_PAIRS", at_once)
    random = np.random.default_rng(radius)
    listed = random.integers(0, 1 << 64, 40, dtype=np.uint64)
    flips = [np.uint64(sum(1 << int(bit) for bit in random.choice(64, radius + extra, False))) for extra in (0, 0, 1)]
    hashes = np.concatenate([listed[:12] ^ flip for flip in flips] + [random.integers(0, 1 << 64, 30, dtype=np.uint64)])
    wanted = [any(bits(int(one) ^ int(other)) <= radius for other in listed) for one in hashes]
    assert near_listed(hashes, listed, radius).tolist() == wanted
    assert sum(wanted) >= 24


def test_nothing_is_near_an_empty_list():
    some = np.arange(3, dtype=np.uint64)
    assert not near_listed(some, some[:0], 2).any()
    assert not len(near_listed(some[:0], some, 2))
