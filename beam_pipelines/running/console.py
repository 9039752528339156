"""What a job says on the terminal while it runs: warnings, progress and remarks, by ``--quiet``, ``--verbose``."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FORM = "%(levelname)s %(name)s: %(message)s"


class Console(NamedTuple):
    """How much is said, and where.

    Attributes:
      quiet: nothing but errors and the last line of JSON.
      verbose: the lines that workers log about shards, too; they take the place of progress.
      log_file: path of a file on this machine that gets those lines with their times; "" for none.
    """

    quiet: bool = False
    verbose: bool = False
    log_file: str = ""

    def problems(self) -> list[str]:
        """Returns what is wrong with the flags, one line each."""
        problems = ["--quiet and --verbose exclude each other; leave one out"] if self.quiet and self.verbose else []
        if self.log_file and not Path(self.log_file).expanduser().absolute().parent.is_dir():
            problems.append(f"--log_file {self.log_file}: its folder does not exist; create it, or name another file")
        return problems

    @contextlib.contextmanager
    def logging(self) -> Iterator[None]:
        """Sends the log to where the flags say, for as long as a ``with`` block runs.

        A process that has set up its log already keeps that, and gets the file beside it.
        """
        root = logging.getLogger()
        before = root.level
        handlers: list[logging.Handler] = []
        if not root.handlers:
            stream = logging.StreamHandler(sys.stderr)
            stream.setFormatter(logging.Formatter(_FORM))
            stream.setLevel(logging.ERROR if self.quiet else logging.INFO if self.verbose else logging.WARNING)
            handlers.append(stream)
        if self.log_file and not self.problems():
            file = logging.FileHandler(Path(self.log_file).expanduser(), encoding="utf-8")
            file.setFormatter(logging.Formatter(f"%(asctime)s {_FORM}"))
            file.setLevel(logging.INFO)
            handlers.append(file)
        for handler in handlers:
            root.addHandler(handler)
        if handlers:
            root.setLevel(logging.INFO)  # the handlers choose
        try:
            yield
        finally:
            for handler in handlers:
                root.removeHandler(handler)
                handler.close()
            root.setLevel(before)

    @contextlib.contextmanager
    def progress(self, job: str, shards: int | None, follows: bool) -> Iterator[None]:
        """Shows progress for as long as a ``with`` block runs, unless the flags say otherwise.

        Args:
          job: its name.
          shards: of the pool; None where it is not known.
          follows: whether the lines of the workers reach this process.
        """
        if self.quiet or self.verbose or not follows:
            yield
            return
        from beam_pipelines.running import progress

        with progress.shown(job, shards, sys.stderr):
            yield

    def say(self, text: str) -> None:
        """Prints a remark on stderr, unless ``--quiet`` was given."""
        if not self.quiet:
            print(text, file=sys.stderr)
