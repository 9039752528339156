"""DataComp's scales and evaluation sets, as published, and the command that trains one of its models elsewhere.

Source: ``scale_configs.py``, ``train.py`` and ``tasklist.yml`` of github.com/mlfoundations/datacomp, and the paper,
arXiv:2304.14108, tables 1 and 9 and appendix N.
"""

from __future__ import annotations

import shlex
from typing import NamedTuple


class Scale(NamedTuple):
    """A scale of DataComp's filtering track.

    Attributes:
      model: architecture of open_clip.
      samples_seen: in training; also the size of the scale's pool.
      batch_size: over all GPUs.
      learning_rate: at the end of the warm-up.
      warmup: steps.
      beta2: of AdamW; None for open_clip's default, 0.98.
    """

    model: str
    samples_seen: int
    batch_size: int
    learning_rate: float
    warmup: int
    beta2: float | None = None


SCALES = {
    "small": Scale("ViT-B-32", 12_800_000, 4096, 5e-4, 500),
    "medium": Scale("ViT-B-32", 128_000_000, 4096, 5e-4, 500),
    "large": Scale("ViT-B-16", 1_280_000_000, 8192, 5e-4, 500),
    "xlarge": Scale("ViT-L-14", 12_800_000_000, 90_112, 1e-3, 10_000, 0.95),
}
CHECKPOINTS = 5  # of a training; the samples seen are divided among them


class EvaluationSet(NamedTuple):
    """One of DataComp's evaluation sets.

    Attributes:
      key: in ``tasklist.yml``, and of its folder.
      name: as results call it.
      size: samples.
      classes: of them; 0 where it has none.
      metric: DataComp's main metric; empty for the two sets that it does not score.
      group: the paper's: ImageNet, shifts, VTAB, retrieval or other.
    """

    key: str
    name: str
    size: int
    classes: int
    metric: str = "acc1"
    group: str = "other"

    @property
    def kind(self) -> str:
        """What it takes to score it: classification by prompts, retrieval, or a program of its own."""
        if self.key.startswith("retrieval/"):
            return "retrieval"
        own = self.key.startswith(("wilds/", "fairness/", "misc/"))
        return "classification and labels of groups" if own and self.classes else "its own" if own else "classification"


