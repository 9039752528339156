"""Start a job from its Dataflow template.

winnow launch score --project P --region R --template gs://B/templates/score.json --preset l4 --workers 20 \
  -- --input 'gs://B/pool/*.tar' --output gs://B/out --model gs://B/models/dfn

The request is checked against Google's description of the API before it is sent. ``--print`` shows it instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from beam_pipelines.cloud import discovery, launch_request, presets
from beam_pipelines.cloud.config import LaunchConfig
from beam_pipelines.cloud.template_metadata import has_device, template_jobs
from beam_pipelines.running import options, store_parameters
from transforms.lib import similar
from transforms.lib.errors import ConfigError, InputError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TIMEOUT_SECONDS = 120
_HINTS = {
    401: "the credentials are refused; run `gcloud auth application-default login`",
    403: "you may not; ask for roles/dataflow.developer, and roles/iam.serviceAccountUser on the worker's account",
    404: "check --project, --region and --template, and that the Dataflow API is enabled",
    409: "a job of this name is running; wait for its end, cancel it, or give another --job_name",
    429: "too many requests or jobs; try again later, or ask for quota",
}


def read(argv: Sequence[str]) -> tuple[LaunchConfig, dict[str, Any], list[str]]:
    """Reads the command line of a launch and builds its request.

    Args:
      argv: the job, flags of the launch, ``--`` and flags of the job.

    Returns:
      the flags before ``--``; the request, empty where it cannot be built; and every problem, one line each.
    """
    separator = list(argv).index("--") if "--" in argv else len(argv)
    job, before, after = argv[0] if argv else "", argv[1:separator], argv[separator + 1 :]
    flags = options.parser_of_tool("launch")
    _, values, rest, problems = options.read(flags, before)
    launch = LaunchConfig(**values)
    problems += [*(_unknown(text, flags) for text in rest), *launch.problems()]
    if job not in template_jobs():
        hint = similar.did_you_mean(job, template_jobs(), f"there are {', '.join(template_jobs())}")
        return launch, {}, [f"there is no template of {job!r}; {hint}", *problems]
    config, given, others, job_problems = options.parse_config(job, after)
    stores, rest, store_problems = store_parameters.read(others)
    problems += [*job_problems, *store_problems]
    problems += [f"{text} is no flag of {job}; those of launch come before --" for text in rest]
    problems += [f"--{name} comes before --" for name in ("preset", "layout", "dry_run") if getattr(given, name)]
    device = (given.device or "") if has_device(job) else None
    problems += presets.check(launch.preset, launch.layout, device)
    if launch.preset not in presets.PRESETS:
        return launch, {}, problems
    parameters, parameter_problems = launch_request.parameters(job, config, launch.preset)
    body = launch_request.request(launch, job, parameters | stores)
    return launch, body, [*problems, *parameter_problems, *discovery.problems(body, "LaunchFlexTemplateRequest")]


def _unknown(text: str, flags: argparse.ArgumentParser) -> str:
    """Returns the line about an argument before ``--`` that is no flag of a launch."""
    known, otherwise = flags._option_string_actions, "flags of the job come after --"
    return f"{text} is unknown; {similar.did_you_mean(text.partition('=')[0], known, otherwise)}"


def post(launch: LaunchConfig, body: dict[str, Any]) -> dict[str, Any]:
    """Sends the request with the credentials of this machine and returns the answer.

    Raises:
      InputError: there are no credentials, they are refused, or Dataflow refuses the request; with the hint.
    """
    import google.auth
    import requests
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    path = f"v1b3/projects/{launch.project}/locations/{launch.region}/flexTemplates:launch"
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        with AuthorizedSession(credentials) as session:  # type: ignore[no-untyped-call]
            answer = session.post(f"{launch.endpoint.rstrip('/')}/{path}", json=body, timeout=TIMEOUT_SECONDS)
    except DefaultCredentialsError:
        raise InputError("there are no Google credentials; run `gcloud auth application-default login`") from None
    except GoogleAuthError as error:
        raise InputError(f"the credentials are refused ({_line(error)}); {_HINTS[401].split('; ')[1]}") from None
    except requests.RequestException as error:
        raise InputError(f"{launch.endpoint} cannot be reached ({_line(error)}); try again: a name runs once") from None
    if not answer.ok:
        raise InputError(_refusal(launch, answer.status_code, answer.text))
    return dict(answer.json())


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _refusal(launch: LaunchConfig, status: int, text: str) -> str:
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = text
    hint = _HINTS.get(status, "try again: a name runs once" if status >= 500 else "mend the request")
    return f"Dataflow answered {status}: {' '.join(message.split())[:300] or 'nothing'}; {hint}"


def main(argv: Sequence[str] | None = None) -> int:
    """Launches a job; returns the exit code: 0 done, 2 nothing was started because something is wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        launch, body, problems = read(args)
        if problems:
            raise ConfigError(problems)
        if launch.print:
            print(json.dumps(body, indent=2) if launch.print == "json" else launch_request.gcloud(launch, body))
            return 0
        job = post(launch, body).get("job", {})
    except ConfigError as error:
        for line in error.problems:
            print(f"winnow launch: {line}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({"job": args[0], "name": body["launchParameter"]["jobName"], "id": job.get("id", "")}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
