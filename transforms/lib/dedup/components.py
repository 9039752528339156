"""Connected components of edges that come in any order, as stars: stars of parts merge to those of the whole.

scipy finds the components of edges that are in memory; only their merging form, and nodes of 64 bits, are ours.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from transforms.lib.arrays import UInt64

EMPTY: UInt64 = np.zeros((0, 2), np.uint64)
"""The components of no edges."""


def connected(edges: UInt64) -> UInt64:
    """Returns the components of a graph, each as a star around its smallest node.

    Args:
      edges: uint64 ``[m, 2]``, pairs of nodes; loops and repeats are allowed.

    Returns:
      uint64 ``[k, 2]``: each node that is not the smallest of its component, ascending, with the smallest. Such
      stars are edges themselves: ``connected`` of several, one below the other, is that of all
      their edges, in any order.
    """
    if not len(edges):
        return EMPTY
    # Here, since 90 modules of scipy would cost every job that may call this 0.2 s of its start.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes, where = np.unique(edges, return_inverse=True)
    ends = where.reshape(edges.shape)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(nodes), len(nodes)))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    star: UInt64 = np.stack([nodes, nodes[first[component]]], axis=1)
    inner: UInt64 = star[star[:, 0] != star[:, 1]]
    return inner


def merge(parts: Iterable[UInt64]) -> UInt64:
    """Returns the components of all edges, from the components of parts of them; associative and commutative."""
    return connected(np.concatenate([EMPTY, *parts]))


def roots(nodes: UInt64, trees: UInt64) -> UInt64:
    """Returns the smallest node of the component of each of ``nodes``, uint64 ``[n]``; itself where it has no edge."""
    if not len(trees):
        return nodes
    at = np.minimum(np.searchsorted(trees[:, 0], nodes), len(trees) - 1)
    return np.where(trees[at, 0] == nodes, trees[at, 1], nodes)
