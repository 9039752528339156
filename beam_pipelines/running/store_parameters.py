"""The flags about stores that a template takes as parameters, read from a command line."""

from __future__ import annotations

from collections.abc import Sequence

from beam_pipelines.cloud.config import StoreConfig
from beam_pipelines.running import options

_SECRETS = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token", "azure_connection_string")


def read(args: Sequence[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Reads the flags of ``StoreConfig``.

    Args:
      args: what is left of a command line behind the flags of a job.

    Returns:
      name -> value of those that are given, the arguments that are none of them, and the problems. No problem repeats
      the value of a secret.
    """
    parser = options.flag_parser(add_help=False)
    options.add_fields(parser, StoreConfig)
    for name in _SECRETS:
        parser.add_argument(f"--{name}")
    _, values, rest, problems = options.read(parser, args)
    given = [name for name in _SECRETS if values.pop(name, None)]
    problems += [
        f"--{name} is no parameter of a template: whoever sees the job reads it; give the key to the machines, by "
        "their role or in their image"
        for name in given
    ]
    stores = StoreConfig(**values)
    return stores.parameters(), rest, [*problems, *stores.problems()]
