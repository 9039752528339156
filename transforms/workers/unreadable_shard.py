"""What scoring writes for a shard that cannot be read: rows that keep the books closed until another run can."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from apache_beam.metrics import Metrics

from transforms.lib import stamps
from transforms.lib.errors import Reason
from transforms.lib.inference import scoring
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar_account import TarAccount
from transforms.rows import Shard


def rejected(
    shard: Shard, detail: str, models: Mapping[str, scoring.Model], rules: ReadRules, pool: Executor, rows: int = 1
) -> tuple[scoring.ScoredShard, TarAccount]:
    """Returns the columns of a shard of which every byte is rejected, and the account of its bytes.

    Args:
      shard: that cannot be read.
      detail: what was found.
      models: column set -> model that was to score it.
      rules: of the index.
      pool: of ``score_samples``; has nothing to do.
      rows: of the index that is there already, if one is; else one row stands for the whole shard.
    """
    sample = RawSample("", 0, shard.size, {}, Reason.SHARD_UNREADABLE, detail)
    scored = scoring.score_samples([sample] * rows, models, rules, pool, batch_size=1)
    Metrics.counter("score", "in").inc(rows)
    Metrics.counter("score", f"rejected_{Reason.SHARD_UNREADABLE}").inc(rows)
    return scored, TarAccount(size=shard.size, rejected=shard.size, unread=shard.size, shards=1)


def stamp(wanted: str) -> str:
    """Returns the stamp of a file of such a shard, which is never the wanted one, so that a later run tries again."""
    return stamps.stamp(unreadable=wanted)
