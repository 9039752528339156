"""Every job of ``winnow`` as one record; whatever else is known of jobs is derived from these.

Imports no Beam, no torch and no numpy, so that ``--help`` is instant.
"""

from __future__ import annotations

from beam_pipelines.config.records import Command, Job, Listing, Tool

_RECORDS = (
    Job(
        name="curate",
        flags="curate:CurateConfig",
        summary="score a pool, select by a recipe, write better shards",
        example="winnow curate --input 'pool/*.tar' --output out --recipe dfn --keep_fraction 0.3",
        counters=("score", "select", "reshard"),
    ),
    Job(
        name="score",
        flags="score:ScoreConfig",
        summary="add a model's scores and embeddings to the column store",
        example="winnow score --input 'pool/*.tar' --output out --model tinyclip",
        counters=("score",),
    ),
    Job(
        name="annotate",
        flags="annotate:AnnotateConfig",
        summary="add column sets that need no image, such as language",
        example="winnow annotate --output out --columns language,caption",
        counters=("annotate",),
    ),
    Job(
        name="dedup",
        flags="dedup:DedupConfig",
        summary="find exact, near and semantic duplicates; adds a column set",
        example="winnow dedup --output out --by exact",
        counters=("dedup",),
    ),
    Job(
        name="cluster",
        flags="cluster:ClusterConfig",
        summary="find clusters by k-means or by given centroids",
        example="winnow cluster --output out --k 100",
        counters=("cluster",),
    ),
    Job(
        name="select",
        flags="select:SelectJobConfig",
        summary="turn columns into decisions by a recipe",
        example="winnow select --output out --recipe clip_score --set top_fraction.fraction=0.2",
        counters=("select",),
    ),
    Job(
        name="explain",
        flags="reading:ExplainConfig",
        summary="say why samples were kept or dropped, and by which columns",
        example="winnow explain 139e4a9b22a614771f06c700a8ebe150 --output out",
        pipeline=False,
        template=False,
    ),
    Job(
        name="diff",
        flags="reading:DiffConfig",
        summary="say what two selections, runs or crawls do differently",
        example="winnow diff current strict --output out --html diff.html",
        pipeline=False,
        template=False,
    ),
    Job(
        name="export",
        flags="export:ExportTableConfig",
        summary="write uids, captions, scores and decisions as one table",
        example="winnow export --output out --to samples.parquet",
        pipeline=False,
        template=False,
    ),
    Job(
        name="export-subset",
        flags="subset:ExportConfig",
        summary="write what was kept or dropped as a subset file",
        example="winnow export-subset --output out --to dropped.npy --where dropped",
        pipeline=False,
        template=False,
    ),
    Job(
        name="import-subset",
        flags="subset:ImportSubsetConfig",
        summary="make a sorted subset file of lists of uids",
        example="winnow import-subset --input uids.txt --to subset.npy --sort --subtract evaluation.npy",
        pipeline=False,
        template=False,
    ),
    Job(
        name="reshard",
        flags="reshard:ReshardJobConfig",
        summary="turn decisions, or a subset file, into equal output shards",
        example="winnow reshard --output out --samples_per_shard 1000",
        counters=("reshard",),
    ),
    Job(
        name="takedown",
        flags="takedown:TakedownConfig",
        summary="remove samples from a finished output, for good",
        example="winnow takedown out --uids uids.txt --reason 'request 17'",
        pipeline=False,
        template=False,
    ),
    Job(
        name="import-scores",
        flags="imports:ImportConfig",
        summary="bring scores of other tools into the column store",
        example="winnow import-scores --input scores.parquet --output out --by uid --name others",
        counters=("import",),
    ),
    Job(
        name="import-datacomp",
        flags="imports:MetadataConfig",
        summary="make a pool of DataComp's metadata, without any shard",
        example="winnow import-datacomp --input metadata --output out",
        counters=("import",),
    ),
    Job(
        name="publish",
        flags="crawl:PublishConfig",
        summary="let a crawl become the latest when it passes its gate",
        example="winnow publish --output out --crawl_id 2026-11-21 --gate_retention 0.1,0.2 --gate_drift 0.05",
    ),
    Job(
        name="verify",
        flags="reading:VerifyConfig",
        summary="check every output against its manifest, books and input",
        example="winnow verify --output out",
        counters=("verify",),
        template=False,
    ),
    Job(
        name="train-filter",
        flags="train_filter:TrainConfig",
        summary="train a filtering network on a pool of clean pairs",
        example="winnow train-filter --input 'clean/*.tar' --output my-filter --model tinyclip",
    ),
    Job(
        name="train-mix",
        flags="train:TrainMixConfig",
        summary="learn the weights of a mix of scores (M-FLYT)",
        example="winnow train-mix --pool out --output my-mix --downstream labelled --score a.score --score b.score",
        pipeline=False,
        template=False,
    ),
    Job(
        name="train-flyt",
        flags="train:TrainFlytConfig",
        summary="learn a scoring head on embeddings (FLYT)",
        example="winnow train-flyt --pool out --output my-flyt --downstream 'labelled/*.tar' --class_names names.txt",
        pipeline=False,
        template=False,
    ),
    Job(
        name="score-flyt",
        flags="train:ScoreFlytConfig",
        summary="add the scores of a FLYT head, from saved embeddings",
        example="winnow score-flyt --output out --head my-flyt",
        counters=("score",),
    ),
    Job(
        name="evaluate",
        flags="train:EvaluateConfig",
        summary="train a model per selection, and compare them in one table",
        example="winnow evaluate --output proof --arm dfn=out --arm none=all --pool out --retrieval coco='coco/*.tar'",
        pipeline=False,
        template=False,
    ),
)

