"""The job that Dataflow is given, made without a network: workers, images, account, fusion, and what crosses stages."""

import copy
import importlib
import json
import shutil
import subprocess
import sys

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
from apache_beam.runners.dataflow.internal import apiclient
from apache_beam.runners.portability.fn_api_runner import translations

from beam_pipelines.cloud import presets
from beam_pipelines.cloud.template_metadata import has_device, required, template_jobs
from beam_pipelines.config.jobs import JOBS
from beam_pipelines.planning import plan_facts
from beam_pipelines.running import beam_options, options
from tests.beam_pipelines.test_score_flyt import write_head
from tests.conftest import make_pool
from tests.dataflow import serve
from tests.metadata import make_metadata
from tests.servers import gcs
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member

IMAGE = "us-central1-docker.pkg.dev/my-project/winnow/worker@sha256:" + "0" * 64
CLOUD = [
    "--runner=DataflowRunner", "--dry_run=True", "--no_auth", "--sdk_location=container", "--project=my-project",
    "--region=us-central1", "--temp_location=gs://my-bucket/tmp", "--staging_location=gs://my-bucket/staging",
    f"--sdk_container_image={IMAGE}", "--service_account_email=worker@my-project.iam.gserviceaccount.com",
    "--no_use_public_ips", "--subnetwork=regions/us-central1/subnetworks/winnow", "--labels=app=winnow",
    "--num_workers=3", "--max_num_workers=3",
]  # fmt: skip
GROUPS = frozenset(["beam:transform:group_by_key:v1", "beam:transform:impulse:v1", "beam:transform:flatten:v1"])


@pytest.fixture(scope="module")
def scored(tmp_path_factory, tiny_network):
    """Returns (pool, an output that is scored and decided)."""
    folder = tmp_path_factory.mktemp("dataflow")
    pool = make_pool(folder / "pool", faults=False)
    from beam_pipelines import cli

    args = ["--input", f"{pool}/*.tar", "--model", f"tiny={tiny_network}", "--output", str(folder / "done")]
    assert cli.main(["curate", *args]) == 0
    return pool, folder / "done"


def work_of(job, argv):
    """Returns (what the job would do, Beam's flags) for a command line, as the job itself finds out.

    The pool lies on this machine, which is wrong for Dataflow and nothing else here is.
    """
    parsed = options.parse(job, argv)
    others = [line for line in parsed.problems if "is on this machine, and Dataflow's workers" not in line]
    problems = plan_facts.Problems(others, elsewhere=beam_options.runs_elsewhere(parsed.beam_args))
    work = importlib.import_module(JOBS[job].module).plan(parsed.config, problems)
    assert work is not None, problems
    return work, parsed.beam_args


def flags_of(job, scored, network, tmp_path):
    """Returns the flags that a job needs, found by what it calls missing; only odd ones need a line here."""
    pool, done = scored
    needed = required(JOBS[job].settings)
    if job == "import-scores":
        table = pq.read_table(next(done.glob("columns/index/*.parquet")), columns=["uid"])
        pq.write_table(table.append_column("quality", [[0.5] * len(table)]), tmp_path / "t.parquet")
        given = ["--input", str(tmp_path / "t.parquet"), "--name", "more", "--min_coverage", "0"]
        return ["--output", str(done), *given]
    if job == "score-flyt":
        return ["--output", str(done), "--head", str(write_head(tmp_path / "head", column_set="tiny"))]
    if job == "import-datacomp":
        make_metadata(tmp_path / "metadata")
        return ["--output", str(tmp_path / "out"), "--input", str(tmp_path / "metadata")]
    if job == "publish":
        crawl = tmp_path / "root/crawls/first"
        shutil.copytree(done, crawl)
        (crawl / "crawl.json").write_text('{"crawl_id": "first"}')
        return ["--output", str(tmp_path / "root"), "--crawl_id", "first"]
    if job in ("annotate", "dedup"):
        return ["--output", str(done), *(["--columns", "caption"] if job == "annotate" else ["--by", "exact"])]
    flags = ["--output", str(tmp_path / "out" if "input" in needed else done)]
    flags += ["--input", f"{pool}/*.tar"] if "input" in needed else []
    flags += ["--model", f"tiny={network}"] if job in ("curate", "score") else []
    return flags if job != "train-filter" else ["--output", "gs://my-bucket/filter", "--input", f"{pool}/*.tar"]


def submitted(job, argv):
    """Returns (the environment of the submitted job, its pipeline)."""
    work, beam_args = work_of(job, [text for text in argv if text != "--dry_run=True"])
    chosen = beam_options.pipeline_options([*beam_args, "--dry_run=True"])
    pipeline = beam.Pipeline(options=chosen)
    work.build(pipeline)
    proto = pipeline.run().job.proto_pipeline
    made = apiclient.Environment([], chosen, "1", "gs://my-bucket/staging/pipeline.pb", proto)
    return made.proto, proto


