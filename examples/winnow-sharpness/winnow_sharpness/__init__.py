"""An example of a plug-in: how sharp an image is, how much a caption shouts, and a step that reads both.

One file of numpy and one YAML. ``pyproject.toml`` names the parts, and ``tests/`` holds them to Winnow's laws.
"""

import dataclasses

import numpy as np
import pyarrow as pa

from winnow.plugins import NUMBER, Annotator, EmptyPoolError, Scorer, Step, Verdict, record


@dataclasses.dataclass(frozen=True)
class Sharpness(Scorer):
    """Gives every image the mean square of its Laplacian in grey, as a logarithm: low where it is blurred.

    Source: Pech-Pacheco et al. 2000, "Diatom autofocusing in brightfield microscopy".
    """

    side = 128

    def load(self, fetch):
        """Returns the function from pixels uint8 ``[n, 128, 128, 3]`` to float32 ``[n]``; there is nothing to open."""
        return sharpness


def sharpness(pixels):
    """Returns ``log(1 + mean square of the Laplacian)`` of each image, exact: sums are of whole numbers."""
    grey = pixels.astype(np.int64) @ np.array([299, 587, 114])  # BT.601, in thousandths
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    laplacian = (around - 4 * middle) // 1000
    return np.log1p((laplacian**2).mean(axis=(1, 2))).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Shouting(Annotator):
    """Makes the column ``shouting.share``: the share of upper case among a caption's letters, 0 where it has none."""

    kind = "Shouting"
    column_sets = ("shouting",)

    name: str = "shouting"

    def inputs(self):
        """Returns the columns that it reads."""
        return ("index.caption",)

    def load(self, fetch):
        """Returns the function from a block to a table of as many rows; a rejected sample gets NaN."""

        def work(block):
            captions = block.columns["index.caption"]
            letters = np.array([sum(map(str.isalpha, text)) for text in captions], float)
            share = np.array([sum(map(str.isupper, text)) for text in captions], float) / np.maximum(letters, 1)
            return pa.table({"share": pa.array(np.where(block.valid, share, np.nan).astype(np.float32))})

        return work


@record("near_best/1")
@dataclasses.dataclass(frozen=True)
class Best:
    """The highest value of the pool; None before it is known."""

    value: float | None = None


@dataclasses.dataclass(frozen=True)
class NearBest(Step):
    """Keeps the samples whose value is at most ``distance`` below the highest of the pool.

    A summary is one number, and the greatest of two is the same in any order, so the step is exact.

    Attributes:
      column: of numbers.
      distance: in the unit of the column, at least 0.
    """

    kind = "near_best"
    rounds = 1

    column: str = "score"
    distance: float = 0.1

    def faults(self):
        """Returns what is wrong with the parameters, with a hint."""
        return [] if self.distance >= 0 else [f"{self.label}.distance must be at least 0, got {self.distance}"]

    def inputs(self):
        """Returns the columns that ``apply`` reads."""
        return (self.column,)

    def input_types(self):
        """Returns what each of them must hold."""
        return (NUMBER,)

    def start(self):
        """Returns the state before the first round."""
        return Best()

    def needs(self, state):
        """Returns the columns that the next round reads."""
        return (self.column,)

    def summarise(self, block, state):
        """Returns the highest value of one shard; minus infinity where none counts."""
        return float(np.max(block.columns[self.column][block.alive], initial=-np.inf))

    def merge(self, left, right):
        """Returns the summary of both."""
        return max(left, right)

    def solve(self, state, summary):
        """Returns the state of the whole pool."""
        if summary is None or summary == -np.inf:
            raise EmptyPoolError(f"{self.label}: no sample has a value in {self.column}")
        return Best(summary)

    def apply(self, block, state):
        """Returns the verdict; the margin is how far above the bound a value is."""
        margin = block.columns[self.column].astype(np.float64) - (state.value - self.distance)
        return Verdict.of(block, margin >= 0, margin)

    def sentence(self):
        """Returns what the step does, in words."""
        return f"Keep the samples whose {self.column} is at most {self.distance:g} below the best."

    def facts(self, state):
        """Returns what was fitted, for the report."""
        return {"best": state.value}
