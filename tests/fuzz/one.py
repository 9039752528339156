"""Fuzzes one target for a time, in this process, which dies where the target does.

atheris guides by coverage where it is installed; else a small driver mutates the corpus, unguided.
"""

import argparse
import json
import mmap
import random
import resource
import signal
import sys
import time
from pathlib import Path

SECONDS = 30  # that one input may take, however busy the machine is
MEGABYTES = 2048  # that the process may have
LONGEST = 1 << 16  # bytes of an input


class Last:
    """Keeps the input that runs, in a file that outlives a process which dies on it."""

    def __init__(self, function, path):
        path.write_bytes(bytes(LONGEST + 4))
        self._function = function
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    def __call__(self, data):
        self._memory[: 4 + len(data)] = len(data).to_bytes(4, "little") + data
        self._function(data)


def last_of(path):
    """Returns the input that ran last."""
    data = path.read_bytes()
    return data[4 : 4 + int.from_bytes(data[:4], "little")]


def guided(atheris, target, folder, seconds):
    """Runs libFuzzer, which ends the process."""
    with atheris.instrument_imports(include=["transforms.lib", "transforms.outputs.json_files", "yaml"]):
        from tests.fuzz import corpus, targets

    seeds = folder / "corpus"
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(corpus.read(target)):
        (seeds / f"seed{number:04d}").write_bytes(data)
    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}"]
    atheris.Setup(
        [sys.argv[0], str(seeds), *limits, "-print_final_stats=1", f"-artifact_prefix={folder}/"],
        Last(targets.TARGETS[target][0], folder / "last"),
    )
    atheris.Fuzz()


def mutated(data, other, draw):
    """Returns an input near ``data``: bytes flipped, cut out, repeated, or taken from ``other``."""
    made = bytearray(data[:LONGEST])
    for _ in range(1 << draw.randrange(5)):
        at, count = draw.randrange(len(made) + 1), draw.randrange(1, 64)
        piece = other[draw.randrange(len(other) + 1) :][:count]
        kind = draw.randrange(5)
        if kind == 0:
            del made[at : at + count]
        elif kind == 1:
            made[at:at] = piece
        elif kind == 2:
            made[at : at + len(piece)] = piece
        elif kind == 3 and at < len(made):
            made[at] ^= 1 << draw.randrange(8)
        elif at < len(made):
            made[at] = draw.choice((0, 1, 127, 128, 255, 48, 57))
    return bytes(made[:LONGEST])


def peak_megabytes():
    """Returns the peak of this program; getrusage would count what the process was before it became this program."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) >> 10


def unguided(target, folder, seconds):
    """Mutates the corpus until the time is over; returns how many inputs ran."""
    from tests.fuzz import corpus, targets

    draw, inputs = random.Random(0), corpus.read(target)
    function = Last(targets.TARGETS[target][0], folder / "last")
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        signal.alarm(SECONDS)
        function(mutated(draw.choice(inputs), draw.choice(inputs), draw))
        signal.alarm(0)
        count += 1
        if peak_megabytes() > MEGABYTES:
            raise MemoryError("more memory than the cap")
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=600)
    told = parser.parse_args()
    try:
        import atheris
    except ImportError:
        count = unguided(told.target, told.folder, told.seconds)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(json.dumps({"executed": count, "peak_mb": peak}))
    else:
        guided(atheris, told.target, told.folder, told.seconds)


if __name__ == "__main__":
    main()
