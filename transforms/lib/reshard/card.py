"""The dataset card of an output: a ``README.md`` by which `datasets` loads it, and which says what is in it."""

from __future__ import annotations

from collections.abc import Sequence

from transforms.lib.reshard.held import Held

_TYPES = {
    **dict.fromkeys(("txt", "text", "transcript"), "string"),
    **dict.fromkeys(("json", "jsn"), "json"),
    **dict.fromkeys(("cls", "cls2", "index", "inx", "id"), "int64"),
}
# Last part of an extension -> the type that `datasets` decodes a member to. Source: DECODERS of its webdataset module.
_NO_TYPE = frozenset({"ten", "tb", "mp", "msg", "npy", "npz", "cbor", "pth"})  # decoded to what only the member says
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_CONFIGS = """configs:
- config_name: default
  data_files:
  - split: train
    path: "{path}"
"""
_HEAD = """---
{configs}{features}size_categories:
- {size}
---
# Image-text pairs

{samples:,} samples in {shards:,} shards (`{path}`), curated by [Winnow](https://pypi.org/project/winnow-beam).
"""
_LOADABLE = """
```python
datasets.load_dataset(FOLDER)  # the folder of this file
```
"""
_TABLE = """
| image's name | format | samples |
|---|---|---|
"""


def card(form: str, path: str, samples: int, shards: int, held: Held, warnings: Sequence[str]) -> str:
    """Returns the text of the card; a function of its arguments alone.

    Args:
      form: of the shards, one of ``shard_formats.NAMES``.
      path: pattern of the shards, from the folder of the card.
      samples: in all shards.
      shards: how many there are.
      held: what they hold.
      warnings: one line each, of what loaders leave out.
    """
    size = next((name for limit, name in _SIZES if samples < limit), "n>10M")
    features = _features(samples, held) if form == "webdataset" else ""
    loadable = form != "tfrecord"  # which `datasets` does not read
    configs = _CONFIGS.format(path=path) if loadable else ""
    text = _HEAD.format(configs=configs, path=path, features=features, size=size, samples=samples, shards=shards)
    text += _LOADABLE if loadable else ""
    rows = [f"| {name} | {kind} | {count:,} |\n" for (name, kind), count in held.images.items()]
    return text + (_TABLE + "".join(rows) if rows else "") + "".join(f"\n* {line}\n" for line in warnings)


def _features(samples: int, held: Held) -> str:
    """Returns the columns, where ``datasets`` cannot know them from the first five samples of a tar; else nothing."""
    images = {name for name, _ in held.images}
    others = [name for name in held.members if name not in images]
    if len(images) <= 1 and all(held.members[name] == samples for name in others):
        return ""
    types = {name: _TYPES.get(name.rpartition(".")[2], "binary") for name in others} | dict.fromkeys(images, "image")
    if any(name.rpartition(".")[2] in _NO_TYPE or not name.replace(".", "").isalnum() for name in types):
        return ""
    types |= {"__key__": "string", "__url__": "string"}
    lines = [f'  - name: "{name}"\n    dtype: {kind}\n' for name, kind in sorted(types.items())]
    return "dataset_info:\n  features:\n" + "".join(lines)
