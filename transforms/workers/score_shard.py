"""Score one shard: settings, stamps, and the models of a process; columns are written, images go nowhere."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from apache_beam.metrics import Metrics

from transforms.lib import lost_shards, stamps, uid_rule
from transforms.lib.addresses import without_query, without_secrets
from transforms.lib.columnstore import columns, notices
from transforms.lib.devices import devices
from transforms.lib.errors import UnreadableError
from transforms.lib.inference import gpu_decode, prefetch, scoring
from transforms.lib.inputs import input_kinds
from transforms.lib.inputs.input_kind import SeekableStream
from transforms.lib.lost_shards import Lost
from transforms.lib.models import clip, scorer, spec
from transforms.lib.samples.index_row import ReadRules
from transforms.lib.tar import packing
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar.shard_samples import read_samples
from transforms.lib.tar.streams import DecompressedStream, limited
from transforms.lib.tar_account import MISNAMED, REMARKED, TarAccount
from transforms.outputs import indexed_samples, takedowns
from transforms.outputs.store import Store
from transforms.rows import FileRow, Shard, ShardRef
from transforms.storage import filesystem, pool_files
from transforms.workers import unreadable_shard
from transforms.workers.shard_work import Outcome, logged

INDEX_VERSION = 8  # raise when the same tar would give another index
SCORE_VERSION = 3  # raise when the same pixels and text would give another score
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ScoreSettings:
    """Everything scoring needs to know; workers get it as a field.

    Attributes:
      root: the output folder.
      models: what scores; each writes the column set of its name.
      rules: what is read and what is rejected.
      batch_size: images given to a model at once.
      device: ``cpu`` or ``cuda``.
      precision: ``fp32``, ``bf16`` or ``fp16``.
      threads: batches that are embedded at once on a CPU; 0 = as many as there are cores.
      decode_threads: that decode images; 0 = all cores.
      standing: lists of samples that were taken down here; no stamp depends on them.
      max_unreadable: largest share of the shards that may be lost.
    """

    root: str
    models: tuple[spec.ModelSpec, ...]
    rules: ReadRules = dataclasses.field(default_factory=ReadRules)
    batch_size: int = 8
    device: str = "cpu"
    precision: str = "fp32"
    threads: int = 0
    decode_threads: int = 0
    standing: tuple[takedowns.StandingFile, ...] = ()
    max_unreadable: float = 0.0

    def index_stamp(self, shard: Shard) -> str:
        """Returns the stamp of a shard's index, in which no model has a say but one that picks captions."""
        rules = dataclasses.asdict(self.rules) | {"others": bool(self.rules.others)}
        if self.chooser:
            rules |= {"chooser": self._made_by(self.chooser)}
        return stamps.stamp(shard=shard.stamp, version=INDEX_VERSION, **rules)

    def score_stamp(self, shard: Shard, model: spec.ModelSpec) -> str:
        """Returns the stamp of a model's column set of a shard."""
        return stamps.stamp(index=self.index_stamp(shard), **self._made_by(model))

    def _made_by(self, model: spec.ModelSpec) -> dict[str, Any]:
        """Returns all that a score depends on beside the sample."""
        numbers = {"batch": self.batch_size, "precision": self.precision, "device": self.device}
        return {**dataclasses.asdict(model), **numbers, "version": SCORE_VERSION}

    @property
    def chooser(self) -> spec.ModelSpec | None:
        """The model that picks the best of several captions; None where the rules pick."""
        if self.rules.captions != "best":
            return None
        return next((model for model in self.models if not model.part), None)

    def stamps(self, shard: Shard) -> dict[str, str]:
        """Returns column set -> stamp, the index included."""
        scores = {model.name: self.score_stamp(shard, model) for model in self.models}
        return {columns.INDEX: self.index_stamp(shard), **scores}


def missing_sets(settings: ScoreSettings, shard: Shard) -> list[str]:
    """Returns the column sets of a shard that are absent or were made from something else."""
    store = Store(settings.root)
    wanted = settings.stamps(shard)
    return [name for name, stamp in wanted.items() if store.facts(name, shard.name).get("stamp") != stamp]


class Scored(NamedTuple):
    """What is left of a shard once its columns are in the store, and whether anything could be read of it."""

    ref: ShardRef
    files: tuple[FileRow, ...]
    lost: Lost


