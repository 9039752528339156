"""Train a filtering network on pairs: the towers' features once for its projections, or the towers themselves.

The idea is the Data Filtering Network's (Fang et al. 2023, arXiv:2309.17425): a small network trained on a small set
of clean pairs filters better than a large one trained on noise.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from transforms.lib.errors import ConfigError, SampleError
from transforms.lib.samples import captions, images
from transforms.lib.tar.shard_samples import RawSample
from transforms.lib.training import early_stopping as epochs
from transforms.lib.training import projections, retrieval

Embed = Callable[[Any], NDArray[np.float32]]


class Pair(NamedTuple):
    """An encoded image and its caption."""

    image: bytes
    caption: str


class Features(NamedTuple):
    """What locked towers give before their projections.

    Attributes:
      image: float32 ``[n, 2, width]``: the image, and its mirror image.
      text: float32 ``[n, 2, width]``: the caption, and its first clause.
    """

    image: NDArray[np.float32]
    text: NDArray[np.float32]


def read_pairs(samples: Iterable[RawSample], caption_field: str = "") -> Iterator[Pair]:
    """Yields the pairs of a pool whose image decodes; others are left out."""
    for sample in samples:
        try:
            if sample.problem is None:
                data = images.image_of(sample.members)[1]
                images.decode(data)
                yield Pair(data, captions.caption_of(sample.members, caption_field))
        except SampleError:
            continue


def held_out(found: Sequence[str], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Draws captions, not pairs, to hold out, so that no caption is on both sides.

    Args:
      found: captions.
      fraction: share of captions held out, in (0, 1).
      seed: of the draw, which is a hash of (seed, caption): a pool that grows keeps its split.

    Returns:
      bool ``[n]``.

    Raises:
      ConfigError: fewer than two captions on a side, so nothing can be learnt or measured.
    """
    draws = []
    for caption in found:
        plain = " ".join(caption.lower().split())
        digest = hashlib.sha256(f"{seed}\0{plain}".encode()).digest()
        draws.append(int.from_bytes(digest[:8], "big") / 2**64 < fraction)
    held = np.array(draws, bool)
    groups = retrieval.caption_groups(found)
    if min(len(set(groups[held].tolist())), len(set(groups[~held].tolist()))) < 2:
        raise ConfigError(
            f"--holdout_fraction {fraction} of {len(held)} pairs leaves too few captions on a side; give more pairs"
        )
    return held


def first_clause(caption: str) -> str:
    """Returns a caption up to its first comma: keyword lists shortened to what the picture is called."""
    return caption.split(",")[0].strip() or caption


def features(
    found: Sequence[Pair], pixels: Callable[[bytes], Any], embed_images: Embed, embed_texts: Embed
) -> Features:
    """Runs the locked towers once over every pair and its variants.

    Args:
      found: ``n`` pairs.
      pixels: encoded image -> uint8 ``[size, size, 3]``.
      embed_images: uint8 ``[batch, size, size, 3]`` -> float32 ``[batch, width]``.
      embed_texts: captions -> float32 ``[batch, width]``.
    """
    views: list[list[NDArray[np.float32]]] = [[], []]
    for start in range(0, len(found), 256):
        batch = np.stack([pixels(pair.image) for pair in found[start : start + 256]])
        views[0].append(embed_images(batch))
        views[1].append(embed_images(np.ascontiguousarray(batch[:, :, ::-1])))
    image = np.stack([np.concatenate(parts) for parts in views], 1)
    whole = [pair.caption for pair in found]
    text = np.stack([embed_texts(whole), embed_texts([first_clause(caption) for caption in whole])], 1)
    return Features(image, text)


@dataclasses.dataclass(frozen=True)
class TowerSettings:
    """How whole towers are trained; smaller steps than projections, since the towers know something already.

    Attributes:
      seed: of order and mirroring.
      epochs: at most.
      patience: epochs without a better held-out loss before stopping.
      batch_size: pairs a step.
      learning_rate: of AdamW.
      weight_decay: of AdamW.
    """

    seed: int = 0
    epochs: int = 5
    patience: int = 2
    batch_size: int = 64
    learning_rate: float = 1e-5
    weight_decay: float = 0.1


def fit_towers(
    network: Any,
    pixels: NDArray[np.uint8],
    tokens: Any,
    groups: NDArray[np.int64],
    held: NDArray[np.bool_],
    normalise: Callable[[Any], Any],
    settings: TowerSettings,
) -> tuple[list[dict[str, float]], int]:
    """Trains every parameter of an open_clip model contrastively, in place; it ends with the best epoch's weights.

    Args:
      network: the model.
      pixels: uint8 ``[n, size, size, 3]``.
      tokens: int64 tensor ``[n, context]``.
      groups: int64 ``[n]`` of ``retrieval.caption_groups``.
      held: bool ``[n]``; never trained on.
      normalise: uint8 tensor ``[batch, size, size, 3]`` -> the model's input.
      settings: how.

    Returns:
      (history, position of the best epoch), as in ``projections.Fitted``.
    """
    import torch

    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)  # dropout inside the towers
    optimizer = torch.optim.AdamW(network.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    group = torch.from_numpy(groups)
    train_rows, held_rows = (torch.from_numpy(np.flatnonzero(rows)) for rows in (~held, held))

    def embed(rows: torch.Tensor, mirror: bool) -> tuple[torch.Tensor, torch.Tensor]:
        batch = torch.from_numpy(pixels[rows.numpy()])
        image = normalise(batch.flip(2) if mirror else batch)
        return network.encode_image(image, normalize=True), network.encode_text(tokens[rows], normalize=True)

    def train() -> float:
        network.train()
        losses = []
        for rows in train_rows[torch.randperm(len(train_rows), generator=generator)].split(settings.batch_size):
            seen = embed(rows, bool(torch.randint(2, (1,), generator=generator)))
            loss = projections.contrastive_loss(seen[0], seen[1], group[rows], network.logit_scale)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        network.eval()
        return float(np.mean(losses))

    @torch.no_grad()
    def measure() -> dict[str, float]:
        parts = [embed(rows, False) for rows in held_rows.split(settings.batch_size)]
        image, text = (torch.cat(column) for column in zip(*parts, strict=True))
        return projections.held_out_figures(image, text, group[held_rows], network.logit_scale, settings.seed)

    def snapshot() -> dict[str, Any]:
        return {name: value.clone() for name, value in network.state_dict().items()}

    history, best, state = epochs.run(settings.epochs, settings.patience, train, measure, snapshot)
    network.load_state_dict(state)
    return history, best
