"""One run of a job at a time in an output folder: a lease that its owner renews, and that others respect.

``.leases/JOB.json`` says who works there: machine, process, since when. The owner writes it anew every ``BEAT`` seconds
and deletes it at its end. A lease is dead when its process is, which a run on the same machine sees at once; elsewhere
it is dead when it was not renewed for ``DEAD_AFTER`` seconds. The next run takes a dead lease over. An owner that finds
its lease with somebody else stops.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from transforms.lib.errors import InputError, StoreError
from transforms.storage import filesystem, processes, versions

FOLDER = ".leases"
BEAT = 20.0
DEAD_AFTER = 120.0
_TRIES = 5
_OWN: set[str] = set()  # tokens of the leases that this process holds: it may have left one that no store let it delete

Document = dict[str, Any]


def _uri(root: str, job: str) -> str:
    return filesystem.join(root, FOLDER, f"{job.replace(' ', '-')}.json")


def _read(uri: str) -> tuple[Document, str]:
    """Returns a lease and its version; an empty one where there is none, or what is there is none."""
    data, version = versions.read(uri)
    with contextlib.suppress(ValueError):
        document = json.loads(data or b"{}")
        if isinstance(document, dict):
            return document, version
    return {}, version


def _bytes(document: Document) -> bytes:
    return json.dumps(document, sort_keys=True).encode() + b"\n"


def _age(uri: str) -> float:
    """Returns the seconds since a lease was renewed; 0 where it is gone, or the clocks do not agree."""
    found = filesystem.stat(uri)
    return max(0.0, time.time() - found.updated) if found else 0.0


def _is_dead(lease: Document, uri: str) -> bool:
    if lease.get("process") == processes.own_tag():
        return lease.get("token") not in _OWN
    alive = processes.is_alive(str(lease.get("process", "")))
    return _age(uri) > DEAD_AFTER if alive is None else not alive


def take(root: str, job: str) -> Document:
    """Takes the lease of a job on an output folder.

    Returns:
      the lease, for ``release``.

    Raises:
      InputError: another run has it.
    """
    uri = _uri(root, job)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    own = {
        "job": job, "process": processes.own_tag(), "host": socket.gethostname(), "pid": os.getpid(), "since": now,
        "token": secrets.token_hex(8), "renewed": 0,
    }  # fmt: skip
    for _ in range(_TRIES):
        lease, version = _read(uri)
        if lease and not _is_dead(lease, uri):
            raise InputError(_refusal(root, job, lease, uri))
        if versions.replace(uri, _bytes(own), version):
            _OWN.add(str(own["token"]))
            return own
    raise InputError(f"--output {root}: other runs of `winnow {job}` begin there too; run it again once they are done")


def _refusal(root: str, job: str, lease: Document, uri: str) -> str:
    return (
        f"--output {root}: another `winnow {job}` is at work there (process {lease.get('pid')} on {lease.get('host')}, "
        f"since {lease.get('since')}, last seen {_age(uri):.0f} s ago); wait for it to end, or stop it; one that died "
        f"gives way within {DEAD_AFTER:.0f} s"
    )


def renew(root: str, lease: Document) -> Document | None:
    """Writes a lease anew; returns it, or None where somebody else has it."""
    uri = _uri(root, lease["job"])
    for _ in range(_TRIES):
        found, version = _read(uri)
        if found.get("token") != lease["token"]:
            return None
        renewed = {**found, "renewed": found["renewed"] + 1}
        if versions.replace(uri, _bytes(renewed), version):
            return renewed
    return lease


def release(root: str, lease: Document) -> None:
    """Gives a lease back, unless somebody else has it by now."""
    uri = _uri(root, lease["job"])
    _OWN.discard(lease["token"])
    if _read(uri)[0].get("token") == lease["token"]:
        filesystem.discard([uri])


@contextlib.contextmanager
def held(root: str, jobs: Sequence[str], lost: Callable[[], None], undo: list[Callable[[], None]]) -> Iterator[None]:
    """Holds the leases of jobs on an output folder while the block runs, and renews them.

    Args:
      root: the output folder.
      jobs: names of the runs.
      lost: called in a thread of its own when somebody else has one of them.
      undo: gets what gives them back, for a process that ends while the block runs.

    Raises:
      InputError: another run has one of them.
    """
    leases: list[Document] = []
    done = threading.Event()

    def keep() -> None:
        while not done.wait(BEAT):
            for lease in leases:
                with contextlib.suppress(StoreError, OSError):  # the store does not answer; the next beat asks again
                    if renew(root, lease) is None and not done.is_set():
                        lost()
                        return

    def give_back() -> None:
        done.set()
        while leases:
            with contextlib.suppress(StoreError, OSError):  # it is dead with this process
                release(root, leases.pop())

    undo.append(give_back)
    thread = threading.Thread(target=keep, name="winnow-lease", daemon=True)
    try:
        for job in jobs:
            leases.append(take(root, job))
        thread.start()
        yield
    finally:
        undo.remove(give_back)
        give_back()