class ScoreModels:
    """The models and the decode threads of one process; models are loaded when the first shard needs them.

    Threads share them.

    Attributes:
      pool: the threads that decode images.
      turn: held by the thread that embeds, where one at a time must.
      start_decode: decodes on the GPU; None where ``pool`` decodes.

    Raises:
      InputError: JPEGs are to be decoded on a GPU, and torchvision cannot.
    """

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._models: dict[str, scoring.Model] = {}
        self._workers: devices.Workers | None = None
        self.turn = threading.Lock()
        self.pool = ThreadPoolExecutor(settings.decode_threads or devices.cpu_count(), "winnow-decode")
        self.start_decode: prefetch.Decode | None = None
        if any(spec.variant == "gpu" for spec in settings.models):
            self.start_decode = gpu_decode.DeviceDecoder(settings.device, self.pool).submit

    def named(self, names: Iterable[str]) -> dict[str, scoring.Model]:
        """Returns the named models, loading those that are not loaded yet."""
        with self._lock:
            for spec in self._settings.models:
                if spec.name in names and spec.name not in self._models:
                    self._models[spec.name] = self._load(spec)
            return {spec.name: self._models[spec.name] for spec in self._settings.models if spec.name in names}

    def _load(self, model: spec.ModelSpec) -> scoring.Model:
        settings = self._settings
        if model.kind == scorer.KIND:
            return scorer.load(model, filesystem.fetch)
        if settings.device == "cpu" and self._workers is None:
            self._workers = devices.Workers(settings.threads or devices.cpu_count())
        return clip.load(
            model,
            device=settings.device,
            precision=settings.precision,
            batch_size=settings.batch_size,
            fetch=filesystem.fetch,
            workers=self._workers,
        )


