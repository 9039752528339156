"""Where the files of a network are: on this machine, at an address, or on a hub; and what its configuration says."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.lib.errors import ConfigError, InputError
from transforms.lib.models import published, safe_config, timm_model, tinyclip, trained_with
from transforms.lib.models.trained_with import Trained
from transforms.lib.stamps import sha256_of, stamp

if TYPE_CHECKING:
    from transforms.lib.models.spec import ModelSpec, ParsedModel

    Named = ParsedModel | ModelSpec

Fetch = Callable[[str], str]

CONFIG = "open_clip_config.json"
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
)  # in open_clip's own order of preference
HUB_WEIGHTS = (WEIGHTS[0], WEIGHTS[2])  # what open_clip asks a hub for
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)
TEXT_FILES = (
    *VOCABULARIES,
    "added_tokens.json",
    "config.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer_config.json",
)  # what transformers reads of a tokenizer, and the configuration of a text tower


@dataclasses.dataclass(frozen=True)
class Located:
    """The files of a network on this machine.

    Attributes:
      config: in open_clip's form, as the network was trained.
      weights: path of its weights; empty for tinyclip.
      tokenizer: folder of a tokenizer of transformers; empty for CLIP's own.
      tower: folder with the configuration of a text tower of transformers; empty for open_clip's own.
      note: a line for the user, as in ``Trained``.
    """

    config: dict[str, Any]
    weights: str = ""
    tokenizer: str = ""
    tower: str = ""
    note: str = ""

    def text_files(self) -> list[Path]:
        """Returns the files of tokenizer and text tower that are there; of two configurations the tower's."""
        names = [name for name in TEXT_FILES if name != "config.json" or not self.tower]
        files = [Path(self.tokenizer, name) for name in names] if self.tokenizer else []
        files += [Path(self.tower, "config.json")] if self.tower else []
        return [path for path in files if path.is_file()]

    def digest(self) -> str:
        """Returns a digest of everything but the weights: configuration, tokenizer and text tower."""
        content = {path.name: sha256_of(str(path)) for path in self.text_files()}
        return stamp(config=self.config, files=content)


def local_only(uri: str) -> str:
    """Returns a local path as it is.

    Raises:
      InputError: the address is remote, and nobody gave a way to fetch it.
    """
    if "://" in uri:
        raise InputError(f"{uri} is remote; give a local path")
    return uri


def locate(spec: Named, fetch: Fetch) -> Located:
    """Returns a model's configuration and the local paths of its files, downloading what is remote.

    Nothing is loaded; a configuration that asks for code, or for something unknown, is refused.

    Raises:
      ConfigError: there is no such model, or it is not clear how it was trained.
      InputError: something is absent or cannot be reached; the message says what to do.
    """
    if spec.kind == "tinyclip":
        return Located(tinyclip.config())
    if spec.kind == "plugin":
        raise ConfigError(f"--model {spec.name}: {spec.source} is a scorer and no network; name a network")
    if spec.kind == "timm":
        return Located(timm_model.config(spec.source), _fetched(spec, spec.weights, fetch))
    if spec.kind == "hub":
        return _from_hub(spec)
    if spec.kind == "folder":
        return _from_folder(spec, fetch)
    if spec.kind == "tag":
        trained = trained_with.of_tag(spec.name, spec.source, spec.weights)
        return _with_text(spec, trained, _tag_weights(spec))
    pinned = getattr(spec, "sha256", "") or getattr(spec, "weights_sha256", "")
    trained = trained_with.of_file(spec.name, spec.source, spec.options, pinned)
    return _with_text(spec, trained, _fetched(spec, spec.weights, fetch))


def architecture(arch: str) -> Located:
    """Returns an architecture of open_clip without weights, prepared by open_clip's defaults."""
    from transforms.lib.models.spec import ParsedModel

    return _with_text(ParsedModel(arch, "file", arch), Trained({"model_cfg": published.builtin(arch)}), "")


def _fetched(spec: Named, uri: str, fetch: Fetch) -> str:
    try:
        path = fetch(uri)
    except OSError as error:
        raise InputError(f"--model {spec.name}: {uri} cannot be read ({error}); check the address") from None
    if not os.path.exists(path):
        raise InputError(f"--model {spec.name}: {uri} does not exist; check the address")
    return path


