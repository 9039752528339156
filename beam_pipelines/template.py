"""The program of a Flex Template's launcher: it turns the parameters of a template into flags and starts the job.

python -m beam_pipelines.template --job=score --input='gs://bucket/pool/*.tar' ... --runner=DataflowRunner ...
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import sys
from collections.abc import Sequence

from beam_pipelines.cloud.config import StoreConfig
from beam_pipelines.cloud.template_metadata import JOB_PARAMETER, SEPARATOR, template_jobs
from beam_pipelines.config.base import flags_of
from beam_pipelines.config.jobs import JOBS
from beam_pipelines.running import options

_LOG = logging.getLogger(__name__)


def job_flags(job: str, args: Sequence[str]) -> list[str]:
    """Returns the flags of a job for the arguments that Dataflow's launcher passes, each ``--NAME=VALUE``.

    The values of a repeated flag become one flag each. An empty value is left out: a form sends it for a field that
    nobody filled in. A flag that neither the job nor Beam knows is the launcher's own and is left out with a warning.
    """
    repeated = {field.name for field in dataclasses.fields(JOBS[job].settings) if isinstance(field.default, tuple)}
    known = {text for action in options.parser_of(job)._actions for text in action.option_strings}
    known |= {f"--{name}" for name in flags_of(StoreConfig)}
    flags: list[str] = []
    for arg in args:
        flag, equals, value = arg.partition("=")
        if flag in known and equals and not value:
            continue
        if flag in known:
            values = value.split(SEPARATOR) if flag.removeprefix("--") in repeated else [value]
            flags += [f"{flag}={one}" if equals else flag for one in values]
        elif options.unknown_flags([arg]):
            _LOG.warning("%s is unknown to this version of Beam and is left out", flag)
        else:
            flags.append(arg)
    return flags


def main(argv: Sequence[str] | None = None) -> int:
    """Starts the job that ``--job`` names; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    prefix = f"--{JOB_PARAMETER}="
    named = [arg.removeprefix(prefix) for arg in args if arg.startswith(prefix)]
    if len(named) != 1 or named[0] not in template_jobs():
        print(f"winnow: {prefix}NAME must be given once, one of {', '.join(template_jobs())}", file=sys.stderr)
        return 2
    job = named[0]
    flags = job_flags(job, [arg for arg in args if not arg.startswith(prefix)])
    code: int = importlib.import_module(JOBS[job].module).main(flags)
    return code


if __name__ == "__main__":
    sys.exit(main())
