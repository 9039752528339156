"""The mini DataComp: which selection of a dirty pool trains the best model, at equal samples seen.

python -m benchmarks.proof --assets DIR --work DIR [--size 8000] [--seeds 5] [--samples_seen 25600]

Everything is cached in --work, so the same command goes on where it was stopped. No filter sees a picture of the
evaluation sets, or which samples of the pool are dirty; nothing is tuned on the evaluation sets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.proof import material, pool
from benchmarks.proof.steps import Steps
from transforms.lib import uids

FRACTIONS = (15, 30, 45, 60)  # percent of the pool
PROMPTS = ("{}", "{} emoji", "a picture of {}", "an icon of {}")
META = ["--label_field", "title", "--batch_size", 512, "--downstream_batch_size", 512, "--learning_rate", 1e-3]
META += ["--scoring_eps", 1e-12, "--reference_start", "random", "--restart_every", 30, "--warmup", 10]
HEAD = ["--steps", 200, "--scoring_learning_rate", 3e-5, "--start_noise", 1e-3]  # those of benchmarks/flyt.py
MIX = ["--steps", 500, "--scoring_learning_rate", 3e-3]
COLUMNS = {"clip": "clip.score", "dfn": "dfn.score", "tuned": "tuned.score", "flyt": "flyt.score"}


def sets(assets: Path, work: Path, size: int) -> None:
    """Makes every set of pictures, unless they are there."""
    if not (work / "kinds.json").is_file():
        pool.write_all(material.fetch(assets), work, size, 0)
    (work / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")


def scores(steps: Steps) -> None:
    """Trains the filters, and scores the pool with each."""
    work, model = steps.work, ["--model", "tinyclip", "--threads", steps.threads]
    clean, labelled = ["--input", f"{work}/clean/*.tar"], ["--input", f"{work}/labelled/*.tar"]
    steps.once("train-clip", "train-filter", "--input", f"{work}/noisy/*.tar", "--output", work / "net_clip", *model)
    steps.once("train-dfn", "train-filter", *clean, "--output", work / "net_dfn", *model)
    steps.once("train-tuned", "train-filter", *clean, *labelled, "--output", work / "net_tuned", *model)
    models = [word for name in ("clip", "dfn", "tuned") for word in ("--model", f"{name}={work}/net_{name}")]
    out = ["--output", work / "out"]
    steps.once("score", "score", "--input", f"{work}/pool/*.tar", *out, *models, "--precision", "bf16")


def learned(steps: Steps) -> None:
    """Trains FLYT's head and the mix on the labelled pictures, and scores the pool."""
    work = steps.work
    given = ["--pool", work / "out", "--downstream", f"{work}/labelled/*.tar", *META]
    given += ["--prompts", work / "prompts.txt", "--threads", steps.threads, "--column_set", "clip"]
    steps.once("train-flyt", "train-flyt", "--output", work / "flyt", *given, *HEAD)
    steps.once("score-flyt", "score-flyt", "--output", work / "out", "--head", work / "flyt", "--column_set", "clip")
    columns = [word for column in COLUMNS.values() for word in ("--score", column)]
    steps.once("train-mix", "train-mix", "--output", work / "mix", *given, *MIX, *columns)


def duplicates(steps: Steps) -> None:
    """Finds near duplicates, clusters, and SemDeDup's duplicates."""
    out, model = ["--output", steps.work / "out"], ["--model", "clip"]
    steps.once("phash", "dedup", *out, "--by", "phash")
    steps.once("fine", "cluster", *out, "--k", 200, "--name", "fine", "--column", "clip.image")
    steps.once("semantic", "dedup", *out, "--by", "semantic", "--clusters", "fine", *model)
    steps.once("k100", "cluster", *out, "--k", 100, "--column", "clip.image")
    target = ["--input", f"{steps.work}/labelled/*.tar", "--model", f"clip={steps.work}/net_clip"]
    steps.once("target", "score", "--output", steps.work / "target", *target, "--precision", "bf16")
    vectors = steps.work / "target.npy"
    steps.once("vectors", "export", "--output", steps.work / "target", "--to", vectors, "--columns", "clip.image")
    related = ["--columns", "negclip,normsim_inf", "--model", "clip", "--target", vectors]
    steps.once("related", "annotate", *out, *related)


def recipe(steps: Steps, name: str, lines: str) -> None:
    """Selects by a recipe of the proof's own, as the selection ``name``."""
    path = steps.work / "recipes" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"name: {name}\nsource: benchmarks/proof\nsteps:\n{lines}")
    steps.once(f"select-{name}", "select", "--output", steps.work / "out", "--recipe", path, "--name", name)


def top(steps: Steps, name: str, column: str, percent: int, before: str = "") -> None:
    """Selects the best samples by a column; ``before`` has steps that come first."""
    line = f"  - top_fraction: {{column: {column}, fraction: {percent / 100}, of: pool}}\n"
    recipe(steps, f"{name}_{percent}", before + line)


