"""What docs/versions.md calls public: a name that goes, or a parameter that does, breaks somebody's code."""

import inspect

import pytest

import winnow
from transforms.lib import plugins as groups
from winnow import laws, plugins

WINNOW = {
    "ConfigError": None,
    "CurationError": None,
    "ExactQuantile": "q, by",
    "FileRow": "path, size, sha256",
    "Output": "output, selection",
    "ReadWebDataset": "input",
    "Result": "job, output, values",
    "ScorePairs": "flags",
    "ScoredPair": "uid, key, shard, caption, score, scores",
    "Shard": "name, uri, size, stamp",
    "SoftCapSample": "total, by, uid, alpha, batch, seed",
    "TopFraction": "fraction, by, uid, seed, rule",
    "WriteWebDataset": "uid, show, flags",
    "curate": "beam_args, flags",
    "open": "output, selection",
    "reshard": "beam_args, flags",
    "score": "beam_args, flags",
    "select": "beam_args, flags",
}
PLUGINS = {
    "EMBEDDING", "FLAG", "NUMBER", "TEXT", "TRUTH", "UID", "Annotate", "Annotator", "Block", "ConfigError",
    "EmptyPoolError", "InputError", "Score", "Scorer", "Step", "Verdict", "address", "keyed_hash", "record", "uniform",
}  # fmt: skip
STEP = {
    "label", "kind", "rounds", "files", "repeats", "carries", "sees_earlier", "faults", "inputs", "input_types",
    "apply", "sentence", "score", "makes", "derive", "hint", "needs", "start", "summarise", "merge", "solve", "facts",
    "remember", "join", "recall", "check_files",
}  # fmt: skip


@pytest.mark.parametrize("name", WINNOW)
def test_a_public_name_takes_what_it_took(name):
    found = getattr(winnow, name)
    if WINNOW[name] is not None:
        assert ", ".join(inspect.signature(found).parameters) == WINNOW[name]


def test_no_public_name_is_gone_or_new_without_a_line_here():
    assert set(winnow.__all__) == set(WINNOW)
    assert set(plugins.__all__) == PLUGINS
    assert all(hasattr(plugins, name) for name in PLUGINS)
    assert set(laws.__all__) == {"Law", "of_annotator", "of_scorer", "of_step"}
    assert {*dir(plugins.Step), *plugins.Step.__annotations__} >= STEP
    assert {*dir(plugins.Annotator), *plugins.Annotator.__annotations__} >= {
        "name", "column_sets", "kind", "version", "related", "inputs", "load", "problems", "resolve", "made_by",
    }  # fmt: skip
    assert {*dir(plugins.Scorer), *plugins.Scorer.__annotations__} >= {"side", "load"}
    assert (groups.STEPS, groups.ANNOTATORS, groups.SCORERS, groups.RECIPES) == (
        "winnow.steps", "winnow.annotators", "winnow.scorers", "winnow.recipes",
    )  # fmt: skip
