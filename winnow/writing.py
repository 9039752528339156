"""The last PTransform of one's own pipeline: write the samples that it chose, with all that an output folder holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import apache_beam as beam

from beam_pipelines.planning import reshard, select, workspace
from beam_pipelines.planning.plan_facts import version
from transforms.lib import stamps, uids
from transforms.lib.columnstore import columns
from transforms.lib.errors import ConfigError
from transforms.lib.recipes.recipe import Recipe
from transforms.lib.recipes.steps.subset import Subset
from transforms.outputs import selections
from transforms.outputs.manifest import MakeSection, WriteManifest
from transforms.outputs.sort_uids import RUNS, SortedRun, SortUids, write_run
from transforms.report import WriteReport
from transforms.reshard import ReshardCopies
from transforms.rows import FileRow, ShardRef
from transforms.select import WriteDecisions
from transforms.storage import filesystem
from transforms.workers.decide_shard import SelectSettings
from winnow import calls
from winnow.pairs import Reader, uid_of

if TYPE_CHECKING:
    from winnow.flags import ReshardFlags

T = TypeVar("T")

_REFUSED = (
    "input", "subset", "selection", "uid_field", "max_sample_bytes", "block_list", "block_radius", "crawl_id",
    "add_to_json", "blur_faces", "format", "dry_run", "quiet", "verbose", "log_file", "preset", "layout",
)  # fmt: skip
_MANY = 64 * 64  # runs and shards that are sorted in two passes; more are sorted too, in larger merges
_LABEL = "pipeline"


class WriteWebDataset(beam.PTransform):
    """Writes chosen samples as WebDataset shards: elements with uids in, one ``FileRow`` per written file out.

    An element that comes twice is written twice. ``output`` must hold the pool: ``ScorePairs`` of the same pipeline
    writes it, or ``winnow score`` did. Beside ``shards/`` there are decisions, closed books, ``subset.npy``, report
    and manifest, as of ``winnow reshard --subset``; ``winnow verify`` checks them. What the pipeline left out counts as
    dropped by the step ``pipeline``. Equal choices give equal shards, byte for byte, also those of ``winnow curate``.

    Cost: 40 bytes per element are sorted through files of 16 bytes; image bytes are read by ranges and cross no
    shuffle; otherwise that of ``winnow reshard``.

    Args:
      uid: where the uid is: an attribute, a key of a mapping, or a function of the element. Text is its own uid.
      show: column whose histogram the report shows, such as ``tinyclip.score``; empty for none.
      flags: those of ``winnow reshard`` with the same names, defaults and checks: ``output``, the folder,
        ``samples_per_shard``, and so on. For what needs columns or boxes (``add_to_json``, ``blur_faces``, other
        formats) run ``winnow.reshard`` afterwards. One pipeline at a time may write to a folder; no lease is taken.

    Raises:
      ConfigError: every problem with the arguments and the folder. When it runs, ``AccountsError`` where no uid is in
        the pool, or what ``min_coverage`` and ``max_reject_fraction`` refuse.
    """

    def __init__(self, uid: Reader = "uid", show: str = "", **flags: Unpack[ReshardFlags]) -> None:
        super().__init__()
        config, problems = calls.config_of("reshard", "WriteWebDataset", dict(flags), _REFUSED)
        record = problems.collect(workspace.check_output, config, "reshard") if not problems else None
        owner, dot, column = show.partition(".")
        if show and not (owner and dot and column):
            problems.append(f"show must be COLUMN SET.COLUMN, such as tinyclip.score, got {show!r}")
        if problems or record is None:
            raise ConfigError(problems)
        self._uid, self._record = uid, record
        self._selection = stamps.stamp(made_by="a pipeline of one's own")
        self._plan = reshard.plan_reshard(config, [], problems, {}, self._selection)
        self._settings = _select_settings(config, self._selection, (owner, column) if show else None)

    def expand(self, elements: beam.PCollection[T]) -> beam.PCollection[FileRow]:
        settings = self._settings
        root, recipe = settings.root, settings.recipe
        runs = (
            elements
            | "Gather" >> beam.BatchElements(min_batch_size=1_000, max_batch_size=100_000)
            | "Runs" >> beam.Map(_write_run, root, settings.path(RUNS), self._uid)
            | "Checkpoint" >> beam.Reshuffle()
        )
        chosen = runs | "Sort" >> SortUids(root, settings.path(_CHOSEN), _MANY, folder=settings.path(RUNS))
        refs = (
            chosen
            | "Begin" >> beam.FlatMap(_begin, settings, self._record).with_output_types(ShardRef)
            | "Spread" >> beam.Reshuffle()
        )
        states = chosen | "States" >> beam.Map(lambda row: (row.sha256,))
        selection = refs | "Decide" >> WriteDecisions(settings, states, _MANY)
        plan = select.SelectPlan(settings, {
            "configuration": {}, "recipe": recipe.as_dict(), "version": version(), "files": {},
            "selection": settings.selection,
        })  # fmt: skip
        report = plan.report("a pipeline of one's own")
        page = selection.books | "Report" >> WriteReport(report, selection.summary, selection.sources, states)
        files = (chosen, *selection.files, page) | "SelectFiles" >> beam.Flatten()
        sections = [files | "SelectSection" >> MakeSection(plan.section, plan.facts, selection.summary, root=root)]
        copies = ReshardCopies(self._plan.settings, selection.books, selection.subset)
        resharded = selection.sources | "Reshard" >> copies
        sections.append(resharded.files | "ReshardSection" >> MakeSection("reshard", self._plan.facts, root=root))
        _ = sections | "Sections" >> beam.Flatten() | "Manifest" >> WriteManifest(root)
        return resharded.files


_CHOSEN = "chosen.npy"


def _select_settings(config: Any, selection: str, score: tuple[str, str] | None) -> SelectSettings:
    """Returns the settings of a selection by the file that the pipeline writes."""
    uri = filesystem.join(config.output, selections.path_of(selection, _CHOSEN))
    recipe = Recipe("pipeline", "a pipeline of one's own", (Subset(label=_LABEL, file=uri),))
    where = {"uid": (columns.INDEX, "uid")}
    files = {f"{_LABEL}.file": (uri, "")}  # its digest is the state of the step: it is known when it is written
    return SelectSettings(config.output, recipe, where, score, select.limits_of(config), files, selection)


def _write_run(elements: Sequence[Any], root: str, folder: str, uid: Reader) -> SortedRun:
    """Writes the uids of some elements, sorted, into a file named after them."""
    pairs = uids.pairs([uid_of(element, uid) for element in elements])
    name = hashlib.sha256(uids.subset(pairs).tobytes()).hexdigest()[:32]
    return write_run(root, name, pairs, folder)


def _begin(chosen: FileRow, settings: SelectSettings, record: dict[str, Any]) -> Iterator[ShardRef]:
    """Yields the shards of the pool, which is complete since everything was chosen, and records what is begun."""
    refs = workspace.read_pool(settings.root)
    workspace.write_run(settings.root, record)
    selections.begin(settings.root, settings.selection, settings.name)
    yield from refs
