"""Launch requests against a server that checks them by Google's own description of the API."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from beam_pipelines.cloud import discovery, presets
from beam_pipelines.commands import launch
from tests.dataflow import serve

BASE = ["--project", "my-project", "--region", "us-central1", "--template", "gs://my-bucket/templates/score.json"]
JOB = ["--", "--input", "gs://my-bucket/{a,b}.tar", "--input", "gs://other/*.tar", "--output", "gs://my-bucket/out"]


@pytest.fixture
def server(tmp_path, monkeypatch):
    credentials = {
        "type": "authorized_user", "client_id": "x", "client_secret": "x", "refresh_token": "x",
        "token": "loopback", "expiry": "2099-01-01T00:00:00Z",
    }  # fmt: skip
    (tmp_path / "adc.json").write_text(json.dumps(credentials))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "my-project")
    with serve() as running:
        yield running


def to(server, *more, job=("--preset", "l4", "--workers", "20")):
    return ["score", *BASE, "--endpoint", f"http://127.0.0.1:{server.port}", *job, *more, *JOB]


def test_a_launch_arrives_whole(server, winnow):
    more = [
        "--service_account", "worker@my-project.iam.gserviceaccount.com", "--temp_location", "gs://my-bucket/tmp",
        "--subnetwork", "regions/us-central1/subnetworks/winnow", "--image", "r.io/winnow/worker@sha256:" + "0" * 64,
        "--label", "team=data", "--launcher_machine_type", "n2-highmem-4",
    ]  # fmt: skip
    code, stdout, stderr = winnow("launch", *to(server, *more))
    assert code == 0, stderr
    assert json.loads(stdout) == {"job": "score", "name": "winnow-score", "id": "2026-11-21_job"}
    ((path, authorization, body),) = server.seen
    assert path == "/v1b3/projects/my-project/locations/us-central1/flexTemplates:launch"
    assert authorization == "Bearer loopback"
    launched = body["launchParameter"]
    assert launched["containerSpecGcsPath"] == "gs://my-bucket/templates/score.json"
    assert launched["parameters"] == {
        "job": "score", "input": "gs://my-bucket/{a,b}.tar|gs://other/*.tar", "output": "gs://my-bucket/out",
        "device": "cuda",
    }  # fmt: skip
    assert launched["environment"] == {
        "machineType": "g2-standard-12", "diskSizeGb": 100, "numWorkers": 20, "maxWorkers": 20,
        "autoscalingAlgorithm": "AUTOSCALING_ALGORITHM_NONE", "ipConfiguration": "WORKER_IP_PRIVATE",
        "additionalExperiments": ["use_runner_v2", "no_use_multiple_sdk_containers",
            "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx"],
        "additionalPipelineOptions": ["number_of_worker_harness_threads=3", "disk_size_gb=100",
            "autoscaling_algorithm=NONE", "sdk_container_image=r.io/winnow/worker@sha256:" + "0" * 64],
        "additionalUserLabels": {"app": "winnow", "team": "data"},
        "sdkContainerImage": "r.io/winnow/worker@sha256:" + "0" * 64,
        "serviceAccountEmail": "worker@my-project.iam.gserviceaccount.com",
        "subnetwork": "regions/us-central1/subnetworks/winnow",
        "launcherMachineType": "n2-highmem-4",
        "tempLocation": "gs://my-bucket/tmp", "stagingLocation": "gs://my-bucket/tmp/staging",
    }  # fmt: skip


def test_a_job_without_a_gpu_starts_with_the_workers_that_are_asked_for():
    flags = ["--workers", "50", "--num_workers", "20"]
    _, body, problems = launch.read(["score", *BASE, *flags, *JOB])
    environment = body["launchParameter"]["environment"]
    assert problems == []
    assert (environment["numWorkers"], environment["maxWorkers"]) == (20, 50)
    assert "autoscaling_algorithm=THROUGHPUT_BASED" in environment["additionalPipelineOptions"]
    _, _, problems = launch.read(["score", *BASE, "--workers", "5", "--num_workers", "6", *JOB])
    assert problems == ["--num_workers must be at most --workers, 5, got 6"]


def test_flags_about_stores_are_parameters_and_secrets_are_not():
    stores = ["--s3_region_name", "eu-west-1", "--s3_endpoint_url=https://minio.example:9000"]
    stores += ["--gcs_user_project", "payer-1234"]
    job = ["--", "--input", "s3://bucket/*.tar", "--output", "s3://bucket/out", *stores]
    _, body, problems = launch.read(["score", *BASE, *job])
    assert problems == []
    assert body["launchParameter"]["parameters"] == {
        "job": "score", "input": "s3://bucket/*.tar", "output": "s3://bucket/out", "s3_region_name": "eu-west-1",
        "s3_endpoint_url": "https://minio.example:9000", "gcs_user_project": "payer-1234",
    }  # fmt: skip
    wrong = ["--s3_secret_access_key", "hush", "--s3_endpoint_url", "minio", "--gcs_user_project", "A B"]
    _, _, problems = launch.read(["score", *BASE, *job, *wrong])
    assert [line.split()[0] for line in problems] == [
        "--s3_secret_access_key",
        "--gcs_user_project",
        "--s3_endpoint_url",
    ]
    assert "hush" not in " ".join(problems)


def test_a_name_at_work_is_refused_so_a_schedule_never_runs_twice(server, winnow):
    assert winnow("launch", *to(server))[0] == 0
    code, _, stderr = winnow("launch", *to(server))
    assert code == 2
    assert stderr.count("\n") == 1
    assert "409" in stderr
    assert "--job_name" in stderr
    assert winnow("launch", *to(server, "--job_name", "another"))[0] == 0


def test_a_check_alone_starts_nothing(server, winnow):
    assert winnow("launch", *to(server, "--validate_only", "true"))[0] == 0
    assert server.running == set()


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "gcloud auth"), (403, "roles/dataflow.developer"), (404, "--template"), (409, "--job_name"),
     (429, "quota"), (500, "try again"), (400, "mend the request")],
)  # fmt: skip
def test_a_refusal_is_one_line_with_its_cure(server, winnow, status, hint):
    server.refusals += [(status, "something\nis wrong")] * 3  # google-auth itself asks again after a 401
    code, stdout, stderr = winnow("launch", *to(server))
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert f"answered {status}: something is wrong" in stderr or status == 401
    assert hint in stderr


def test_a_server_that_is_away_is_one_line(server, winnow):
    port = server.port
    server.shutdown()
    server.server_close()
    code, _, stderr = winnow("launch", "score", *BASE, "--endpoint", f"http://127.0.0.1:{port}", *JOB)
    assert code == 2
    assert stderr.count("\n") == 1
    assert "cannot be reached" in stderr


def test_missing_credentials_are_one_line(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE_", "CLOUDSDK_", "GCE_"))}
    environment |= {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path / "none"), "NO_GCE_CHECK": "true"}
    command = [sys.executable, "-m", "beam_pipelines.cli", "launch", "score", *BASE,
               "--endpoint", "http://127.0.0.1:9", *JOB]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "gcloud auth application-default login" in done.stderr


def test_every_problem_is_told_at_once_and_nothing_is_sent(server, winnow):
    code, _, stderr = winnow(
        "launch", "select", "--project", "P", "--template", "score.json", "--preset", "l4", "--workers", "0",
        "--endpoint", f"http://127.0.0.1:{server.port}", "--flexrs", "true", "--label", "A=b", "--bogus",
        "--launcher_machine_type", "large",
        "--", "--output", "out", "--keep_fraction", "2", "--runner", "DataflowRunner", "--dry_run",
    )  # fmt: skip
    assert code == 2
    assert server.seen == []
    for expected in (
        "--project must be", "--region is missing", "--template must be", "--workers must be", "--flexrs: FlexRS",
        "--label must be", "--launcher_machine_type must be a machine type",
        "--bogus is unknown", "--keep_fraction must be", "--runner is no flag of select",
        "--dry_run comes before --", "no use for a GPU",
    ):  # fmt: skip
        assert expected in stderr


def test_a_local_output_is_refused_as_dataflow_would(server, winnow):
    code, _, stderr = winnow("launch", "score", *BASE, "--", "--input", "gs://b/x.tar", "--output", "out")
    assert code == 2
    assert "--output must match ^(gs|s3)://" in stderr


@pytest.mark.parametrize("preset", presets.PRESETS)
@pytest.mark.parametrize("layout", presets.LAYOUTS)
def test_every_preset_gives_a_request_that_dataflow_allows(preset, layout):
    _, body, problems = launch.read(["score", *BASE, "--preset", preset, "--layout", layout, *JOB])
    assert problems == []
    assert discovery.problems(body, "LaunchFlexTemplateRequest") == []
    shape = body["launchParameter"]["environment"]
    accelerator = [text for text in shape["additionalExperiments"] if "worker_accelerator" in text]
    assert len(accelerator) == (preset != "cpu")
    assert all("install-nvidia-driver" in text for text in accelerator)
    assert all(text.endswith("use_nvidia_mps") == (layout == "A") for text in accelerator)
    assert ("no_use_multiple_sdk_containers" in shape["additionalExperiments"]) == (layout == "B")


def test_flexrs_is_for_workers_without_a_gpu():
    _, body, problems = launch.read(["score", *BASE, "--flexrs", "true", *JOB])
    assert problems == []
    assert body["launchParameter"]["environment"]["flexrsGoal"] == "FLEXRS_COST_OPTIMIZED"
    _, _, problems = launch.read(["score", *BASE, "--flexrs", "true", "--preset", "t4", *JOB])
    assert any("FlexRS has no GPUs" in line for line in problems)


def sorted_lists(body):
    """Returns a request in which the order of lists, and where an option stands, make no difference."""
    parameter = json.loads(json.dumps(body["launchParameter"]))
    shape = parameter["environment"]
    assert shape.pop("enableStreamingEngine", False) is False  # gcloud always says so
    options = dict(text.split("=", 1) for text in shape.pop("additionalPipelineOptions", []))
    for name in ("diskSizeGb", "sdkContainerImage", "autoscalingAlgorithm"):  # the options say them too
        shape.pop(name, None)
    return {**parameter, "environment": {**shape, "options": options}}


def test_the_printed_request_is_the_one_that_is_sent(server, winnow):
    _, stdout, _ = winnow("launch", *to(server, "--print", "json"))
    assert server.seen == []
    winnow("launch", *to(server))
    assert json.loads(stdout) == server.seen[0][2]


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="gcloud is not installed")
@pytest.mark.parametrize(
    "more",
    [
        ("--preset", "l4", "--workers", "20", "--launcher_machine_type", "n2-highmem-4"),
        ("--flexrs", "true", "--label", "a=b"),
    ],
)
def test_the_printed_command_sends_the_same_request(server, winnow, tmp_path, more):
    """By the real gcloud, which knows no flag for disk, image and autoscaling: those are options of the pipeline."""
    _, command, _ = winnow("launch", *to(server, "--print", "gcloud", job=more))
    environment = {
        **os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud"), "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_DATAFLOW": f"http://127.0.0.1:{server.port}/",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
    }  # fmt: skip
    words = shlex.split(command.replace("\\\n", " "))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    server.running.clear()
    winnow("launch", *to(server, job=more))
    by_gcloud, by_winnow = (body for _, _, body in server.seen)
    assert sorted_lists(by_gcloud) == sorted_lists(by_winnow)
