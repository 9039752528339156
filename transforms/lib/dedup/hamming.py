"""Which hashes of 64 bits differ in few bits: blocks of hashes that share a band, then pairs inside blocks."""

from __future__ import annotations

import itertools

import numpy as np

from transforms.lib.arrays import Int64, UInt64
from transforms.lib.dedup.components import EMPTY, connected, merge

BITS = 64
_BLOCK = 64  # larger blocks are cut by another band before pairs are compared
_DEPTH = 2  # times a block is cut
_PAIRS = 1 << 20  # pairs held before they are merged


def distance(one: UInt64, other: UInt64) -> Int64:
    """Returns how many bits differ, 0 .. 64; uint64 ``[n]`` twice.

    Source of the count: Warren, "Hacker's Delight", section 5-1; numpy has one from version 2 on.
    """
    bits = one ^ other
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((bits * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def bands(radius: int, bits: int = (1 << BITS) - 1) -> list[int]:
    """Splits bit positions into ``radius + 1`` bands of nearly equal width.

    Hashes at most ``radius`` bits apart agree on one of them: ``radius`` differences cannot lie in all.

    Args:
      radius: 0 .. 15.
      bits: mask of the positions to split.

    Returns:
      masks that do not overlap and together are ``bits``.
    """
    places = [place for place in range(BITS) if bits >> place & 1]
    cuts = [len(places) * number // (radius + 1) for number in range(radius + 2)]
    return [sum(1 << place for place in places[a:b]) for a, b in itertools.pairwise(cuts)]


def near(hashes: UInt64, radius: int, mask: int) -> UInt64:
    """Finds the hashes that agree on the bits of ``mask`` and differ in at most ``radius`` others.

    Blocks of more than 64 hashes are cut again, by bands of the bits that are left, twice at most; so the comparisons
    grow with the square of a block only where more than 64 hashes share three bands.

    Cost: memory linear in ``n``; of the pairs only their connected components are kept, however many there are.

    Args:
      hashes: uint64 ``[n]``, distinct.
      radius: bits.
      mask: one of ``bands(radius)``.

    Returns:
      the connected components of the pairs, as ``components.connected`` returns them.
    """
    return _near(hashes, radius, mask, _DEPTH)


def _near(hashes: UInt64, radius: int, mask: int, depth: int) -> UInt64:
    key = hashes & np.uint64(mask)
    order = np.argsort(key, kind="stable")
    hashes, key = hashes[order], key[order]
    size = np.bincount(np.cumsum(np.append(False, key[1:] != key[:-1]))) if len(key) else np.zeros(0, np.int64)
    large = np.repeat(size > _BLOCK, size) & (depth > 0)
    pairs = _pairs(hashes[~large], key[~large], radius)
    if large.any():
        rest = bands(radius, ~mask & ((1 << BITS) - 1))
        pairs = merge([pairs, *(_near(hashes[large], radius, mask | band, depth - 1) for band in rest)])
    return pairs


def _pairs(hashes: UInt64, key: UInt64, radius: int) -> UInt64:
    """Compares every two hashes of equal key; keys are sorted."""
    pairs: list[UInt64] = [EMPTY]
    left = np.arange(len(hashes))
    gap = 0
    while len(left):
        gap += 1
        left = left[left + gap < len(hashes)]
        left = left[key[left] == key[left + gap]]
        close = left[distance(hashes[left], hashes[left + gap]) <= radius]
        pairs.append(np.stack([hashes[close], hashes[close + gap]], axis=1))
        if sum(map(len, pairs)) > _PAIRS:
            pairs = [merge(pairs)]
    return connected(np.concatenate(pairs))