@dataclasses.dataclass(frozen=True)
class ScoreShard:
    """Scores a shard and writes its column sets, or passes it on unread when all carry the right stamp.

    Attributes:
      settings: models, rules and where to write.
    """

    settings: ScoreSettings

    def load(self) -> ScoreModels:
        """Prepares the models and threads of a process."""
        return ScoreModels(self.settings)

    def __call__(self, shard: Shard, models: ScoreModels) -> Scored:
        store = Store(self.settings.root)
        with logged(_LOG, "score", shard.name) as outcome:
            wanted = self.settings.stamps(shard)
            stored = {name: store.facts(name, shard.name) for name in wanted}
            missing = [name for name, stamp in wanted.items() if stored[name].get("stamp") != stamp]
            files = [store.row_of(name, shard.name) for name in wanted if name not in missing]
            if missing:
                written, lost = self._work(store, shard, missing, models, outcome)
                files += written
            else:
                found = stored[columns.INDEX].get("lost", "")
                lost = Lost(1, 1, ((shard.name, found),)) if found else Lost(1)
                outcome.skipped = True
                Metrics.counter("score", "shards_skipped").inc()
            if lost.lost:
                Metrics.counter("score", "shards_lost").inc()
        return Scored(ShardRef(shard.name, shard.uri, shard.size), tuple(sorted(files)), lost)

    def _work(
        self, store: Store, shard: Shard, missing: list[str], models: ScoreModels, outcome: Outcome
    ) -> tuple[list[FileRow], Lost]:
        """Scores a shard and writes what is missing; of one that cannot be read, what says so."""
        stamps_of = self.settings.stamps(shard)
        try:
            scored, tar_facts = self._scored(shard, missing, models, outcome)
            lost = lost_shards.lost(shard.name, scored.index)
        except UnreadableError as error:
            rows = 1 if columns.INDEX in missing else len(store.valid(shard.name))
            named = models.named(missing)
            scored, account = unreadable_shard.rejected(
                shard, error.detail, named, self.settings.rules, models.pool, rows
            )
            stamps_of = {name: unreadable_shard.stamp(stamp) for name, stamp in stamps_of.items()}
            tar_facts = {"tar": account.to_json(), "packing": packing.PLAIN}
            lost = lost_shards.lost(shard.name, scored.index.slice(0, 1))
        if lost.lost:
            tar_facts["lost"] = lost.first[0][1]
        outcome.samples = len(scored.index)
        outcome.rejected = sum(scoring.rejected_reasons(scored.index).values())
        return self._write(store, shard, {name: stamps_of[name] for name in missing}, scored, tar_facts), lost

    def _scored(
        self, shard: Shard, missing: list[str], models: ScoreModels, outcome: Outcome
    ) -> tuple[scoring.ScoredShard, dict[str, str]]:
        start = time.monotonic()
        rules = self.settings.rules
        chooser = self.settings.chooser
        named = models.named([*missing, *([chooser.name] if chooser else [])])
        account = TarAccount()
        with contextlib.ExitStack() as opened:
            with pool_files.readable(shard.uri):
                tar = opened.enter_context(pool_files.open_shard(shard.uri))
            samples = read_samples(
                limited(tar, rules.tar), max_sample_bytes=rules.max_sample_bytes, account=account, limits=rules.tar
            )
            scored = scoring.score_samples(
                outcome.counted(_readable(shard.uri, samples)),
                named,
                rules,
                models.pool,
                self.settings.batch_size,
                models.turn,
                models.start_decode,
            )
        packed = packing.PLAIN
        if isinstance(tar, DecompressedStream):
            packed = tar.packing
            account.read = tar.taken
            account.unread = shard.size - tar.taken if account.broken else 0
        elif input_kinds.kind_of(shard.uri).name != "tar":  # each row or file is in a sample; the tar is of our making
            account.read, account.unread = (0, shard.size) if account.broken else (shard.size, 0)
            account.unused_rows = tar.unused_rows if isinstance(tar, SeekableStream) else 0
        account.check(f"shard {shard.name}", shard.size)
        self._count(shard, scored, time.monotonic() - start)
        said = packing.packing_by_name(without_query(shard.uri))
        if said != packed and account.samples and input_kinds.kind_of(shard.uri).name == "tar":
            Metrics.counter("score", f"{MISNAMED}{said}_{packed}").inc()
        self._count_bytes(account)
        return scored, {"tar": account.to_json(), "packing": packed}

    @staticmethod
    def _count_bytes(account: TarAccount) -> None:
        """Counts what a user should know of a tar, where there is any of it."""
        for name in REMARKED:
            if count := getattr(account, name):
                Metrics.counter("score", f"tar_{name}").inc(count)

    @staticmethod
    def _count(shard: Shard, scored: scoring.ScoredShard, seconds: float) -> None:
        rejected = scoring.rejected_reasons(scored.index)
        Metrics.counter("score", "shards_scored").inc()
        Metrics.counter("score", "in").inc(len(scored.index))
        Metrics.counter("score", "out").inc(len(scored.index) - sum(rejected.values()))
        Metrics.counter("score", "images_scored").inc(len(scored.index) - sum(rejected.values()) if scored.sets else 0)
        Metrics.counter("score", "images_repeated").inc(scored.repeated)
        for name, count in scored.unseen.items():
            Metrics.counter("score", f"unseen_by_{name}").inc(count)
        Metrics.counter("score", "bytes_read").inc(shard.size)
        for name, milliseconds in scored.clock.counters().items():
            Metrics.counter("score", name).inc(milliseconds)
        Metrics.distribution("score", "shard_msec").update(int(seconds * 1000))
        for reason, count in rejected.items():
            Metrics.counter("score", f"rejected_{reason}").inc(count)
        for kind, count in notices.count(scored.index["notices"]).items():
            Metrics.counter("score", f"notice_{kind}").inc(count)

    def _write(
        self, store: Store, shard: Shard, wanted: dict[str, str], scored: scoring.ScoredShard, tar_facts: dict[str, str]
    ) -> list[FileRow]:
        tables = takedowns.without(self.settings.standing, {**scored.sets, columns.INDEX: scored.index})
        facts = {name: {"job": "score", "uri": without_secrets(shard.uri)} for name in wanted}
        facts.get(columns.INDEX, {}).update(uid_rule=uid_rule.VERSION, **tar_facts)
        if "lost" not in tar_facts:
            indexed_samples.check(store, shard, tables[columns.INDEX], wanted)
        return [store.write(name, shard.name, tables[name], stamp, **facts[name]) for name, stamp in wanted.items()]


def _readable(uri: str, samples: Iterable[RawSample]) -> Iterator[RawSample]:
    """Passes on the samples of a shard; that it cannot be read on is an error of its own."""
    with pool_files.readable(uri):
        yield from samples
