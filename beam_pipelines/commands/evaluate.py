"""Train a CLIP model on each selection at equal samples seen, test it zero-shot, and write one table.

winnow evaluate --output eval --arm dfn=out#dfn --arm none=all --pool out --retrieval coco='coco/*.tar'
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from beam_pipelines.config.train import EvaluateConfig
from beam_pipelines.evaluating import arms, hand_off, trainings
from beam_pipelines.planning.plan_facts import Problems, version
from beam_pipelines.running import driver
from transforms.lib.devices import devices
from transforms.lib.evaluation import networks, results, table


def plan(config: EvaluateConfig, problems: Problems) -> driver.Work | None:
    """Finds the selections, the evaluation sets and the network, and reads what was trained elsewhere."""
    found = None if config.hand_off else problems.collect(networks.find, config.model)
    work = arms.find(config, problems)
    elsewhere = [problems.collect(_elsewhere, text) for text in config.results]
    scripts = problems.collect(hand_off.scripts, config, work.arms) if config.hand_off else None
    if config.output:
        arms.check_output(config, problems)
    if config.device == "cuda":
        problems.collect(devices.device_of, config.device)
    if problems:
        return None
    rows = [row for row in elsewhere if row]

    def finish() -> tuple[str, dict[str, Any]]:
        if config.hand_off:
            return _hand_off(config, scripts or {})
        trained = trainings.run(config, found, work, rows) if found and work.arms else rows
        return trainings.write(config, trained)

    summary = {"shards": len(work.refs), "arms": [arm.name for arm in work.arms], "version": version()}
    return driver.Work(summary, lambda: None, None, finish)


def _elsewhere(text: str) -> table.Row:
    name, _, path = text.partition("=")
    return table.Row(name, 0, 0, {Path(path).stem: results.read(path)})


def _hand_off(config: EvaluateConfig, scripts: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    folder = Path(config.output) / "hand-off"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    line = (
        f"{len(scripts)} scripts: {folder}; each needs open_clip_torch, and then DataComp's evaluate.py and --results"
    )
    return line, {"output": config.output, "scripts": sorted(scripts)}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns the exit code."""
    return driver.main("evaluate", plan, argv, alone=True)


if __name__ == "__main__":
    sys.exit(main())
