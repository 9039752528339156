"""The first two PTransforms of one's own pipeline: name the shards of a pool, and score their pairs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import apache_beam as beam
import numpy as np
from apache_beam.pvalue import AsSingleton

from beam_pipelines.planning import score, workspace
from transforms import shards as pools
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError, InputError
from transforms.outputs.manifest import Section, WriteManifest
from transforms.outputs.store import Store
from transforms.rows import FileRow, Shard, ShardRef
from transforms.score import ScoreShards
from winnow import calls
from winnow.pairs import ScoredPair

if TYPE_CHECKING:
    from beam_pipelines.config.score import ScoreConfig
    from transforms.workers.score_shard import ScoreSettings
    from winnow.flags import ScoreFlags

_REFUSED = ("input", "crawl_id", "dry_run", "quiet", "verbose", "log_file", "preset", "layout")


class ReadWebDataset(beam.PTransform):
    """Names the shards of a pool: a pipeline in, one ``Shard`` per tar, Parquet file or block of a folder out.

    The element is the shard, not the sample: no file is opened, and images never enter the pipeline. The files are
    listed on the machine that builds the pipeline.

    Cost: about 200 bytes per shard.

    Args:
      input: globs, addresses with braces, or ``@FILE``, as ``--input`` of ``winnow score``; local, gs://, s3:// ...

    Raises:
      ConfigError: a pattern matches nothing, a place cannot be read, or two shards share a name; when it is applied.
    """

    def __init__(self, input: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> None:
        super().__init__()
        one = isinstance(input, str | os.PathLike)
        self._input = [os.fspath(input)] if one else [os.fspath(text) for text in input]  # type: ignore[union-attr,arg-type]

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[Shard]:
        return pipeline | "List" >> pools.ListShards(pools.find_shards(self._input, "input"))


class ScorePairs(beam.PTransform):
    """Scores the pairs of shards: ``Shard`` rows in, one ``ScoredPair`` per pair that can be used out.

    Every shard is read once, and its index, scores and embeddings are written into the column store of ``output``, as
    ``winnow score`` does; shards that are scored already are not read. What leaves is small and plain: no image, no
    embedding. Rejected samples are in the column store with their reasons, and not among the pairs.

    Cost: that of ``winnow score``, and about 150 bytes per pair for what follows. To decide over billions of samples
    use ``winnow.curate``, which moves one row per shard instead.

    Args:
      flags: those of ``winnow score`` with the same names, defaults and checks: ``output``, the folder that gets the
        column store, ``model``, and so on. ``input`` and what concerns the command alone is refused. Name ``device``
        where the workers are other machines. One pipeline at a time may write to a folder; no lease is taken.

    Raises:
      ConfigError: every problem with the flags, the models and the folder; nothing was started.
    """

    def __init__(self, **flags: Unpack[ScoreFlags]) -> None:
        super().__init__()
        config, problems = calls.config_of("score", "ScorePairs", dict(flags), _REFUSED)
        settings = score.settings_of(config, problems) if not problems else None
        owned = workspace.OwnedSets("score", [one.name for one in settings.models] if settings else [], "model")
        record = problems.collect(workspace.check_output, config, "score", owned, shards_given=True)
        if problems or settings is None or record is None:
            raise ConfigError(problems)
        self._config, self._settings, self._record = config, settings, record

    def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[ScoredPair]:
        settings = self._settings
        every = shards | "AllShards" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        begun = every | "Begin" >> beam.Map(_begin, settings.root, self._record)
        ready = shards | "Ready" >> beam.Map(lambda shard, begun: shard, AsSingleton(begun)).with_output_types(Shard)
        scored = ready | "Score" >> ScoreShards(settings)
        files = scored | "Files" >> beam.FlatMap(lambda row: row.files)
        listed = files | "AllFiles" >> beam.CombineGlobally(beam.combiners.ToListCombineFn())
        section = listed | "Section" >> beam.Map(_section, AsSingleton(every), self._config, settings)
        _ = section | "Manifest" >> WriteManifest(settings.root)
        refs = scored | "Refs" >> beam.Map(lambda row: row.ref).with_output_types(ShardRef)
        models = [model.name for model in settings.models]
        return refs | "Pairs" >> beam.FlatMap(read_pairs, Store(settings.root), models).with_output_types(ScoredPair)


def _begin(shards: Sequence[Shard], root: str, record: dict[str, Any]) -> int:
    """Writes what names the pool of an output folder, once all shards are known; returns how many there are."""
    if not shards:
        raise InputError("ScorePairs got no shard; check what goes into it")
    try:
        known = {ref.name for ref in workspace.read_pool(root)}
    except InputError:
        known = set()
    lost = sorted(known - {shard.name for shard in shards})
    if lost:
        raise InputError(f"output {root} holds another pool, with shard {lost[0]}; name another folder")
    workspace.write_run(root, record)
    workspace.write_pool(root, list(shards))
    return len(shards)


def _section(files: Sequence[FileRow], shards: list[Shard], config: ScoreConfig, settings: ScoreSettings) -> Section:
    """Returns the section of the manifest."""
    return Section("score", score.facts_of(config, settings, shards), {}, tuple(files))


def read_pairs(ref: ShardRef, store: Store, models: Sequence[str]) -> Iterator[ScoredPair]:
    """Yields the pairs of a scored shard that have a uid and a finite score of every model."""
    with store.held() as opened:
        index = opened.read(columns.INDEX, ref.name, ["uid", "key", "caption", "status"])
        parts = [name for name in models if "score" in opened.schema(name, ref.name).names]
        scores = [opened.read(name, ref.name, ["score"])["score"].to_numpy().astype(np.float64) for name in parts]
    usable = np.array(index["status"].to_pylist(), object) == columns.OK
    for one in scores:
        usable &= np.isfinite(one)
    rows = zip(*(index[name].to_pylist() for name in ("uid", "key", "caption")), strict=True)
    for row, (uid, key, caption) in enumerate(rows):
        if usable[row]:
            named = {name: float(one[row]) for name, one in zip(parts, scores, strict=True)}
            yield ScoredPair(uid, key, ref.name, caption, next(iter(named.values()), float("nan")), named)