@pytest.mark.parametrize("job", template_jobs())
def test_a_cpu_job_asks_for_what_it_was_told(job, scored, tiny_network, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "transforms.storage.filesystem.children", lambda folder: iter(())
    ) if job == "train-filter" else None
    more = [*CLOUD, "--preset", "cpu", "--flexrs_goal=COST_OPTIMIZED"]
    environment, _ = submitted(job, [*flags_of(job, scored, tiny_network, tmp_path), *more])
    (pool,) = environment.worker_pools
    assert (pool.machine_type, pool.disk_size_gb, pool.num_workers) == ("n2-standard-4", 50, 3)
    assert pool.num_threads_per_worker == 1
    assert pool.autoscaling_settings.max_num_workers == 3
    assert pool.ip_configuration.name == "WORKER_IP_PRIVATE"
    assert pool.subnetwork == "regions/us-central1/subnetworks/winnow"
    assert [image.container_image for image in pool.sdk_harness_container_images] == [IMAGE]
    assert environment.service_account_email == "worker@my-project.iam.gserviceaccount.com"
    assert environment.flex_resource_scheduling_goal.name == "FLEXRS_COST_OPTIMIZED"
    assert not [text for text in environment.service_options if "accelerator" in text]
    assert "use_multiple_sdk_containers" in environment.experiments
    assert dict(environment.sdk_pipeline_options["options"])["labels"] == ["app=winnow"]


@pytest.mark.parametrize("layout", presets.LAYOUTS)
@pytest.mark.parametrize("preset", [name for name in presets.PRESETS if name != "cpu"])
def test_a_gpu_job_asks_for_gpu_driver_and_layout(preset, layout, scored, tiny_network, tmp_path):
    flags = flags_of("score", scored, tiny_network, tmp_path)
    environment, proto = submitted(
        "score", [*flags, "--device", "cuda", *CLOUD, "--preset", preset, "--layout", layout]
    )
    shape = presets.PRESETS[preset]
    (pool,) = environment.worker_pools
    assert (pool.machine_type, pool.disk_size_gb) == (shape.machine_type, shape.disk_gb)
    wanted = f"worker_accelerator=type:{shape.accelerator};count:1;install-nvidia-driver:5xx"
    assert list(environment.service_options) == [wanted + (";use_nvidia_mps" if layout == "A" else "")]
    assert pool.num_threads_per_worker == (1 if layout == "A" else shape.threads)
    assert pool.num_workers == 3
    assert pool.autoscaling_settings.algorithm.name == "AUTOSCALING_ALGORITHM_NONE"
    assert ("no_use_multiple_sdk_containers" in environment.experiments) == (layout == "B")
    assert ("use_multiple_sdk_containers" in environment.experiments) == (layout == "A")
    assert len(pool.sdk_harness_container_images) == 1  # a resource hint would split the job into two environments
    assert len(proto.components.environments) == 1


def test_flags_of_beam_win_over_the_preset():
    found = presets.beam_flags("l4", "", ["--machine_type=g2-standard-16", "--experiments=worker_accelerator=type:x"])
    assert not [text for text in found if text.startswith(("--machine_type", "--dataflow_service_options"))]
    assert "--disk_size_gb=100" in found
    assert "--autoscaling_algorithm=NONE" in found
    found = presets.beam_flags("l4", "", ["--autoscaling_algorithm=THROUGHPUT_BASED"])
    assert "--autoscaling_algorithm=NONE" not in found


@pytest.mark.parametrize("job", [job for job in template_jobs() if not has_device(job)])
def test_a_job_without_a_use_for_a_gpu_gets_none(job, winnow):
    code, _, stderr = winnow(job, "--preset", "l4", "--output", "x")
    assert code == 2
    assert "no use for a GPU" in stderr


def stages_of(proto):
    """Returns the stages after Beam's own greedy fusion, each as the set of its transforms' names."""
    _, stages = translations.create_and_optimize_stages(
        copy.deepcopy(proto), phases=translations.standard_optimize_phases(), known_runner_urns=GROUPS
    )
    return [{transform.unique_name for transform in stage.transforms} for stage in stages]


def holding(stages, *names):
    return [stage for stage in stages if any(name in text for text in stage for name in names)]


@pytest.mark.parametrize("job", ["curate", "score"])
def test_reading_scoring_and_writing_are_one_stage_up_to_the_checkpoint(job, scored, tiny_network, tmp_path):
    _, proto = submitted(job, [*flags_of(job, scored, tiny_network, tmp_path), *CLOUD])
    stages = stages_of(proto)
    (scoring,) = holding(stages, "BeamML_RunInference")
    assert any("Score/Infer" in name for name in scoring)
    assert any(name.startswith("Score/Checkpoint") for name in scoring)
    assert not any(name.startswith(("Fit", "Decide", "Reshard", "Manifest")) for name in scoring)


@pytest.mark.parametrize("job", ["curate", "reshard"])
def test_ranges_are_read_and_shards_written_in_one_stage(job, scored, tiny_network, tmp_path):
    _, proto = submitted(job, [*flags_of(job, scored, tiny_network, tmp_path), *CLOUD])
    (writing,) = [stage for stage in stages_of(proto) if "Reshard/Write" in stage]
    assert any(name.startswith("Reshard/Spread") for name in writing)


