"""What M-FLYT and FLYT learn on a pool of which a quarter has shuffled captions and a quarter blurred pictures.

python -m benchmarks.flyt --assets DIR [--seeds 0 1 2] [--repeat 1] [--device cpu] [--ceiling]

No label of the corruption is read before everything is trained. The CLIP model is trained on clip art, so it knows the
pool's emoji from elsewhere only; the labelled pool is the same titles in another drawing style, one class a title. Some
titles are held out of both: the AUC on them is of pictures and captions that no training saw. With ``--repeat`` the
pool has each emoji several times, every time with a corruption and noise of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import flytpool
from demo import assets
from transforms.lib.columnstore import columns
from transforms.lib.flyt import scoring_head
from transforms.lib.training import retrieval

NOISE = ("uniform", "normal", "lognormal")
PROMPTS = ("{}", "{} emoji", "a picture of {}", "an icon of {}")
COMMON = ["--batch_size", 512, "--downstream_batch_size", 512, "--learning_rate", 1e-3, "--scoring_eps", 1e-12]
COMMON += ["--reference_start", "random", "--restart_every", 30, "--warmup", 10]
HEAD = ["--steps", 200, "--scoring_learning_rate", 3e-5, "--start_noise", 1e-3]
MIX = ["--steps", 1000, "--scoring_learning_rate", 3e-3]


class Pool(NamedTuple):
    """A scored pool: where it is, and what is wrong with each sample, by key."""

    out: Path
    kinds: dict[str, int]

    def read(self, name: str, column: str = "score") -> NDArray[Any]:
        """Returns a column of all shards, in order."""
        paths = sorted((self.out / f"columns/{name}").glob("*.parquet"))
        return np.concatenate([columns.to_numpy(column, pq.read_table(path)[column]) for path in paths])

    def kind(self) -> NDArray[np.int64]:
        """Returns int64 ``[n]`` of ``CLEAN``, ``SHUFFLED`` or ``BLURRED``."""
        return np.array([self.kinds[key] for key in self.read(columns.INDEX, "key").tolist()])

    def auc(self, scores: NDArray[Any]) -> list[float]:
        """Returns how often a clean sample stands above one that is corrupted, shuffled, blurred."""
        kind = self.kind()
        sides = [kind > flytpool.CLEAN, kind == flytpool.SHUFFLED, kind == flytpool.BLURRED]
        return [retrieval.matched_auc(scores[kind == flytpool.CLEAN], scores[side]) for side in sides]


def winnow(*args: object, device: str = "") -> dict[str, Any]:
    """Runs a job, on a device where it has a choice; returns its JSON line with the seconds it took."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    told = [*map(str, args), *(["--device", device] if device else [])]
    done = subprocess.run([sys.executable, "-m", "beam_pipelines.cli", *told], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = {"cpu": cpu, "wall": time.perf_counter() - start, "rss": after.ru_maxrss}
    print(f"{args[0]:<13}{took['wall']:5.0f} s, {cpu:4.0f} CPU-s", file=sys.stderr, flush=True)
    return {**json.loads(done.stdout.splitlines()[-1]), **took}


def scored(found: Any, folder: Path, network: Path, seed: int, device: str) -> Pool:
    """Writes a corrupted pool, scores it, and adds columns that know nothing."""
    kinds = flytpool.write(found, folder / "pool", seed)
    out = folder / "out"
    winnow("score", "--input", folder / "pool/*.tar", "--output", out, "--model", f"clip={network}", device=device)
    for path in sorted((out / "columns/clip").glob("*.parquet")):
        random = np.random.default_rng([seed, int(path.stem)])
        table = pq.read_table(path, columns=["score"])
        for name in NOISE:
            values = getattr(random, name)(size=len(table)).astype(np.float32)
            (out / f"columns/{name}").mkdir(exist_ok=True)
            noisy = columns.to_parquet(table.set_column(0, "score", [values]), name)
            (out / f"columns/{name}" / path.name).write_bytes(noisy)
    return Pool(out, kinds)


def ceiling(pool: Pool, held: Pool) -> list[float]:
    """Returns the AUC on held-out samples of the same head, trained on the labels of the corruption instead."""
    import torch

    def inputs(of: Pool) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([of.read("clip", "image"), of.read("clip", "text")], 1)).float()

    x, clean = inputs(pool), torch.from_numpy(pool.kind() == flytpool.CLEAN).float()
    start = scoring_head.start(
        scoring_head.HeadConfig(x.shape[1] // 2), cosine=True, generator=torch.Generator().manual_seed(0)
    )
    params = {name: value.requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.AdamW(params.values(), 3e-4, weight_decay=0.2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        rows = torch.randint(len(x), (256,), generator=generator)
        logits = 10 * scoring_head.apply(params, x[rows])
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(logits, clean[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        return held.auc(scoring_head.apply(params, inputs(held)).numpy())


def one_seed(
    found: flytpool.Material, work: Path, seed: int, network: Path, told: argparse.Namespace
) -> dict[str, Any]:
    """Corrupts, scores, trains and measures; returns row -> AUC, and the weights of the mix."""
    folder = work / f"seed{seed}"
    pool = scored(found.pool * told.repeat, folder / "pool", network, seed, told.device)
    held = scored(found.held, folder / "held", network, seed, told.device)
    (work / "prompts.txt").write_text("\n".join(PROMPTS))
    given = ["--pool", pool.out, "--downstream", work / "labelled/*.tar", "--label_field", "title", "--seed", seed]
    given += ["--prompts", work / "prompts.txt", "--cache", work / "cache", *COMMON]
    flyt = winnow("train-flyt", "--output", folder / "flyt", *given, *HEAD, device=told.device)
    for of in (pool, held):
        winnow("score-flyt", "--output", of.out, "--head", folder / "flyt", "--column_set", "clip")
    names = ("clip", "flyt", *NOISE)
    given += [f"--score={name}.score" for name in names]
    mix = winnow("train-mix", "--output", folder / "mix", *given, *MIX, device=told.device)
    facts = json.loads((folder / "mix/mix.json").read_text())
    rows: dict[str, list[float]] = {}
    for what, of in (("held out", held), ("trained on", pool)):
        rows[f"CLIP score, {what}"] = of.auc(of.read("clip"))
        rows[f"FLYT's head, {what}"] = of.auc(of.read("flyt"))
        each = [of.read(n) / facts["std"][f"{n}.score"] for n in names]
        weights = [facts["weights"][f"{n}.score"] for n in names]
        rows[f"M-FLYT's mix, {what}"] = of.auc(sum(w * v for w, v in zip(weights, each, strict=True)))
        rows[f"the five columns, weighted alike, {what}"] = of.auc(sum(each))
    if told.ceiling:
        rows["the head, trained on labels, held out"] = ceiling(pool, held)
    found_here = {"rows": rows, "weights": facts["weights"], "skipped": flyt["skipped"] + mix["skipped"]}
    print(json.dumps(found_here), file=sys.stderr, flush=True)
    return found_here


def main() -> int:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True, help="folder of the demo's packages, as for make_pool")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of corruption and training")
    parser.add_argument("--repeat", type=int, default=1, help="times that the pool has each emoji")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for scoring and training")
    parser.add_argument("--ceiling", action="store_true", help="also train the head on the labels of the corruption")
    told = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        found = flytpool.material(assets.fetch(told.assets))
        flytpool.write(found.clip_art, work / "art", None)
        flytpool.write(found.labelled, work / "labelled", None)
        sizes = ", ".join(f"{what} {len(part)}" for what, part in found._asdict().items())
        print(f"{sizes}; {time.perf_counter() - start:.0f} s", flush=True)
        winnow("train-filter", "--input", work / "art/*.tar", "--output", work / "net")
        runs = [one_seed(found, work, seed, work / "net", told) for seed in told.seeds]
        print("\n| AUC, clean above | " + " | ".join(f"corrupted, seed {seed}" for seed in told.seeds), end="")
        print(" | corrupted | shuffled | blurred |\n|---|" + "---|" * (len(runs) + 3))
        for row in runs[0]["rows"]:
            each = np.array([run["rows"][row] for run in runs])
            print(f"| {row} | " + " | ".join(f"{value:.3f}" for value in [*each[:, 0], *each.mean(0)]) + " |")
        for seed, run in zip(told.seeds, runs, strict=True):
            shown = ", ".join(f"{column} {weight:.2f}" for column, weight in run["weights"].items())
            print(f"mix, seed {seed}: {shown}; {run['skipped']} steps skipped")
    print(f"{time.perf_counter() - start:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
