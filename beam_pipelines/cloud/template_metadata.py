"""The description of a Flex Template's parameters, ``templates/JOB/metadata.json``, derived from the job's flags.

python -m beam_pipelines.cloud.template_metadata --output templates      (`make templates`)

The form is Dataflow's ``TemplateMetadata`` (v1b3 discovery document).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.cloud import presets
from beam_pipelines.cloud.config import StoreConfig
from beam_pipelines.config.base import Flag, Flags, flags_of
from beam_pipelines.config.jobs import JOBS

SEPARATOR = "|"  # between the values of a repeated flag: a template's parameter is one text
JOB_PARAMETER = "job"  # one launcher image serves all templates; this parameter names the job to start
_NUMBERS = {int: r"[0-9]+", float: r"[0-9]*\.?[0-9]+([eE]-?[0-9]+)?"}
_FOLDER = r"(gs|s3)://[a-z0-9][a-z0-9._-]+/.+"  # a worker's disk is gone with the worker


def template_jobs() -> list[str]:
    """Returns the jobs that have a Dataflow template."""
    return [name for name, job in JOBS.items() if job.template]


def required(config: type[Flags]) -> set[str]:
    """Returns the flags without which a job refuses to start: those that it calls missing when no flag is given."""
    return {match[1] for line in config().problems() if (match := re.match(r"--(\w+) is missing", line))}


def has_device(job: str) -> bool:
    """Returns whether a job has a use for a GPU."""
    return "device" in flags_of(JOBS[job].settings)


def parameter(name: str, declared: Flag, kind: Any, *, optional: bool) -> dict[str, Any]:
    """Returns the ``ParameterMetadata`` of one flag.

    Args:
      name: of the flag, without hyphens in front.
      declared: the flag.
      kind: its type.
      optional: whether the job starts without it.
    """
    plain = kind if isinstance(kind, type) else typing.get_args(kind)[0]
    text = declared.help().removesuffix(" (required)")
    text = text.replace("; may be repeated", f"; several: put {SEPARATOR} between them")
    form: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": text[0].upper() + text[1:] + ("" if text.endswith(".") else "."),
        "isOptional": optional,
    }
    if plain is bool:
        form |= {"paramType": "BOOLEAN", "regexes": ["^(true|false)$"]}
    elif declared.choices:
        options = [{"value": value, "label": value} for value in declared.choices]
        form |= {"paramType": "ENUM", "enumOptions": options, "regexes": [f"^({'|'.join(declared.choices)})$"]}
    elif plain in _NUMBERS:
        sign = "-?" if declared.range.holds(-1) else ""
        form |= {"paramType": "NUMBER", "regexes": [f"^{sign}{_NUMBERS[plain]}$"]}
    elif name == "output":
        form |= {"paramType": "TEXT", "regexes": [f"^{_FOLDER}$"]}  # Dataflow has no type for s3://
        form["helpText"] = form["helpText"].replace("local, gs:// or s3://", "gs://BUCKET/FOLDER or s3://BUCKET/FOLDER")
    else:
        form |= {"paramType": "TEXT", "regexes": ["^.+$"]}
    if declared.default not in (None, "", ()):
        values = declared.default if isinstance(declared.default, tuple) else (declared.default,)
        default = SEPARATOR.join(map(str, values))
        form["defaultValue"] = default.lower() if plain is bool else default
    return form


def metadata(job: str) -> dict[str, Any]:
    """Returns the ``TemplateMetadata`` of a job: its name, a parameter for each flag, and those about stores."""
    config = JOBS[job].settings
    kinds = typing.get_type_hints(config)
    needed = required(config)
    first = {
        "name": JOB_PARAMETER,
        "label": "Job",
        "helpText": f"Always {job}: one launcher serves all templates.",
        "isOptional": False,
        "paramType": "ENUM",
        "enumOptions": [{"value": job, "label": job}],
        "regexes": [f"^{job}$"],
        "defaultValue": job,
    }
    flags = sorted(flags_of(config).items(), key=lambda item: item[0] not in needed)  # required ones first
    rest = [parameter(name, declared, kinds[name], optional=name not in needed) for name, declared in flags]
    rest += [parameter(name, declared, str, optional=True) for name, declared in flags_of(StoreConfig).items()]
    return {
        "name": f"Winnow {job}",
        "description": JOBS[job].sentence,
        "parameters": [first, *rest],
        "streaming": False,
    }


def refused(job: str, parameters: Mapping[str, str]) -> list[str]:
    """Returns a line for each parameter that Dataflow will refuse because of its regexes."""
    regexes = {form["name"]: form["regexes"] for form in metadata(job)["parameters"]}
    return [
        f"--{name} must match {regex} in a template, got {value!r}"
        for name, value in parameters.items()
        for regex in regexes[name]
        if not re.search(regex, value)
    ]


def as_text(job: str) -> str:
    """Returns a job's ``metadata.json``."""
    return json.dumps(metadata(job), indent=2) + "\n"


def presets_text() -> str:
    """Returns ``presets.json``: preset -> its own layout, and the launch environment of layout A and of B."""
    shapes = {
        name: {"layout": preset.layout, **{layout: presets.environment(name, layout) for layout in presets.LAYOUTS}}
        for name, preset in presets.PRESETS.items()
    }
    return json.dumps(shapes, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Writes ``JOB/metadata.json`` for every job with a template, and ``presets.json``; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=Path("templates"), help="folder to write to")
    output: Path = parser.parse_args(argv).output
    for job in template_jobs():
        (output / job).mkdir(parents=True, exist_ok=True)
        (output / job / "metadata.json").write_text(as_text(job), encoding="utf-8")
    (output / "presets.json").write_text(presets_text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
