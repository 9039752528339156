"""Plain numpy answers, written without the code under test."""

import hashlib

import numpy as np

from transforms.lib import uids


def top_fraction(shards, fraction, seed=0, of="pool", alive=None):
    """Keeps floor(f*N + 1/2) rows by (score down, hash of uid, hash of shard name, row)."""
    rows = []
    for name, (scores, ids) in shards.items():
        shard_key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        hashes = uids.keyed_hash(uids.pairs(ids), seed)
        for row, score in enumerate(scores):
            if np.isfinite(score):
                rows.append((-float(score), int(hashes[row]), shard_key, row, name))
    candidates = [r for r in rows if alive is None or alive[r[4]][r[3]]]
    total = len(rows) if of == "pool" else len(candidates)
    keep = min(int(fraction * total + 0.5 + 1e-12), len(candidates))
    chosen = {(r[4], r[3]) for r in sorted(candidates)[:keep]}
    return {name: [(name, row) in chosen for row in range(len(scores))] for name, (scores, _) in shards.items()}


def fit(steps, blocks, memories=None):
    """Runs a recipe's rounds in one process: the contract of a step, spelled out; ``memories`` by step number."""
    import functools

    from transforms.lib.recipes import recipe

    states = []
    for number, step in enumerate(steps):
        state = step.start()
        for _ in range(step.rounds):
            summary = None
            if step.needs(state):
                parts = [step.summarise(recipe.advance(steps[:number], b, states), state) for b in blocks]
                parts += [step.recall(one, state) for one in (memories or {}).get(number, [])]
                summary = functools.reduce(step.merge, parts)
            state = step.solve(state, summary)
        states.append(state)
    return tuple(states)