@pytest.mark.parametrize("job", ["score", "annotate", "cluster", "dedup", "select", "reshard", "curate"])
def test_nothing_is_flattened_twice(job, scored, tiny_network, tmp_path):
    """Runners in Java cannot plan it: "PCollectionNodes were consumed but never produced"."""
    _, proto = submitted(job, [*flags_of(job, scored, tiny_network, tmp_path), *CLOUD])
    flattens = [one for one in proto.components.transforms.values() if one.spec.urn == "beam:transform:flatten:v1"]
    made = {name for one in flattens for name in one.outputs.values()}
    assert not made & {name for one in flattens for name in one.inputs.values()}


def noisy_pool(folder, side):
    """Writes three shards of two pictures of noise, whose bytes grow with ``side`` and whose number does not."""
    import io

    from PIL import Image

    folder.mkdir()
    for shard in range(3):
        tar = b""
        for row in range(2):
            random = np.random.default_rng(10 * shard + row)
            sink = io.BytesIO()
            Image.fromarray(random.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(sink, "PNG")
            members = {"png": sink.getvalue(), "txt": b"noise", "json": b'{"uid": "%032x"}' % (10 * shard + row)}
            tar += b"".join(write_member(f"{shard}{row}.{name}", data) for name, data in members.items())
        (folder / f"{shard}.tar").write_bytes(tar + END_OF_ARCHIVE)
    return sum(path.stat().st_size for path in folder.glob("*.tar"))


def traffic(pool, out, network):
    """Returns the bytes in all collections of a whole curate, as Beam itself samples them."""
    flags = ["--input", f"{pool}/*.tar", "--output", str(out), "--model", f"tiny={network}", "--recipe", "no_filter"]
    work, beam_args = work_of("curate", flags)
    pipeline = beam.Pipeline(options=beam_options.pipeline_options(beam_args))
    work.prepare()
    work.build(pipeline)
    result = pipeline.run()
    result.wait_until_finish()
    from apache_beam.metrics.monitoring_infos import extract_distribution

    found = [info for info in result.monitoring_infos() if info.urn == "beam:metric:sampled_byte_size:v1"]
    return sum(extract_distribution(info)[1] for info in found)


def test_no_image_bytes_move_between_transforms(tiny_network, tmp_path):
    """Images forty times as large: the pipeline's own traffic stays what it was."""
    small_bytes = noisy_pool(tmp_path / "small", 32)
    large_bytes = noisy_pool(tmp_path / "large", 200)
    small = traffic(tmp_path / "small", tmp_path / "a", tiny_network)
    large = traffic(tmp_path / "large", tmp_path / "b", tiny_network)
    assert large_bytes - small_bytes > 600_000
    assert small > 10_000
    assert abs(large - small) < 0.01 * (large_bytes - small_bytes)


@pytest.fixture(scope="module")
def object_store(tmp_path_factory):
    """Returns a bucket with a pool in ``pool/``."""
    folder = tmp_path_factory.mktemp("bucket")
    with gcs(folder) as bucket:
        for path in make_pool(folder / "pool", faults=False).glob("*.tar"):
            bucket.upload(f"pool/{path.name}", path.read_bytes())
        yield bucket


def test_the_body_that_is_sent_is_one_that_dataflow_allows(object_store, tiny_network):
    """The whole command against loopback: staged to a bucket, posted, waited for, finished."""
    with serve() as server:
        flags = ["--input", "gs://demo/pool/*.tar", "--output", "gs://demo/out", "--model", f"tiny={tiny_network}"]
        flags += ["--device", "cuda", "--preset", "l4", "--dataflow_endpoint", f"http://localhost:{server.port}"]
        cloud = [text for text in CLOUD if text != "--dry_run=True"]
        cloud = [text.replace("gs://my-bucket", "gs://demo") for text in cloud]
        command = [sys.executable, "-m", "beam_pipelines.cli", "score", *flags, *cloud]
        done = subprocess.run(command, env=object_store.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (body,) = [body for path, _, body in server.seen if path.endswith("/jobs")]
    (workers,) = body["environment"]["workerPools"]
    assert (workers["machineType"], workers["diskSizeGb"], workers["numThreadsPerWorker"]) == ("g2-standard-12", 100, 3)
    assert body["environment"]["serviceOptions"] == [
        "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"
    ]
    assert body["labels"] == {"app": "winnow"}
    assert json.loads(done.stdout)["shards"] == 3


def test_a_filter_is_trained_on_a_worker_and_written_to_a_bucket(object_store, tiny_network):
    flags = ["--input", "gs://demo/pool/*.tar", "--model", str(tiny_network), "--output", "gs://demo/filter",
             "--epochs", "2", "--holdout_fraction", "0.5"]  # fmt: skip
    command = [sys.executable, "-m", "tests.beam_pipelines.train_on_a_worker", *flags]
    done = subprocess.run(command, env=object_store.environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "gs://demo/filter exists and is not empty" in done.stdout  # a second training finds the first
    names = set(object_store.sizes("filter/"))
    assert {"filter/open_clip_config.json", "filter/open_clip_model.safetensors", "filter/MODEL_CARD.md"} <= names