JOBS = {job.name: job for job in _RECORDS}
"""Name -> job, in the order in which they are listed to users."""

COUNTERS = frozenset(name for job in _RECORDS for name in job.counters)
"""Namespaces of Winnow's own Beam counters."""

COMMANDS = {
    command.name: command
    for command in (
        Tool(
            name="run",
            flags="config.tools:RunConfig",
            summary="run all jobs of a curation from one file",
            example="winnow run curation.yaml",
            usage="FILE [FLAGS]",
            remark="docs/run.md shows a file of jobs.",
        ),
        Tool(
            name="browse",
            flags="config.tools:BrowseConfig",
            summary="look through the samples of an output in a browser",
            example="winnow browse out",
            usage="FOLDER [FLAGS]",
            remark="It serves this machine alone, and writes nothing.",
        ),
        Tool(
            name="doctor",
            flags="config.tools:DoctorConfig",
            summary="check this machine, its packages, credentials and stores",
            example="winnow doctor --input 'pool/*.tar' --output out",
            remark="It leaves nothing behind, and prints no secret.",
        ),
        Tool(
            name="launch",
            flags="cloud.config:LaunchConfig",
            summary="start a job from its Dataflow template",
            example="winnow launch score --project my-project --region us-central1 --template "
            "gs://my-bucket/templates/score.json --preset l4 --workers 20 -- --input 'gs://my-bucket/pool/*.tar' "
            "--output gs://my-bucket/out",
            usage="JOB [FLAGS] -- [FLAGS OF THE JOB]",
            remark="The flags of the job come after --.",
        ),
        Tool(
            name="plan",
            flags="cloud.config:CostConfig",
            summary="say what a pool will cost on each shape of worker",
            example="winnow plan --samples 1000000000 --gflop_per_pair 14.8 --set l4_hour=0.6",
            remark="docs/cost.md has the formula.",
        ),
        Tool(
            name="demo",
            flags="config.tools:DemoConfig",
            summary="curate 62 pictures that come with Winnow, and open the report",
            example="winnow demo",
            remark="The pictures are public domain, from Open Clip Art.",
        ),
        Command(name="completion", summary="print the script by which a shell completes jobs and flags"),
        Listing(name="models", summary="list what can be given to --model"),
        Listing(name="recipes", summary="list the recipes and what they do"),
        Listing(name="plugins", summary="list parts that other packages bring, and if they work"),
    )
}
"""Name -> command that is no job: it has no settings that a run records."""

TOOLS = {name: command for name, command in COMMANDS.items() if isinstance(command, Tool)}
"""Those of them that have flags."""
