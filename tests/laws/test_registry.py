"""What is registered is what classes say of themselves, read without importing them."""

import subprocess
import sys

import pytest

from transforms.lib import registry

ALL = {"step": registry.STEPS, "annotator": registry.ANNOTATORS, "format": registry.FORMATS}
HEAVY = {"numpy", "pyarrow", "torch", "apache_beam", "scipy"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Returns an empty folder, which a registry of ``parts`` reads."""
    monkeypatch.setattr(registry, "_LIB", tmp_path)
    (tmp_path / "parts").mkdir()
    return tmp_path / "parts"


def test_names_are_listed_without_importing_anything_heavy():
    code = (
        "import sys; from transforms.lib import registry as r; "
        f"assert r.STEPS and r.ANNOTATORS and r.FORMATS and len(list(r.STEPS)); print({HEAVY} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


@pytest.mark.parametrize("kind", ALL)
def test_every_entry_loads_the_class_that_states_the_facts(kind):
    for name, entry in ALL[kind].items():
        loaded = entry.load()
        assert loaded.__module__ == entry.module
        assert {fact: getattr(loaded, fact) for fact in entry.facts} == dict(entry.facts), name


def test_a_class_is_registered_by_the_names_that_it_states(folder):
    (folder / "one.py").write_text(
        'class One:\n    kind = "one"\n    related = True\n\n\nclass Base:\n    related = True\n'
    )
    (folder / "two.py").write_text('class Two:\n    kind = ("b", "a")\n    size = min(1, 2)\n')
    found = registry.Registry("parts", "kind")
    assert list(found) == ["a", "b", "one"]
    assert found["one"] == ("transforms.lib.parts.one", "One", {"kind": "one", "related": True})
    assert found["a"] == found["b"] == ("transforms.lib.parts.two", "Two", {"kind": ("b", "a")})
    assert "Base" not in found


def test_two_classes_of_one_name_are_refused(folder):
    for stem in ("one", "two"):
        (folder / f"{stem}.py").write_text('class Part:\n    kind = "same"\n')
    with pytest.raises(ValueError, match=r"parts\.one and .*parts\.two both register 'same'; rename one"):
        list(registry.Registry("parts", "kind"))
