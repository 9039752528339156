"""Captions: where they come from, and each way in which they can be bad."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples.captions import MAX_JSON_BYTES, CaptionRule, caption_of, json_of


def reason_of(members, json_field=""):
    with pytest.raises(SampleError) as caught:
        caption_of(members, json_field)
    assert caught.value.detail
    return caught.value.reason


@pytest.mark.parametrize(
    ("members", "json_field", "expected"),
    [
        ({"txt": b"a cat"}, "", "a cat"),
        ({"txt": b"\xef\xbb\xbfa cat\n"}, "", "a cat"),
        ({"txt": b" \t a\r\ncat \x00 x \n"}, "", "a\r\ncat \x00 x"),
        ({"txt": "\u3000猫\u00a0".encode()}, "", "猫"),
        ({"txt": b"a cat", "json": b"broken"}, "", "a cat"),
        ({"json": b'{"caption": "a dog"}'}, "", "a dog"),
        ({"json": b'\xef\xbb\xbf{"caption": "caf\\u00e9"}'}, "", "café"),
        ({"txt": b"a cat", "json": b'{"alt": " a dog "}'}, "alt", "a dog"),
        ({"txt": b"\xff", "json": b'{"alt": "a dog"}'}, "alt", "a dog"),
        ({"json": b'{"caption": "\\ud83d\\ude00"}'}, "", "\U0001f600"),
    ],
)
def test_finds_the_caption(members, json_field, expected):
    assert caption_of(members, json_field) == expected


@pytest.mark.parametrize(
    ("members", "json_field", "reason"),
    [
        ({}, "", Reason.CAPTION_MISSING),
        ({"txt": b""}, "", Reason.CAPTION_MISSING),
        ({"txt": b"\xef\xbb\xbf \n\t"}, "", Reason.CAPTION_MISSING),
        ({"txt": b"", "json": b'{"caption": "a dog"}'}, "", Reason.CAPTION_MISSING),
        ({"json": b"{}"}, "", Reason.CAPTION_MISSING),
        ({"json": b'{"caption": null}'}, "", Reason.CAPTION_MISSING),
        ({"json": b'{"caption": 7}'}, "", Reason.CAPTION_MISSING),
        ({"json": b'{"caption": "  "}'}, "", Reason.CAPTION_MISSING),
        ({"txt": b"a cat"}, "alt", Reason.CAPTION_MISSING),
        ({"txt": b"a cat", "json": b'{"caption": "a dog"}'}, "alt", Reason.CAPTION_MISSING),
        ({"txt": b"caf\xe9"}, "", Reason.CAPTION_NOT_UTF8),
        ({"txt": b"\xed\xa0\x80"}, "", Reason.CAPTION_NOT_UTF8),
        ({"txt": b"\xff\xfea\x00"}, "", Reason.CAPTION_NOT_UTF8),
        ({"json": b'{"caption": "\\ud800"}'}, "", Reason.CAPTION_NOT_UTF8),
        ({"json": b"{"}, "", Reason.JSON_INVALID),
        ({"txt": b"a cat", "json": b"[]"}, "alt", Reason.JSON_INVALID),
    ],
)
def test_names_what_is_wrong(members, json_field, reason):
    assert reason_of(members, json_field) is reason


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b'"text"',
        b"{'a': 1}",
        b'{"a": 1} x',
        b'{"a": "\xff"}',
        b'{"a": ' + b"1" * 5000 + b"}",
        b'{"a":' * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"a": "' + b"x" * MAX_JSON_BYTES + b'"}',
    ],
    ids=lambda data: repr(data[:12]),
)
def test_unreadable_json_is_invalid(data):
    with pytest.raises(SampleError) as caught:
        json_of({"json": data})
    assert caught.value.reason is Reason.JSON_INVALID
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_missing_and_counted(word):
    notices = set()
    assert json_of({"json": f'{{"a": {word}, "b": [1, {word}], "c": 2}}'.encode()}, notices) == {
        "a": None,
        "b": [1, None],
        "c": 2,
    }
    assert notices == {Notice.JSON_NOT_FINITE}


def test_of_a_field_that_comes_twice_the_last_one_counts():
    notices = set()
    assert json_of({"json": b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}'}, notices) == {"a": 3, "b": {"c": 2}}
    assert notices == {Notice.JSON_REPEATED_FIELD}


def test_json_of_a_sample_without_json_is_empty():
    assert json_of({"txt": b"x"}) == {}
    assert json_of({"json": b' {"uid": "0f", "n": [1, 2.5]} '}) == {"uid": "0f", "n": [1, 2.5]}


@given(st.text())
def test_any_text_that_is_not_blank_comes_back_stripped(text):
    stored = {"txt": text.encode()}, {"json": json.dumps({"caption": text}).encode()}
    for members in stored:
        if text.removeprefix("\ufeff").strip() and text.strip():
            expected = text.removeprefix("\ufeff") if "txt" in members else text
            assert caption_of(members) == expected.strip()
        elif not text.strip():
            assert reason_of(members) is Reason.CAPTION_MISSING


LIST = {"json": b'{"caption": ["one", " ", "a third one"], "alt": ["x"]}'}


@pytest.mark.parametrize(
    ("members", "rule", "expected"),
    [
        (LIST, CaptionRule(), "one"),
        (LIST, CaptionRule(pick="longest"), "a third one"),
        (LIST, CaptionRule(pick="all"), "one\na third one"),
        (LIST, CaptionRule(pick="best"), "one"),
        (LIST, CaptionRule("alt"), "x"),
        ({"txt": b'["one", "two"]'}, CaptionRule(), "one"),
        ({"txt": b'["one", 2]'}, CaptionRule(), '["one", 2]'),
        ({"txt": b"[sic] a cat]"}, CaptionRule(), "[sic] a cat]"),
        ({"txt": b"one\n\na third one\n"}, CaptionRule(), "one\n\na third one"),
        ({"txt": b"one\n\na third one\n"}, CaptionRule(pick="longest"), "a third one"),
        ({"txt": b"one\n\na third one\n"}, CaptionRule(pick="first"), "one"),
        ({"outputs.txt": b"thing"}, CaptionRule(member="outputs.txt"), "thing"),
        ({"txt": b"other", "cap": b"thing"}, CaptionRule(member="cap"), "thing"),
        ({"cap": b"thing"}, CaptionRule(), "thing"),
        ({"json": b"[]", "caption": b"thing"}, CaptionRule(), "thing"),
        ({"json": b'{"a": 1}', "text": b"thing"}, CaptionRule(), "thing"),
    ],
)
def test_one_of_several_captions_and_captions_under_other_names(members, rule, expected):
    assert caption_of(members, rule) == expected


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"outputs.txt": b"x"}, CaptionRule()),  # beside an image with a usual name it may be anything
        ({"cap": b"x", "text": b"y"}, CaptionRule()),
        ({"txt": b"x"}, CaptionRule(member="cap")),
        ({"json": b'{"caption": []}'}, CaptionRule()),
        ({"json": b'{"caption": ["one", 2]}'}, CaptionRule()),
        ({"json": b'{"caption": [" "]}'}, CaptionRule(pick="all")),
    ],
)
def test_what_may_be_something_else_is_no_caption(members, rule):
    assert reason_of(members, rule) is Reason.CAPTION_MISSING


def test_beside_an_image_under_another_name_the_one_text_is_the_caption():
    notices = set()
    assert caption_of({"outputs.txt": b"thing"}, "", notices, named=False) == "thing"
    assert notices == {Notice.CAPTION_MEMBER}
    with pytest.raises(SampleError):
        caption_of({"a.txt": b"x", "b.txt": b"y"}, "", named=False)
