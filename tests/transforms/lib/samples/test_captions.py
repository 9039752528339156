"""Captions: where they come from, and each way in which they can be bad."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib.errors import Notice, Reason, SampleError
from transforms.lib.samples.captions import MAX_JSON_BYTES, caption_of, json_of


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
