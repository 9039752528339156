"""What of this machine a run depends on: Python, packages, torch, credentials, disk, memory and Java."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

OK, NOTE, BAD = "ok", "note", "BAD"
_DISTRIBUTION = "winnow-beam"
_PYTHONS = ((3, 11), (3, 13))  # oldest and newest that are tested
_FREE_DISK = 5 * 2**30  # bytes: twice the largest shards that tools write
_FREE_MEMORY = 2 * 2**30  # bytes: torch, Beam and a batch of pictures
_EXTRAS = {  # module -> extra, and what needs it
    "boto3": ("aws", "s3:// addresses"),
    "shtab": ("completion", "`winnow completion`"),
    "fasttext": ("language", "`winnow annotate --columns language`"),
    "transformers": ("demo", "networks with a text tower of transformers"),
}
_PROBE_SECONDS = 10


class Check(NamedTuple):
    """What was looked at.

    Attributes:
      name: one word or two.
      state: ``ok``; ``note`` where only some jobs miss it; ``BAD`` where a run will fail.
      text: what is there; never a secret.
      cure: what to do; empty where all is well.
    """

    name: str
    state: str
    text: str
    cure: str = ""


def python() -> Check:
    """Returns whether Winnow is tested on this Python."""
    now = sys.version_info[:2]
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.prefix}"
    if not _PYTHONS[0] <= now <= _PYTHONS[1]:
        low, high = (".".join(map(str, version)) for version in _PYTHONS)
        return Check("python", BAD, text, f"use Python {low} to {high}")
    return Check("python", OK, text)


def packages() -> Iterator[Check]:
    """Yields what is wrong with the packages that Winnow needs, and which optional ones there are not."""
    from packaging.requirements import Requirement

    wrong, found = [], 0
    for text in metadata.requires(_DISTRIBUTION) or []:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found += 1
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    text = f"winnow {metadata.version(_DISTRIBUTION)}, {found} packages that it needs"
    yield (
        Check("packages", BAD, "; ".join(wrong), f"pip install --upgrade {_DISTRIBUTION}")
        if wrong
        else Check("packages", OK, text)
    )
    for module, (extra, use) in _EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Check("packages", NOTE, f"{use} needs {module}", f"pip install '{_DISTRIBUTION}[{extra}]'")


def torch() -> Check:
    """Returns which device torch can score on."""
    try:
        import torch
    except Exception as error:  # a broken installation raises anything, also from its libraries
        return Check("torch", BAD, f"cannot be imported: {_line(error)}", "pip install --force-reinstall torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return Check("torch", OK, f"{torch.__version__}, CUDA {torch.version.cuda}, {', '.join(names)}")
    text = f"{torch.__version__}, no GPU that it can use: networks run on the CPU"
    if shutil.which("nvidia-smi") and _output(["nvidia-smi", "-L"]).startswith("GPU"):
        cure = "install a torch for the driver's CUDA (pytorch.org/get-started), or update the driver"
        return Check("torch", BAD, f"{text}, though the driver shows a GPU", cure)
    return Check("torch", OK, text)


def credentials(scheme: str) -> Check:
    """Returns whether there are credentials of a store.

    Args:
      scheme: ``gs``, ``s3``, ``az`` or ``hf``.
    """
    name, found, cure = {"gs": _google, "s3": _amazon, "az": _azure, "hf": _hub}[scheme]()
    where = f"{scheme}:// {name}"
    return (
        Check("credentials", OK, f"{where}: {found}") if found else Check("credentials", NOTE, f"{where}: none", cure)
    )


def _google() -> tuple[str, str, str]:
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    known = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    cure = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
    if file:
        there = Path(file).is_file()
        return (
            "Google",
            "a file named by GOOGLE_APPLICATION_CREDENTIALS" if there else "",
            (cure if there else "GOOGLE_APPLICATION_CREDENTIALS names a file that is not there; correct it"),
        )
    return "Google", "of `gcloud auth`" if known.is_file() else "", f"{cure}; on a machine of Google none are needed"


def _amazon() -> tuple[str, str, str]:
    cure = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`; a role of the machine is found too"
    try:
        import boto3
    except ModuleNotFoundError:
        return "AWS", "", f"pip install '{_DISTRIBUTION}[aws]', then {cure}"
    from botocore.session import Session

    session = Session()
    session.set_config_variable("metadata_service_timeout", 1)
    found = boto3.Session(botocore_session=session).get_credentials()
    return "AWS", f"by {found.method}" if found else "", cure


def _azure() -> tuple[str, str, str]:
    named = [name for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_ID",
                               "AZURE_STORAGE_SAS_TOKEN") if os.environ.get(name)]  # fmt: skip
    return "Azure", f"by {named[0]}" if named else "", "set AZURE_STORAGE_CONNECTION_STRING"


def _hub() -> tuple[str, str, str]:
    from huggingface_hub import get_token

    found = "a token" if get_token() else ""
    return "Hugging Face", found, "only private and gated repositories need one: run `hf auth login`, or set HF_TOKEN"


def disk(folder: str) -> Check:
    """Returns how much room there is for temporary files, or in a folder of this machine."""
    path = Path(folder or tempfile.gettempdir()).absolute()
    while not path.exists():
        path = path.parent
    free = shutil.disk_usage(path).free
    text = f"{free / 2**30:.1f} GiB free at {path}"
    if free >= _FREE_DISK:
        return Check("disk", OK, text)
    return Check("disk", NOTE, text, "make room there" + ("" if folder else ", or set TMPDIR to another place"))


def memory() -> Check:
    """Returns how much memory is free, and how many cores there are."""
    cores = f"{os.cpu_count()} cores"
    with contextlib.suppress(OSError, TypeError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if found:
            free = int(found[1]) * 1024
            text = f"{free / 2**30:.1f} GiB free, {cores}"
            cure = "end other programs, or give a smaller --batch_size"
            return Check("memory", OK, text) if free >= _FREE_MEMORY else Check("memory", BAD, text, cure)
    return Check("memory", OK, cores)


def java() -> Check:
    """Returns whether there is a Java for the runners of Flink and Spark."""
    cure = "only --runner FlinkRunner and SparkRunner need it: install a runtime of Java 11 or 17"
    path = shutil.which("java")
    if path is None:
        return Check("java", NOTE, "none", cure)
    found = re.search(r'version "(\d+)', _output([path, "-version"]))
    version = int(found[1]) if found else 0
    return Check("java", OK, f"{version}, {path}") if version >= 11 else Check("java", NOTE, f"{version}, {path}", cure)


def _output(command: list[str]) -> str:
    """Returns what a program prints; empty where it cannot be run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
        return done.stdout + done.stderr
    return ""


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
