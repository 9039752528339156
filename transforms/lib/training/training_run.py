"""One training run of projections: read, split, train, measure against a control."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Float32
from transforms.lib.samples import images
from transforms.lib.training import projections, retrieval, training_pairs
from transforms.lib.training.network_folder import Network


class TrainingResult(NamedTuple):
    """What came out.

    Attributes:
      history: one mapping per epoch.
      best: the epoch whose weights the network has now.
      pairs: that were read.
      held: pairs held out.
      control_auc: held-out AUC of random projections (``projections``) or of the network before (``towers``).
    """

    history: list[dict[str, float]]
    best: int
    pairs: int
    held: int
    control_auc: float


def run_projections(
    network: Network,
    pairs: Iterable[training_pairs.Pair],
    holdout_fraction: float,
    settings: projections.FitSettings,
) -> TrainingResult:
    """Trains a network's projections in place on pairs, whose features alone are held in memory.

    Args:
      network: ends with the best epoch's weights.
      pairs: to train on and to hold out from; read once.
      holdout_fraction: share of captions held out.
      settings: how.

    Raises:
      ConfigError: too few pairs, or no projections to train.
    """
    model = network.model
    paths = projections.find(model.network)
    before = [projections.take_out(model.network, path) for path in paths]

    def pixels(data: bytes) -> NDArray[np.uint8]:
        return model.pixels(images.decode(data))

    found, captions = training_pairs.features(pairs, pixels, model.features_of, model.text_features_of)
    held = training_pairs.held_out(captions, holdout_fraction, settings.seed)
    groups = retrieval.caption_groups(captions)
    generator = np.random.default_rng(settings.seed)
    control = [_random(weight, generator) for weight in before]
    start = control if network.fresh else before
    fitted = projections.fit(found.image, found.text, groups, held, (start[0], start[1]), settings)
    for path, weight in zip(paths, (fitted.image, fitted.text), strict=True):
        projections.put_back(model.network, path, weight)
    model.network.logit_scale.data.fill_(fitted.logit_scale)
    unit = []
    for features, weight in zip((found.image, found.text), control, strict=True):
        embedded = features[held, 0] @ weight.T
        unit.append(embedded / np.linalg.norm(embedded, axis=1, keepdims=True))
    control_auc = retrieval.evaluate(unit[0], unit[1], groups[held], settings.seed)["auc"]
    return TrainingResult(fitted.history, fitted.best, len(captions), int(held.sum()), control_auc)


def _random(like: Float32, generator: np.random.Generator) -> Float32:
    return generator.normal(0, 1 / np.sqrt(like.shape[1]), like.shape).astype(np.float32)