def _from_folder(spec: Named, fetch: Fetch) -> Located:
    folder = Path(_fetched(spec, spec.source, fetch))
    weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not (folder / CONFIG).is_file() or not weights:
        lacking = CONFIG if not (folder / CONFIG).is_file() else f"weights ({WEIGHTS[0]})"
        raise InputError(
            f"--model {spec.name}: the folder {spec.source} has no {lacking}; it is open_clip's local-dir form"
        )
    trained = _trained(spec, folder / CONFIG)
    return _with_text(spec, trained, str(weights[0]), str(folder))


def _trained(spec: Named, path: Path) -> Trained:
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"--model {spec.name}: {spec.source}/{CONFIG} is not JSON ({error})") from None
    safe_config.check_model(spec.name, spec.source, config)
    return trained_with.of_config(spec.name, spec.source, config)


def _with_text(spec: Named, trained: Trained, weights: str, folder: str = "") -> Located:
    """Adds the folders of tokenizer and text tower, those of ``folder`` where it has them, else the hub's."""
    text = trained.config["model_cfg"]["text_cfg"]
    tokenizer, tower = str(text.get("hf_tokenizer_name") or ""), str(text.get("hf_model_name") or "")
    if tokenizer:
        tokenizer = folder or _from_hub_text(spec, tokenizer, TEXT_FILES)
        if not any(Path(tokenizer, name).is_file() for name in VOCABULARIES):
            raise InputError(
                f"--model {spec.name}: {tokenizer} has no tokenizer ({', '.join(VOCABULARIES[:4])} ...); "
                f"put the files of {text['hf_tokenizer_name']} beside {CONFIG}"
            )
        safe_config.check_text_files(spec.name, tokenizer, False)
    if tower:
        own = folder and Path(folder, "config.json").is_file()
        tower = folder if own else _from_hub_text(spec, tower, ["config.json"])
        safe_config.check_text_files(spec.name, tower, True)
    return Located(trained.config, weights, tokenizer, tower, trained.note)


def _unreachable(spec: Named, what: str, error: Exception) -> InputError:
    cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return InputError(
        f"--model {spec.name}: {what} is not in the local cache and the hub cannot be reached ({cause}); download it "
        "on a connected machine and give the folder as --model, or set HF_HOME to a cache that holds it"
    )


def _hub_errors() -> tuple[type[Exception], ...]:
    """Returns what a download raises: of the hub's client, of the HTTP library it is built on, and of the system.

    open_clip raises ``RuntimeError`` for a file whose digest is wrong.
    """
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    http = tuple(base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    return (OSError, ValueError, RuntimeError, EntryNotFoundError, *http)


def _hub_file(repository: str, names: Sequence[str]) -> str:
    """Returns the local path of the first of some files that a repository of the hub has."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in names[:-1]:
        try:
            return str(hf_hub_download(repository, name))
        except EntryNotFoundError:  # of the hub, or of the cache where the hub is out of reach
            continue
    return str(hf_hub_download(repository, names[-1]))


def _from_hub(spec: Named) -> Located:
    try:
        config = _hub_file(spec.source, [CONFIG])
        weights = _hub_file(spec.source, HUB_WEIGHTS)
    except _hub_errors() as error:
        raise _unreachable(spec, f"hf-hub:{spec.source}", error) from None
    return _with_text(spec, _trained(spec, Path(config)), weights)


def _from_hub_text(spec: Named, repository: str, names: Sequence[str]) -> str:
    """Returns the local folder of some files of a repository, of which the hub may have only some."""
    from huggingface_hub import snapshot_download

    if repository.startswith("/"):
        raise InputError(
            f"--model {spec.name}: its text tower points to {repository}, and {spec.source} has no config.json of it; "
            f"put the files of the text tower beside {CONFIG}"
        )
    try:
        folder = str(snapshot_download(repository, allow_patterns=list(names)))
        if not any(Path(folder, name).is_file() for name in names):
            raise FileNotFoundError(f"{', '.join(names)}: none of them is there")
    except _hub_errors() as error:
        raise _unreachable(spec, f"{repository} (of its text tower)", error) from None
    return folder


def _tag_weights(spec: Named) -> str:
    """Returns the local path of published weights, as .safetensors where there are some."""
    facts = published.tags(spec.source)[spec.weights.lower().replace("-", "_")]
    try:
        if not facts.get("hf_hub"):
            return str(published.module("pretrained").download_pretrained_from_url(facts["url"]))
        repository, _, name = str(facts["hf_hub"]).rpartition("/")
        return _hub_file(repository, [f"{os.path.splitext(name)[0]}.safetensors", name] if name else HUB_WEIGHTS)
    except _hub_errors() as error:
        raise _unreachable(spec, f"{spec.source}/{spec.weights}", error) from None
