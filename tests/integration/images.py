"""Proves the images without Docker: the Dockerfiles' own install steps in clean environments, and what these then do.

python -m tests.integration.images [launcher] [worker]        (`make images-test`; the worker's packages are 3 GB)

launcher  installs without torch, and does what Dataflow's launcher makes it do: writes the job of a GPU scoring down at
          --template_location, by way of a storage server and a Dataflow server on loopback
worker    installs with CUDA torch, and curates a pool; select and reshard then run in the launcher's environment
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dockerfile_parse

from tests.conftest import TINY, make_pool
from tests.dataflow import serve
from tests.servers import gcs

ROOT = Path(__file__).parents[2]
EXTRAS = "import ahocorasick, boto3, fasttext, gcld3"  # of s3://, annotate and the step metaclip
IMAGE = "us-central1-docker.pkg.dev/my-project/winnow/worker@sha256:" + "0" * 64


def build_stage(kind):
    """Returns the instructions of the stage that installs."""
    parser = dockerfile_parse.DockerfileParser(
        fileobj=io.BytesIO((ROOT / "templates" / f"Dockerfile.{kind}").read_bytes())
    )
    stages, inside = [], False
    for one in parser.structure:
        if one["instruction"] == "FROM":
            inside = one["value"].lower().endswith(" as build")
        elif inside:
            stages.append((one["instruction"], one["value"]))
    return stages


def install(kind, folder):
    """Carries out the stage below a folder; returns the environment that its image would have."""
    source, place = folder / "source", folder / "venv"
    source.mkdir(parents=True)
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    python = folder / "python"
    python.mkdir()
    (python / "python").symlink_to(shutil.which("python3.11") or sys.executable)
    env = {**kept, "PATH": f"{python}{os.pathsep}{kept['PATH']}"}
    for instruction, value in build_stage(kind):
        if instruction == "COPY":
            *names, target = value.split()
            for name in names:
                goal = source / target / Path(name).name if target in (".", "./") else source / target
                goal.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, goal)
        elif instruction == "ENV":
            assert value == "PATH=/opt/venv/bin:${PATH}", value
            env["PATH"] = f"{place}/bin{os.pathsep}{env['PATH']}"
        elif instruction == "RUN":
            command = value.replace("/opt/venv", str(place))
            print(f"  RUN {value}", flush=True)
            subprocess.run(["sh", "-c", command], cwd=source, env=env, check=True)
    return env, place


def in_image(env, *words, **more):
    # not in the checkout: what is imported must be what was installed
    done = subprocess.run([str(word) for word in words], cwd="/", env={**env, **more}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, words))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def network(folder):
    """Writes a real open_clip model of one layer with seeded weights."""
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(TINY))
    torch.manual_seed(0)
    save_file(CLIP(**TINY["model_cfg"]).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def launch(env, folder, pool, model):
    """Runs the launcher's file as Dataflow's launcher runs it."""
    with gcs(folder) as bucket, serve() as server:
        client = bucket.environment
        for path in pool.glob("*.tar"):
            bucket.upload(f"pool/{path.name}", path.read_bytes())
        named = {key: client[key] for key in client if key.startswith(("STORAGE_", "GOOGLE_"))}
        told = in_image(
            env, "python", ROOT / "templates/main.py", "--job=score", "--input=gs://demo/pool/00000.tar|gs://demo/pool/00001.tar",
            "--output=gs://demo/launched", f"--model=tiny={model}", "--device=cuda", "--caption_field=",
            "--runner=DataflowRunner", "--project=my-project", "--region=us-central1", "--job_name=winnow-score",
            "--no_auth", f"--dataflow_endpoint=http://localhost:{server.port}", "--sdk_location=container",
            "--temp_location=gs://demo/tmp", "--staging_location=gs://demo/staging", f"--sdk_container_image={IMAGE}",
            "--template_location=gs://demo/staging/job_object.json", "--machine_type=g2-standard-12",
            "--experiments=worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver:5xx", **named,
        )  # fmt: skip
        assert json.loads(told)["launched"] is True, told
        assert "staging/job_object.json" in bucket.sizes("staging/"), bucket.sizes()
        assert not server.seen  # the launcher writes the job down; Dataflow itself starts it


def main():
    kinds = sys.argv[1:] or ["launcher", "worker"]
    folder = Path(tempfile.mkdtemp(prefix="winnow-images-"))
    try:
        pool, model = make_pool(folder / "pool", faults=False), network(folder / "model")
        made = {}
        for kind in kinds:
            print(f"{kind}:", flush=True)
            start = time.monotonic()
            made[kind], place = install(kind, folder / kind)
            installed = re.findall(
                r"^\S+==", subprocess.check_output(["pip", "freeze"], env=made[kind], text=True), re.M
            )
            print(f"  {len(installed)} packages, {size_of(place) / 1e9:.2f} GB, {time.monotonic() - start:.0f} s")
            in_image(made[kind], "python", "-c", EXTRAS)
        if "launcher" in made:
            absent = "import importlib.util; print(importlib.util.find_spec('torch') is None)"
            assert in_image(made["launcher"], "python", "-c", absent).strip() == "True"
            launch(made["launcher"], folder, pool, model)
            print("launcher: no torch; the job of a GPU scoring was written to --template_location")
        if "worker" in made:
            told = in_image(
                made["worker"], "python", "-c", "import torch; print(torch.__version__, torch.version.cuda)"
            )
            flags = ["--output", folder / "out", "--input", f"{pool}/*.tar", "--model", f"tiny={model}"]
            in_image(made["worker"], "winnow", "curate", *flags)
            in_image(made["worker"], "winnow", "verify", "--output", folder / "out")
            print(f"worker: torch and its CUDA: {told.strip()}; a pool was curated and verified")
        if len(made) == 2:
            before = {path.name: path.read_bytes() for path in (folder / "out/shards").iterdir()}
            shutil.rmtree(folder / "out/shards")
            in_image(made["launcher"], "winnow", "select", "--output", folder / "out")
            in_image(made["launcher"], "winnow", "reshard", "--output", folder / "out")
            assert before == {path.name: path.read_bytes() for path in (folder / "out/shards").iterdir()}
            print("launcher as worker: select and reshard wrote the same bytes without torch")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
