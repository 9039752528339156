"""Bounded tokenizers give the tokens of those that they stand for, and take no time for what no network sees."""

import copy
import json
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from transforms.lib.models import tinyclip, tokenizing

PARTS = [
    "a",
    "z",
    "ab",
    "qzx",
    "the ",
    "dog",
    " ",
    "\n",
    "  \n",
    ".",
    "!?",
    "'s",
    "1",
    "é",
    "Ã©",
    "я",
    "Σ",
    "漢",
    "字",
    "🙂",
    "&amp;lt;",
]
PARTS += [
    "<end_of_text>",
    "[SEP]",
    "<",
    "_",
    "\u0301",
    "\ufb01",
    "\u2019",
    "\r\n",
    "\t",
    "supercalifragilistic",
    "ĠA",
    "▁",
]
RUNS = st.tuples(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join), st.integers(1, 900))
CAPTIONS = st.lists(RUNS, min_size=1, max_size=8).map(lambda runs: "".join(part * times for part, times in runs)[:9000])
WORDS = st.text("abcdefqxz", min_size=300, max_size=1500)


def untouched(kind, place):
    """Returns a tokenizer of open_clip, each of a kind of its own."""
    if kind in ("clip77", "clip16"):
        return SimpleTokenizer(context_length=int(kind[4:]))
    if kind == "bert":
        return HFTokenizer(str(tinyclip.text_folder()), context_length=32, trust_remote_code=False)
    corpus = ["a dog and the cat", "supercalifragilistic dogs", "the theory of the thing 12", "漢字 я é ab abab"] * 20
    special = {"special_tokens": ["<pad>", "</s>", "<unk>"]}
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        made.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=90, unk_token="<unk>", **special))
    elif kind == "sentences":  # as Gemma's: a caption is one word to it
        made = Tokenizer(models.BPE(unk_token="<unk>"))
        made.normalizer = normalizers.Replace(" ", "▁")
        made.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=150, **special))
    elif kind == "words":
        made = Tokenizer(models.WordLevel(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Whitespace()
        made.train_from_iterator(corpus, trainers.WordLevelTrainer(**special))
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        made.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=350, initial_alphabet=alphabet, **special))
    made.save(str(place / "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "</s>", "cls_token": "</s>"}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **names}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    mode = {"tokenizer_mode": "clips"} if kind == "clips" else {}
    return HFTokenizer(str(place), context_length=24, trust_remote_code=False, **mode)


@pytest.fixture(scope="module", params=["clip77", "clip16", "bert", "bytes", "clips", "unigram", "sentences", "words"])
def pair(request, tmp_path_factory):
    """An untouched tokenizer, and a bounded one of the same kind."""
    own = untouched(request.param, tmp_path_factory.mktemp("tokens"))
    return own, tokenizing.bounded(copy.copy(own))


@settings(max_examples=60)
@given(caption=CAPTIONS)
def test_tokens_are_those_of_the_untouched_tokenizer(pair, caption):
    own, ours = pair
    assert torch.equal(ours([caption]), own([caption]))


@settings(max_examples=25)
@given(word=WORDS, behind=st.sampled_from(["", " a dog", "\nthe end", "\nthe end" * 400]))
def test_an_endless_word_has_the_tokens_of_the_untouched_tokenizer(pair, word, behind):
    own, ours = pair
    for text in (word + behind, (word * 12)[:6000] + behind):
        if isinstance(own, SimpleTokenizer) and len(text) > 2000:
            continue  # its time is the square of that
        assert torch.equal(ours([text, "a dog"]), own([text, "a dog"]))


@given(word=st.text("abcdeist", min_size=1, max_size=60))
def test_pieces_are_merged_as_clips_own_code_merges_them(word):
    own = SIMPLE
    assert tokenizing.merged([*word[:-1], f"{word[-1]}</w>"], own.bpe_ranks) == own.bpe(word).split(" ")


def test_a_pair_that_two_ways_lead_to_is_merged_pass_by_pass():
    ranks = {("b", "c"): 0, ("abc", "a"): 1, ("a", "bc"): 2}
    assert tokenizing.merged("abcabc", ranks) == ["abc", "abc"]
    assert tokenizing.merged("abcaa", ranks) == ["abca", "a"]
    assert tokenizing.merged("aaaaa", {("a", "a"): 0, ("aa", "aa"): 1}) == ["aaaa", "a"]


SIMPLE = SimpleTokenizer()
MEGABYTE = {
    "word": "qzxkjw" * 170_000,
    "one letter": "a" * 1_000_000,
    "lines": "ab\n" * 333_333,
    "marks": "!?." * 333_333,
    "words": "a dog " * 170_000,
    "unknown, then words": "z" * 500_000 + " a dog" * 80_000,
    "emoji": "🙂" * 1_000_000,
}


@pytest.mark.parametrize("name", MEGABYTE)
def test_a_megabyte_costs_no_more_than_its_cleaning(pair, name):
    _, ours = pair
    ours(["a dog"])
    start = time.process_time()
    ours([MEGABYTE[name]])
    assert time.process_time() - start < 3  # 0.4 at most; the untouched ones take minutes for some


def test_the_words_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(tokenizing, "CACHED", 50)
    own = SimpleTokenizer()
    ours = tokenizing.bounded(own)
    texts = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)}x" for n in range(400)]
    assert torch.equal(ours(texts), SimpleTokenizer()(texts))
    assert set(own.cache) == {"<start_of_text>", "<end_of_text>"}
    assert len(ours._known) <= 50


def test_a_tokenizer_that_keeps_the_end_of_a_text_gets_all_of_it(tmp_path):
    own = untouched("words", tmp_path)
    own.tokenizer.truncation_side = "left"
    text = "the " * 3000 + "dog"
    kept = own([text])
    assert torch.equal(tokenizing.bounded(own)([text]), kept)
