"""Near hashes and connected components against plain loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.dedup import components, hamming


def by_union(edges):
    """Returns node -> smallest node of its component, by following edges until nothing changes."""
    least = {node: node for edge in edges for node in edge}
    changed = True
    while changed:
        changed = False
        for one, other in edges:
            smaller = min(least[one], least[other])
            changed |= least[one] != smaller or least[other] != smaller
            least[one] = least[other] = smaller
    return {node: root for node, root in least.items() if node != root}


def as_dict(trees):
    return {int(node): int(root) for node, root in trees}


nodes = st.integers(0, 12) | st.just((1 << 64) - 1)
graphs = st.lists(st.tuples(nodes, nodes), max_size=20)


@given(graphs, st.lists(st.integers(0, 20), max_size=3))
def test_the_components_are_those_of_all_edges_however_they_are_joined(edges, cuts):
    whole = np.array(edges, np.uint64).reshape(-1, 2)
    parts = [components.connected(part) for part in np.split(whole, sorted(min(cut, len(whole)) for cut in cuts))]
    expected = by_union(edges)
    for trees in (components.connected(whole), components.merge(parts), components.merge(reversed(parts))):
        assert as_dict(trees) == expected
        assert (np.diff(trees[:, 0].astype(object)) > 0).all()
    asked = np.arange(14, dtype=np.uint64)
    assert components.roots(asked, components.connected(whole)).tolist() == [
        expected.get(node, node) for node in range(14)
    ]


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), min_size=1))
def test_the_distance_is_the_number_of_different_bits(pairs):
    one, other = np.array(pairs, np.uint64).T
    assert hamming.distance(one, other).tolist() == [(a ^ b).bit_count() for a, b in pairs]


@pytest.mark.parametrize("radius", range(16))
def test_bands_cover_every_bit_once(radius):
    masks = hamming.bands(radius)
    assert len(masks) == radius + 1
    assert sum(masks) == (1 << 64) - 1
    assert all(not a & b for a, b in itertools.combinations(masks, 2))
    assert max(m.bit_count() for m in masks) - min(m.bit_count() for m in masks) <= 1


def crowd(seed, size, centres, flips):
    """Returns distinct hashes, each a centre with up to ``flips`` bits turned."""
    random = np.random.default_rng(seed)
    made = random.integers(0, 1 << 64, centres, dtype=np.uint64)[random.integers(0, centres, size)]
    for _ in range(flips):
        made ^= (np.uint64(1) << random.integers(0, 64, size, dtype=np.uint64)) * random.integers(0, 2, size, np.uint64)
    return np.unique(made)


@pytest.mark.parametrize(("size", "centres", "flips"), [(0, 1, 0), (1, 1, 0), (300, 300, 1), (600, 40, 5), (700, 2, 6)])
@pytest.mark.parametrize("radius", [0, 1, 3, 5])
def test_all_near_hashes_are_found_and_no_others(size, centres, flips, radius):
    """Two centres make blocks far above the limit, so that they are cut by a second and a third band."""
    hashes = crowd(size, size, centres, flips)
    found = components.merge(hamming.near(hashes, radius, mask) for mask in hamming.bands(radius))
    matrix = np.bitwise_count(hashes[:, None] ^ hashes[None])
    edges = [(int(hashes[a]), int(hashes[b])) for a, b in np.argwhere(np.triu(matrix <= radius, 1))]
    assert as_dict(found) == by_union(edges)