def mixed(steps: Steps) -> None:
    """Selects by the learnt mix: the best 30 %, and by Soft Cap Sampling as learnt."""
    step = json.loads((steps.work / "mix" / "mix.json").read_text())
    weights = "".join(f"        {name}: {value}\n" for name, value in step["weights"].items())
    mix = f"  - mix:\n      weights:\n{weights}      standardise: true\n      as: mixed\n"
    top(steps, "mix", "mixed", 30, mix)
    draw = "  - soft_cap_sample: {{column: {}, total: 0, alpha: 0.15, batch: 80}}\n"
    recipe(steps, "mix_scs", mix + draw.format("mixed"))
    temper = "  - temper: {column: mixed, unique: 0.3, total: 0, alpha: 0.15, as: log_odds}\n"
    recipe(steps, "mix_tempered", mix + temper + draw.format("log_odds"))


def oracle(work: Path) -> Path:
    """Writes the subset file of the samples that were left clean."""
    path = work / "clean.npy"
    kinds = json.loads((work / "kinds.json").read_text())
    names: list[str] = []
    for index in sorted((work / "out/columns/index").glob("*.parquet")):
        table = pq.read_table(index, columns=["uid", "key"])
        pairs = zip(table["uid"].to_pylist(), table["key"].to_pylist(), strict=True)
        names += [uid for uid, key in pairs if kinds[key] == "clean"]
    np.save(path, uids.subset(uids.pairs(names)))
    return path


def stages(steps: Steps) -> Iterator[dict[str, object]]:
    """Makes selections, the most important ones first; yields all arms so far, name -> source."""
    work = steps.work
    arms: dict[str, object] = {}

    def selected(**names: str) -> None:
        arms.update({label.replace("_", " "): f"{work}/out#{name}" for label, name in names.items()})

    for name in ("clip", "dfn", "tuned"):
        top(steps, name, COLUMNS[name], 30)
    recipe(steps, "random_30", "  - random_fraction: {fraction: 0.3, of: pool}\n")
    arms["no filter"] = "all"
    selected(random_30="random_30", CLIP_30="clip_30", DFN_30="dfn_30", DFN_with_labels_30="tuned_30")
    arms["truly clean 30"] = oracle(work)
    learned(steps)
    top(steps, "flyt", COLUMNS["flyt"], 30)
    mixed(steps)
    selected(FLYT_30="flyt_30", mix_30="mix_30", mix_with_SCS="mix_scs", mix_tempered_with_SCS="mix_tempered")
    yield dict(arms)
    duplicates(steps)
    once_only = "  - drop_duplicates: {column: dedup_phash}\n"
    top(steps, "tuned_once", COLUMNS["tuned"], 30, once_only)
    dense = "  - density_prune: {clusters: cluster_k100, keep: 0.4, of: remaining, tau: 0.1, neighbours: 20}\n"
    semantic = "  - drop_duplicates: {column: dedup_semantic}\n"
    half = "  - top_fraction: {column: clip.score, fraction: 0.5, of: pool}\n"
    recipe(steps, "dbp", semantic + half + dense)
    related = ("negclip_normsim", "select", "--output", work / "out", "--recipe", "negclip_normsim")
    steps.once(*related, "--name", "negclip_normsim")
    selected(DFN_with_labels_deduplicated_30="tuned_once", DBP="dbp", negCLIPLoss_and_NormSim_20="negclip_normsim")
    yield dict(arms)
    for percent in FRACTIONS:
        for name in ("clip", "dfn", "tuned", "flyt"):
            top(steps, name, COLUMNS[name], percent)
            label = {"clip": "CLIP", "dfn": "DFN", "tuned": "DFN_with_labels", "flyt": "FLYT"}[name]
            selected(**{f"{label}_{percent}": f"{name}_{percent}"})
    yield dict(arms)


def evaluate(steps: Steps, arms: dict[str, object], seeds: int, samples_seen: int) -> None:
    """Trains and tests the arms with ``winnow evaluate``; what is trained is not trained again."""
    work = steps.work
    words: list[object] = [word for name, source in arms.items() for word in ("--arm", f"{name}={source}")]
    words += ["--retrieval", f"noto={work}/noto/*.tar", "--retrieval", f"stamps={work}/stamps/*.tar"]
    words += ["--classification", f"noto_names={work}/noto/*.tar", "--label_field", "title"]
    words += ["--prompts", work / "prompts.txt", "--samples_seen", samples_seen, "--batch_size", 128, "--warmup", 20]
    words += ["--seeds", seeds, "--threads", steps.threads, "--pool", work / "out", "--output", work / "evaluation"]
    steps.once(f"evaluate-{len(arms)}-{seeds}", "evaluate", *words)


def main() -> int:
    """Runs the proof: every stage of arms with a few seeds first, then with all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of downloaded packages")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--size", type=int, default=8000, help="samples of the pool")
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each arm")
    parser.add_argument("--samples_seen", type=int, default=25_600, help="of each training")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    steps = Steps(told.work, told.threads)
    sets(told.assets, told.work, told.size)
    scores(steps)
    for arms in stages(steps):
        evaluate(steps, arms, told.seeds, told.samples_seen)
    print((told.work / "evaluation/evaluation.md").read_text())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
