"""What a package of one's own builds its steps, annotators and scorers from: the contracts, and what they speak of.

Public by semantic versioning, as what ``winnow`` itself names. Imports numpy and pyarrow, neither Beam nor torch.
"""

from transforms.lib.annotators.annotator import Annotate, Annotator, address
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, EmptyPoolError, InputError
from transforms.lib.models.scorer import Score, Scorer
from transforms.lib.recipes.contract.state_json import record
from transforms.lib.recipes.contract.step import EMBEDDING, FLAG, NUMBER, TEXT, TRUTH, UID, Step, Verdict
from transforms.lib.uids import keyed_hash, uniform

__all__ = [
    "EMBEDDING",
    "FLAG",
    "NUMBER",
    "TEXT",
    "TRUTH",
    "UID",
    "Annotate",
    "Annotator",
    "Block",
    "ConfigError",
    "EmptyPoolError",
    "InputError",
    "Score",
    "Scorer",
    "Step",
    "Verdict",
    "address",
    "keyed_hash",
    "record",
    "uniform",
]
