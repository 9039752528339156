"""One training run: split, train, measure against a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.arrays import Bool, Float32, Int64
from transforms.lib.samples import images
from transforms.lib.training import projections, retrieval, towers, training_pairs
from transforms.lib.training.network_folder import Network


class TrainingResult(NamedTuple):
    """What came out.

    Attributes:
      history: one mapping per epoch.
      best: the epoch whose weights the network has now.
      held: pairs held out.
      control_auc: held-out AUC of random projections (``projections``) or of the network before (``towers``).
    """

    history: list[dict[str, float]]
    best: int
    held: int
    control_auc: float


def run(
    network: Network,
    pairs: Sequence[training_pairs.Pair],
    holdout_fraction: float,
    settings: projections.FitSettings | towers.TowerSettings,
) -> TrainingResult:
    """Trains a network in place on pairs.

    Args:
      network: ends with the best epoch's weights.
      pairs: to train on and to hold out from.
      holdout_fraction: share of captions held out.
      settings: of projections, or of whole towers; their type says which are trained.

    Raises:
      ConfigError: too few pairs, or no projections to train.
    """
    captions = [pair.caption for pair in pairs]
    held = training_pairs.held_out(captions, holdout_fraction, settings.seed)
    groups = retrieval.caption_groups(captions)
    if isinstance(settings, towers.TowerSettings):
        return _towers(network, pairs, groups, held, settings)
    return _projections(network, pairs, groups, held, settings)


def _pixels(network: Network, data: bytes) -> NDArray[np.uint8]:
    return network.model.pixels(images.decode(data))


def _random(like: Float32, generator: np.random.Generator) -> Float32:
    return generator.normal(0, 1 / np.sqrt(like.shape[1]), like.shape).astype(np.float32)


def _projections(
    network: Network,
    pairs: Sequence[training_pairs.Pair],
    groups: Int64,
    held: Bool,
    settings: projections.FitSettings,
) -> TrainingResult:
    model = network.model
    paths = projections.find(model.network)
    before = [projections.take_out(model.network, path) for path in paths]
    found = training_pairs.features(
        pairs, lambda data: _pixels(network, data), model.features_of, model.text_features_of
    )
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
    return TrainingResult(fitted.history, fitted.best, int(held.sum()), control_auc)


def _towers(
    network: Network,
    pairs: Sequence[training_pairs.Pair],
    groups: Int64,
    held: Bool,
    settings: towers.TowerSettings,
) -> TrainingResult:
    model = network.model
    pixels = np.stack([_pixels(network, pair.image) for pair in pairs])
    captions = [pair.caption for pair in pairs]
    image = model.embed_images(pixels[held])
    text = model.embed_texts([caption for caption, out in zip(captions, held, strict=True) if out])
    before = retrieval.evaluate(image, text, groups[held], settings.seed)["auc"]
    tokens = model.tokenize(captions)
    history, best = towers.fit_towers(model.network, pixels, tokens, groups, held, model.normalise, settings)
    return TrainingResult(history, best, int(held.sum()), before)
