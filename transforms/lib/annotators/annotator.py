"""The contract of an annotator: what makes one column set of a shard from columns that are there, no image needed."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pyarrow as pa

from transforms.lib.columnstore.block import Block

Annotate = Callable[[Block], pa.Table]
Fetch = Callable[[str], str]


@dataclasses.dataclass(frozen=True)
class Annotator(abc.ABC):
    """Makes one column set; fields are its parameters, files among them with their sha256.

    An annotator crosses to the workers as its fields; models and files are opened there, once per process.

    Attributes:
      column_sets: the names it can have; a literal, which registers the class.
      related: whether it is made of the score and embeddings that a model left.
      name: the column set it writes.
    """

    column_sets: ClassVar[tuple[str, ...]]
    related: ClassVar[bool] = False

    kind: ClassVar[str]  # what stamps call it; it stays when the class is renamed
    version: ClassVar[int] = 1  # raise when the same inputs would give other values

    name: str

    @classmethod
    def resolve(cls, name: str, options: Mapping[str, Any], fetch: Fetch) -> Annotator:
        """Returns the annotator of a column set, after a look at the files and packages that it needs.

        Args:
          name: one of ``column_sets``.
          options: the values of the flags of ``winnow annotate``, by name; ``model`` is the column set of embeddings.
          fetch: address -> local path.

        Raises:
          ConfigError: an option is wrong or missing.
          InputError: a file or package is missing or cannot be used.
        """
        fields = (field.name for field in dataclasses.fields(cls) if field.name != "name")
        return cls(name=name, **{field: options[field] for field in fields if field in options})

    @abc.abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Returns the columns it reads, ``set.column`` or ``uid``; a NaN in a float one makes a row invalid."""

    def problems(self, types: Mapping[str, pa.DataType]) -> list[str]:
        """Returns what is wrong with the inputs, of which ``types`` tells the types, one line each with its hint."""
        return []

    @abc.abstractmethod
    def load(self, fetch: Fetch) -> Annotate:
        """Opens what is needed, and returns the function from a block to a table row-aligned with it.

        Args:
          fetch: address -> local path.
        """

    def made_by(self) -> dict[str, Any]:
        """Returns what determines the values beside the inputs, as JSON values, for stamps and the manifest.

        Addresses are left out: the sha256 beside each says which file it is.
        """
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if not f.metadata.get("address")}
        return {"kind": self.kind, "version": self.version, **values}


def address(default: str = "") -> Any:
    """Returns a field that says where a file is; the field ``sha256`` beside it says what it holds."""
    return dataclasses.field(default=default, metadata={"address": True})
