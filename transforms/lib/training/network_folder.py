"""A trained filtering network as a folder: open_clip's local-dir form, metrics, curves and a model card."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transforms.lib.errors import ConfigError
from transforms.lib.models import building, clip, locate, published, resolve, tinyclip
from transforms.lib.training import curves

HELD_OUT = ("pairs", "recall_at_1", "recall_at_10", "auc")


class Network(NamedTuple):
    """A network to be trained.

    Attributes:
      model: with preprocessing and tokenizer.
      config: open_clip's, ``model_cfg`` and ``preprocess_cfg``.
      text_files: files of the text tower that the folder must carry: configuration and tokenizer.
      fresh: its projections mean nothing yet, so training starts from seeded random ones.
    """

    model: clip.ClipModel
    config: dict[str, Any]
    text_files: tuple[Path, ...]
    fresh: bool


def open_network(
    text: str, *, batch_size: int = 8, device: str = "cpu", fetch: locate.Fetch = locate.local_only
) -> Network:
    """Opens a network to train: anything ``--model`` takes, or a bare architecture, from random weights.

    ``tinyclip`` comes with its towers' weights and new projections: it is how its own projections were made.

    Raises:
      ConfigError: there is no such model, or its weights cannot be had.
    """
    if text in published.architectures():
        found = locate.architecture(text)
        network, tokenize = building.empty(found).eval().to(device), building.tokenizer(found)
        model = clip.wrap(network, tokenize, found.config, batch_size=batch_size, device=device)
        return Network(model, found.config, tuple(found.text_files()), True)
    parsed = resolve.parse_model(text)
    if parsed.kind == "tinyclip":
        config = tinyclip.config()
        network = tinyclip.build(projections=False).to(device)
        model = clip.wrap(network, tinyclip.tokenizer(), config, batch_size=batch_size, device=device)
        return Network(model, config, tinyclip.text_files(), True)
    if parsed.kind == "timm":
        raise ConfigError(f"--model {text}: a network of timm has no text tower, so there is nothing to train it with")
    spec, found = resolve.find(parsed, fetch=fetch)
    model = clip.load(spec, batch_size=batch_size, device=device, fetch=fetch)
    return Network(model, found.config, tuple(found.text_files()), False)


def write_network(folder: Path, config: dict[str, Any], files: Sequence[Path], state: Mapping[str, Any]) -> None:
    """Writes open_clip's configuration and weights to a folder that exists; the weights last.

    Args:
      folder: to write to.
      config: open_clip's, ``model_cfg`` and ``preprocess_cfg``.
      files: as ``Network.text_files``.
      state: name -> tensor.
    """
    from safetensors.torch import save_file

    config = copy.deepcopy(config)
    for path in files:
        (folder / path.name).write_bytes(path.read_bytes())
    if files:
        place = str(folder.resolve())  # where open_clip looks; Winnow finds it wherever the folder is moved
        text = config["model_cfg"]["text_cfg"]
        text |= {name: place for name in ("hf_model_name", "hf_tokenizer_name") if text.get(name)}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")


def save(
    network: Network,
    folder: Path,
    history: Sequence[Mapping[str, float]],
    best: int,
    facts: Mapping[str, Any],
    control_auc: float,
) -> dict[str, Any]:
    """Writes the folder; the weights last, so that a folder without them was not finished.

    Args:
      network: trained, in its best state.
      folder: to write to; exists.
      history: one mapping per epoch.
      best: the epoch that was kept.
      facts: of the run: pool, pairs, settings.
      control_auc: of the same towers under random projections, on the same held-out pairs.

    Returns:
      the held-out figures.
    """
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in history))
    (folder / "curves.svg").write_text(curves.draw(history, best))
    figures = {name: history[best][name] for name in HELD_OUT} | {"control_auc": control_auc, "epoch": best}
    (folder / "MODEL_CARD.md").write_text(card(facts, figures))
    write_network(folder, network.config, network.text_files, network.model.network.state_dict())
    return figures


def card(facts: Mapping[str, Any], figures: Mapping[str, float]) -> str:
    """Returns the model card: data, recipe, held-out figures."""
    lines = [
        "# A filtering network trained by Winnow",
        "",
        "It scores how well a caption describes its image (Fang et al. 2023, Data Filtering Networks).",
        "",
        "| trained with | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts.items()),
        "",
        f"Held-out captions, {figures['pairs']:.0f} pairs, none of them trained on, epoch {figures['epoch']:.0f}:",
        "",
        "| figure | value |",
        "|---|---|",
        f"| matched against shuffled captions, AUC | {figures['auc']:.3f} |",
        f"| the same under random projections | {figures['control_auc']:.3f} |",
        f"| recall at 1, image to caption | {figures['recall_at_1']:.3f} |",
        f"| recall at 10, image to caption | {figures['recall_at_10']:.3f} |",
        "",
        "![curves](curves.svg)",
    ]
    return "\n".join(lines) + "\n"
