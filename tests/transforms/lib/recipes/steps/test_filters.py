"""Steps that judge a row by itself, against plain pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib.wordnets import write_wordnet
from transforms.lib.columnstore.block import Block
from transforms.lib.errors import ConfigError, InputError
from transforms.lib.recipes import parse
from transforms.lib.recipes.steps.caption_length import CaptionLength
from transforms.lib.recipes.steps.image_size import ImageSize
from transforms.lib.recipes.steps.keep_language import KeepLanguage
from transforms.lib.recipes.steps.text_match import TextMatch, count_matches
from transforms.lib.recipes.steps.threshold import Threshold
from transforms.lib.recipes.text import wordnet


def block_of(files=None, valid=None, **named):
    columns = {name.replace("__", "."): np.asarray(values) for name, values in named.items()}
    rows = len(next(iter(columns.values())))
    valid = np.ones(rows, bool) if valid is None else np.asarray(valid)
    return Block("a", columns, valid, valid.astype(np.uint16), files or {})


def kept(step, block):
    verdict = step.apply(block, None)
    assert verdict.copies.dtype == np.uint16
    assert verdict.margin.dtype == np.float32
    assert ((verdict.margin >= 0) == (verdict.copies > 0))[block.alive].all()
    return (verdict.copies > 0).tolist()


def test_a_language_is_kept_by_its_label_alone():
    labels = np.array(["en", "de", "", "en", "eng", "en"], object)
    block = block_of(language__label=labels, valid=[True, True, True, False, True, True])
    assert kept(KeepLanguage("l"), block) == [True, False, False, False, False, True]
    assert kept(KeepLanguage("l", keep="de"), block) == [False, True, False, False, False, False]


def test_captions_at_the_bounds():
    words, characters = [3, 2, 3, 3, 0, 3], [6, 6, 5, 600, 0, 7]
    block = block_of(caption__words=np.array(words, np.int32), caption__characters=np.array(characters, np.int32))
    assert kept(CaptionLength("c"), block) == [True, False, False, True, False, True]
    assert CaptionLength("c").apply(block, None).margin.tolist() == [0, -1, -1, 0, -6, 0]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(200, 200, True), (199, 200, False), (200, 199, False), (600, 200, True), (601, 200, False), (602, 200, False),
     (200, 601, False), (0, 0, False), (0, 300, False), (300, 0, False), (2**31 - 1, 2**31 - 1, True)],
)  # fmt: skip
def test_sizes_at_the_bounds(width, height, expected):
    sizes = {"index__original_width": [width], "index__original_height": [height]}
    assert kept(ImageSize("i"), block_of(**sizes)) == [expected]


def test_a_size_of_zero_is_dropped_whatever_the_bounds():
    block = block_of(index__original_width=[0, 0, 1], index__original_height=[0, 5, 1])
    for aspect in (1e9, np.inf):
        copies = ImageSize("i", min_side=0, max_aspect=aspect).apply(block, None).copies
        assert (copies > 0).tolist() == [False, False, True]


SIDE = st.one_of(st.sampled_from([0, 1, 199, 200, 201, 599, 600, 601, 602, 603]), st.integers(0, 5000))


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=30))
def test_sizes_are_judged_as_the_reference_judges_them(sizes):
    width, height = (pd.Series(side, dtype="int64") for side in zip(*sizes, strict=True))
    with np.errstate(all="ignore"):
        least, most = np.minimum(width, height), np.maximum(width, height)
        expected = (least >= 200) & (most / least <= 3.0)
    block = block_of(index__original_width=width.to_numpy(), index__original_height=height.to_numpy())
    copies = ImageSize("i").apply(block, None).copies
    assert (copies > 0).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("word", "offset"),
    [
        ("dog", 2084071),
        ("DOGS", 2084071),
        ("dogs", 2084071),
        ("run", 558008),  # the noun before the verb
        ("ran", 1926311),  # an irregular verb
        ("mice", 2330245),
        ("oxen", None),  # irregular, of a lemma that is not there
        ("boxes", 2883344),
        ("women", 10787470),
        ("glasses", 14881303),
        ("bigger", None),  # "bigg" and "bigge" are no words
        ("happiest", None),
        ("well", 11093),
        ("is", 2604760),
        ("ice_cream", 7614500),
        ("dog,", None),
        ("dogss", 2084071),  # a second round of endings, since the first finds nothing
        ("", None),
        ("s", None),
    ],
)
def test_the_first_synset_of_a_word(tmp_path, word, offset):
    assert wordnet.WordNet.read(str(write_wordnet(tmp_path / "w.zip"))).first_offset(word) == offset


@pytest.fixture
def files(tmp_path):
    write_wordnet(tmp_path / "w.zip")
    (tmp_path / "ids.txt").write_text("n02084071\nn07614501\n\nn00011093\n")
    return {"t.wordnet": str(tmp_path / "w.zip"), "t.synsets": str(tmp_path / "ids.txt")}


def test_a_caption_is_kept_for_one_listed_word(files):
    captions = ["a big dog", "a big dog,", "", "  ", "they glow", "run", "all is well and dogs", "Dog\u3000x", "cat"]
    step = TextMatch("t", wordnet="w", synsets="i")
    step.check_files(files)
    block = block_of(index__caption=np.array(captions, object), files=files)
    # "glow" is a verb whose offset is listed as a noun's: the reference does not tell them apart.
    assert kept(step, block) == [True, False, False, False, True, False, True, True, False]
    assert step.apply(block, None).margin.tolist() == [0, -1, -1, -1, 0, -1, 1, 0, -1]


@given(
    st.lists(st.lists(st.sampled_from(["dogs", "glow", "cat", "well", "dog.", "\n", "\x1c"]), max_size=6), max_size=9)
)
def test_words_are_counted_row_by_row(rows):
    class Plain:
        def matches(self, word):
            return word in ("dogs", "glow", "well")

    captions = np.array([" ".join(row) for row in rows], object)
    expected = [sum(word in ("dogs", "glow", "well") for word in caption.split()) for caption in captions]
    assert count_matches(captions, Plain()).tolist() == expected


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda folder: (folder / "w.zip").write_bytes(b"no zip"), "is no zip file of WordNet"),
        (lambda folder: write_wordnet(folder / "w.zip", ["noun.exc"]), "holds no noun.exc"),
        (lambda folder: (folder / "ids.txt").write_text("n01440764\ntench\n"), "'tench' is no synset id"),
        (lambda folder: (folder / "ids.txt").write_text(""), "is no synset id"),
    ],
)
def test_files_that_cannot_be_used_are_named(tmp_path, break_it, problem):
    write_wordnet(tmp_path / "w.zip")
    (tmp_path / "ids.txt").write_text("n02084071\n")
    break_it(tmp_path)
    found = {"t.wordnet": str(tmp_path / "w.zip"), "t.synsets": str(tmp_path / "ids.txt")}
    with pytest.raises(InputError, match=problem):
        TextMatch("t", wordnet="w", synsets="i").check_files(found)


def test_every_wrong_parameter_is_told():
    document = {
        "steps": [
            {"language": {"keep": ""}},
            {"caption_length": {"words_above": -1}},
            {"image_size": {"min_side": -1, "max_aspect": 0.5}},
            {"text_match": {}},
            {"band": {"drop": 0.3, "fraction": 0.3, "of": "all"}},
        ]
    }
    with pytest.raises(ConfigError) as caught:
        parse.parse(document)
    found = "\n".join(caught.value.problems)
    for expected in (
        "language.keep is missing", "words_above must be at least 0", "min_side must be at least 0",
        "max_aspect must be at least 1", "text_match.wordnet is missing", "text_match.synsets is missing",
        "band.drop must be above 0 and below fraction (0.3), got 0.3", "band.of must be pool or remaining",
    ):  # fmt: skip
        assert expected in found


def test_a_threshold_compares_what_was_given_with_all_its_digits():
    values = np.array([0.28, np.nextafter(0.28, 0), np.nextafter(0.28, 1), 0.2800000001, 0.2799999999])
    expected = [True, False, True, True, False]
    assert kept(Threshold("t", column="score", at_least=0.28), block_of(score=values)) == expected
    narrow = values.astype(np.float32)
    assert kept(Threshold("t", column="score", at_least=0.28), block_of(score=narrow)) == [True] * 5
