"""An output folder as `winnow score` leaves it, with embeddings of our own and no image."""

import numpy as np
import pyarrow as pa

from beam_pipelines.planning import workspace
from transforms.lib import stamps
from transforms.lib.columnstore import columns
from transforms.rows import Shard
from transforms.storage import filesystem


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def groups(n, dim=16, number=8, seed=0, spread=0.25):
    """Returns float16 ``[n, dim]`` unit rows around some directions."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(number, dim))
    return unit(centres[chance.integers(0, number, n)] + spread * chance.normal(size=(n, dim))).astype(np.float16)


def write_scored(out, shards, scores=None, model="net", first_uid=0, numbers=None):
    """Writes a scored pool: ``shards`` is a list of float ``[n, dim]``; a row of zeros is a rejected sample.

    Uids are made of ``numbers``, of each shard int ``[n]``; by default they are counted from ``first_uid``.
    """
    made = []
    number = first_uid
    for at, rows in enumerate(shards):
        n, name = len(rows), f"{at:05d}"
        ok = np.abs(rows.astype(np.float64)).sum(axis=1) != 0
        kinds = {pa.string(): "", pa.int64(): 0, pa.int32(): 1, pa.uint64(): 0}
        table = {field.name: pa.array([kinds[field.type]] * n, field.type) for field in columns.INDEX_SCHEMA}
        counted = range(number, number + n) if numbers is None else numbers[at].tolist()
        table["uid"] = pa.array([f"{i * 0x9E3779B97F4A7C15 % 2**128:032x}" for i in counted])
        table["key"] = pa.array([f"{i:06d}" for i in range(n)])
        table["status"] = pa.array(np.where(ok, "ok", "image_undecodable").tolist())
        number += n
        score = np.where(ok, 0.3 if scores is None else scores[at], np.nan).astype(np.float32)
        for owner, written in (
            ("index", pa.table(table, schema=columns.INDEX_SCHEMA)),
            (model, columns.score_table(score, rows.astype(np.float32), rows.astype(np.float32))),
        ):
            stamp = stamps.stamp(shard=name, digest=stamps.sha256(rows.tobytes()))
            data = columns.to_parquet(written, stamp, job="score")
            filesystem.write_atomic(f"{out}/columns/{owner}/{name}.parquet", data)
        made.append(Shard(name, f"pool/{name}.tar", 1000, stamps.stamp(name=name)))
    workspace.write_pool(str(out), made)
    workspace.write_run(str(out), {"pool": {"input": ["pool/*.tar"]}, "jobs": {}})
    return out
