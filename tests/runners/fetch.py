"""Fetches what a runner needs into the cache, once, and prints where it lies.

python -m tests.runners.fetch prism|flink|spark

Prism is built by Go. The job servers are put together by Maven from Beam's runner and everything it needs, since that
is to be had where the ready-made job servers are not; a jar without content names them all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PRISM = "2.77.0"
JOB_SERVERS = "2.62.0"  # of the versions that the registry has whole, the newest; Python's pipelines of 2.77 run on it
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "winnow"
LIMIT_S = int(os.environ.get("WINNOW_FETCH_LIMIT_S", "900"))
_SPARK = [
    ("org.apache.beam", "beam-runners-spark-3", JOB_SERVERS),
    *(("org.apache.spark", f"spark-{part}_2.12", "3.5.0") for part in ("core", "sql", "streaming")),
]
_FLINK = [("org.apache.beam", "beam-runners-flink-1.19", JOB_SERVERS)]
SERVERS = {
    "flink": ("org.apache.beam.runners.flink.FlinkJobServerDriver", _FLINK),
    "spark": ("org.apache.beam.runners.spark.SparkJobServerDriver", _SPARK),
}
_OPENED = (  # what Spark reaches into, on Java 17
    "java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio", "java.util",
    "java.util.concurrent", "java.util.concurrent.atomic", "sun.nio.ch", "sun.nio.cs", "sun.security.action",
    "sun.util.calendar",
)  # fmt: skip


class UnavailableError(Exception):
    """What a runner needs cannot be had here; the message says why."""


def prism() -> Path:
    """Returns Prism's binary.

    Raises:
      UnavailableError: there is no Go, or its proxy does not answer in time.
    """
    folder = CACHE / f"prism-{PRISM}"
    if not (folder / "prism").exists():
        go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
        if not go:
            raise UnavailableError("Prism is built by Go, and there is none")
        module = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{PRISM}"
        made = folder.with_name(f"{folder.name}.partial")
        environment = {**os.environ, "GOBIN": str(made), "GOPATH": str(made / "path"), "GOFLAGS": "-modcacherw"}
        _ask([go, "install", module], environment, made)
        shutil.rmtree(made / "path", ignore_errors=True)
        made.rename(folder)
    return folder / "prism"


def job_server(kind: str) -> Path:
    """Returns the jar of the job server of ``flink`` or ``spark``.

    Raises:
      UnavailableError: there is no Java or no Maven, or the registry lacks something or does not answer in time.
    """
    main, artifacts = SERVERS[kind]
    folder = CACHE / f"{artifacts[0][1]}-{JOB_SERVERS}"
    for program in ("java", "mvn"):
        if not shutil.which(program):
            raise UnavailableError(f"the job server of {kind} needs {program}, and there is none")
    if not (folder / "server.jar").exists():
        made = folder.with_name(f"{folder.name}.partial")
        made.mkdir(parents=True, exist_ok=True)
        (made / "pom.xml").write_text(_pom(artifacts))
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]
        _ask(["mvn", "-B", "-q", "-f", str(made / "pom.xml"), *copy], dict(os.environ), made)
        with zipfile.ZipFile(made / "server.jar", "w") as jar:
            jar.writestr("META-INF/MANIFEST.MF", _manifest(main, sorted((made / "jars").iterdir())))
        made.rename(folder)
    return folder / "server.jar"


def _ask(command: list[str], environment: dict[str, str], made: Path) -> None:
    """Runs what fetches; a part that is left over is not taken for the whole."""
    made.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S)
        failed = (done.stdout + done.stderr).strip().splitlines()[:1] if done.returncode else []
    except subprocess.TimeoutExpired:
        failed = [f"no answer within {LIMIT_S} s"]
    if failed:
        shutil.rmtree(made, ignore_errors=True)
        raise UnavailableError(f"{' '.join(command[:2])} ... failed: {failed[0]}")


def _pom(artifacts: list[tuple[str, str, str]]) -> str:
    listed = "".join(
        f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version></dependency>"
        for g, a, v in artifacts
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>winnow</groupId><artifactId>job-server</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{listed}</dependencies></project>\n"
    )


def _manifest(main: str, jars: list[Path]) -> str:
    """Returns the manifest of a jar that is nothing but its class path; lines are folded at 72 bytes, as jars want."""
    opened = " ".join(f"java.base/{name}" for name in _OPENED)
    lines = ["Manifest-Version: 1.0", f"Main-Class: {main}", f"Add-Opens: {opened}"]
    lines.append("Class-Path: " + " ".join(f"jars/{jar.name}" for jar in jars))
    folded = [line[:70] + "".join(f"\r\n {line[n : n + 69]}" for n in range(70, len(line), 69)) for line in lines]
    return "\r\n".join(folded) + "\r\n\r\n"


def main(argv: list[str] | None = None) -> int:
    """Prints the path of what was asked for; returns the exit code."""
    (name,) = sys.argv[1:] if argv is None else argv
    try:
        print(prism() if name == "prism" else job_server(name))
    except UnavailableError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
