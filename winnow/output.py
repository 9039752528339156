"""An output folder of Winnow, read as tables and arrays."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from transforms.outputs.samples import Samples


@dataclasses.dataclass(frozen=True)
class Output:
    """What jobs wrote about the samples of a pool.

    Row i is the same sample in every table and array of the same shards. Rejected and dropped samples have rows, too:
    ``status`` says why a sample was rejected, ``copies`` is 0 where it is not kept.

    Attributes:
      output: the folder: local, gs:// or s3://; of a crawl, OUTPUT/crawls/ID.
      selection: name or ID of the selection whose decisions are read; empty for the current one, if there is any.
    """

    output: str
    selection: str = ""

    def table(self, columns: Sequence[str] | None = None, shards: Sequence[str] | None = None) -> pa.Table:
        """Returns samples as one table of Arrow, in memory: ``.to_pandas()``, duckdb and polars take it.

        Args:
          columns: names, ``set.column`` or bare where one set has it. None for ``uid`` (32 hex digits), ``key``,
            ``shard``, ``caption`` and ``status``, all columns but embeddings of the other column sets as
            ``set.column``, and, where there is a selection, ``step`` (that dropped the sample; "" where it is kept),
            ``margin`` (float32) and ``copies`` (uint16).
          shards: names of shards; None for the whole pool.

        Raises:
          ConfigError: every problem: no pool, no such column, shard or selection.
        """
        return self._samples(columns, shards).table()

    def batches(
        self, columns: Sequence[str] | None = None, shards: Sequence[str] | None = None
    ) -> pa.RecordBatchReader:
        """Returns the same as a stream of record batches; one shard at a time is in memory.

        Args and Raises: as ``table``; each batch holds rows of one shard.
        """
        return self._samples(columns, shards).batches()

    def embeddings(self, name: str, shards: Sequence[str] | None = None) -> NDArray[np.floating[Any]]:
        """Returns embeddings as one array.

        Args:
          name: of their column, such as ``tinyclip.image``.
          shards: names of shards; None for the whole pool.

        Returns:
          float16 ``[n, dim]``, unit norm; zero for a rejected sample. Row i is row i of ``table``.

        Raises:
          ConfigError: every problem, as ``table``; the column holds no embeddings.
        """
        import pyarrow as pa

        from transforms.lib.errors import ConfigError

        samples = self._samples([name], shards)
        if not pa.types.is_fixed_size_list(samples.schema.field(0).type):
            raise ConfigError(f"column {name!r} holds no embeddings; read it by table(columns=[{name!r}])")
        return samples.array()

    def ledger(self) -> pa.Table:
        """Returns what became of every sample, one row each, as a table of Arrow in memory.

        Returns:
          ``uid`` (32 hex digits), ``key`` and ``shard`` of the input, ``row`` in its columns, ``offset`` and ``length``
          (bytes in the unpacked tar), ``outcome`` (kept, dropped or rejected), ``step`` that dropped it and its
          ``margin`` (float32), ``reason`` and ``detail`` of a rejection, ``copies`` (uint16), and ``places``: a list of
          shard, position from 0, and key of each copy in the output, empty where nothing was resharded.

        Raises:
          ConfigError: there is no pool or no selection, or a file is missing or damaged.
        """
        from beam_pipelines.planning import samples

        return samples.find_ledger(self.output, self.selection).table()

    def _samples(self, columns: Sequence[str] | None, shards: Sequence[str] | None) -> Samples:
        from beam_pipelines.planning import samples

        return samples.find(self.output, self.selection, columns, shards)


def open(output: str | os.PathLike[str], selection: str = "") -> Output:
    """Opens an output folder for reading.

    Args:
      output: the folder that a job wrote: local, gs:// or s3://; of a crawl, OUTPUT/crawls/ID.
      selection: name or ID of the selection whose decisions are wanted; empty for the current one, if there is any.

    Raises:
      ConfigError: the folder holds no pool, or not that selection.
    """
    from transforms.lib import addresses

    opened = Output(addresses.without_scheme(os.fspath(output)), selection)
    opened._samples(["uid", "copies"] if selection else ["uid"], None)
    return opened