_MEAN = "mean_per_class_recall"
SETS = (
    EvaluationSet("vtab/caltech101", "Caltech-101", 6085, 102, _MEAN, "VTAB"),
    EvaluationSet("cifar10", "CIFAR-10", 10000, 10),
    EvaluationSet("vtab/cifar100", "CIFAR-100", 10000, 100, group="VTAB"),
    EvaluationSet("vtab/clevr_count_all", "CLEVR Counts", 15000, 8, group="VTAB"),
    EvaluationSet("vtab/clevr_closest_object_distance", "CLEVR Distance", 15000, 6, group="VTAB"),
    EvaluationSet("country211", "Country211", 21100, 211),
    EvaluationSet("vtab/dtd", "Describable Textures", 1880, 47, group="VTAB"),
    EvaluationSet("vtab/eurosat", "EuroSAT", 5400, 10, group="VTAB"),
    EvaluationSet("fgvc_aircraft", "FGVC Aircraft", 3333, 100, _MEAN),
    EvaluationSet("food101", "Food-101", 25250, 101),
    EvaluationSet("gtsrb", "GTSRB", 12630, 43),
    EvaluationSet("imagenet1k", "ImageNet 1k", 50000, 1000, group="ImageNet"),
    EvaluationSet("imagenet_sketch", "ImageNet Sketch", 50889, 1000, group="shifts"),
    EvaluationSet("imagenetv2", "ImageNet v2", 10000, 1000, group="shifts"),
    EvaluationSet("imagenet-a", "ImageNet-A", 7500, 200, group="shifts"),
    EvaluationSet("imagenet-o", "ImageNet-O", 2000, 200, group="shifts"),
    EvaluationSet("imagenet-r", "ImageNet-R", 30000, 200, group="shifts"),
    EvaluationSet("vtab/kitti_closest_vehicle_distance", "KITTI Vehicle Distance", 711, 4, group="VTAB"),
    EvaluationSet("mnist", "MNIST", 10000, 10),
    EvaluationSet("objectnet", "ObjectNet", 18574, 113, group="shifts"),
    EvaluationSet("vtab/flowers", "Oxford Flowers-102", 6149, 102, _MEAN, "VTAB"),
    EvaluationSet("vtab/pets", "Oxford-IIIT Pet", 3669, 37, _MEAN, "VTAB"),
    EvaluationSet("voc2007", "Pascal VOC 2007", 14976, 20),
    EvaluationSet("vtab/pcam", "PatchCamelyon", 32768, 2, group="VTAB"),
    EvaluationSet("renderedsst2", "Rendered SST2", 1821, 2),
    EvaluationSet("vtab/resisc45", "RESISC45", 6300, 45, group="VTAB"),
    EvaluationSet("cars", "Stanford Cars", 8041, 196),
    EvaluationSet("stl10", "STL-10", 8000, 10),
    EvaluationSet("sun397", "SUN397", 108754, 397, group="VTAB"),
    EvaluationSet("vtab/svhn", "SVHN", 26032, 10, group="VTAB"),
    EvaluationSet("retrieval/flickr30k", "Flickr", 31014, 0, "mean_recall@1", "retrieval"),
    EvaluationSet(
        "retrieval/mscoco_2014_5k_test_image_text_retrieval", "MSCOCO", 5000, 0, "mean_recall@1", "retrieval"
    ),
    EvaluationSet("misc/winogavil", "WinoGAViL", 3563, 0, "jaccard_score_10-12", "retrieval"),
    EvaluationSet("wilds/iwildcam", "iWildCam", 42791, 182, "F1-macro_all"),
    EvaluationSet("wilds/camelyon17", "Camelyon17", 85054, 2),
    EvaluationSet("wilds/fmow", "FMoW", 22108, 62, "acc_worst_region"),
    EvaluationSet("fairness/dollar_street", "Dollar Street", 3503, 58, "acc_top5_wg"),
    EvaluationSet("fairness/geode", "GeoDE", 12488, 40, "acc_wg"),
    EvaluationSet("fairness/fairface", "FairFace", 10954, 0, ""),
    EvaluationSet("fairness/utkface", "UTKFace", 23703, 0, ""),
)
"""All 40 entries of ``tasklist.yml``, of which 38 are scored."""


def command(scale: Scale, shards: str, logs: str, name: str, seed: int, gpus: int, accumulate: int = 1) -> str:
    """Returns the command that trains a model of a scale with open_clip, as DataComp's ``train.py`` calls it.

    Args:
      scale: one of ``SCALES``.
      shards: address of the shards, with braces.
      logs: folder for checkpoints and logs.
      name: of the run.
      seed: of the run.
      gpus: of one machine.
      accumulate: batches per step of each GPU.
    """
    flags = {
        "save-frequency": 0,
        "train-data": shards,
        "train-num-samples": scale.samples_seen // CHECKPOINTS,
        "warmup": scale.warmup,
        "dataset-type": "webdataset",
        "precision": "amp",
        "workers": 4,
        "model": scale.model,
        "batch-size": scale.batch_size // (gpus * accumulate),
        "epochs": CHECKPOINTS,
        "lr": scale.learning_rate,
        "logs": logs,
        "name": name,
        "seed": seed,
        "accum-freq": accumulate,
        "log-every-n-steps": 100,
        "resume": "latest",
    } | ({"beta2": scale.beta2} if scale.beta2 else {})
    switches = "--ddp-static-graph --local-loss --gather-with-grad --grad-checkpointing --save-most-recent"
    lines = [f"torchrun --nproc_per_node {gpus} -m open_clip_train.main", f"{switches} --dataset-resampled"]
    lines += [f"--{flag} {shlex.quote(str(value))}" for flag, value in flags.items()]
    return " \\\n  ".join(lines) + "\n"
