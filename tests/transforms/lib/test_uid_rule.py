"""Rule 2 of uids, against its words."""

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.lib import uid_rule

UUID = "550e8400-e29b-41d4-a716-446655440000"
NOTHING = hashlib.sha256(b"").digest()


def hashed(*parts):
    text = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(text).hexdigest()[:32]


@pytest.mark.parametrize(
    ("text", "uid"),
    [("F", "f".zfill(32)), ("00aB", "ab".zfill(32)), ("0" * 32, "0" * 32), ("1000", "1000".zfill(32)),
     (" 1f\n", "1f".zfill(32)), (UUID, uuid.UUID(UUID).hex), (UUID.upper(), uuid.UUID(UUID).hex),
     (f"{{{UUID}}}", uuid.UUID(UUID).hex), (f"urn:uuid:{UUID}", uuid.UUID(UUID).hex)],
)  # fmt: skip
def test_numbers_and_uuids_are_taken_as_they_are(text, uid):
    assert uid_rule.of_text(text) == uid


@pytest.mark.parametrize(
    "text", ["coco_17", "1" * 33, "0x1f", "-1", "g", "١", "550e8400e29b-41d4-a716-446655440000", "é"]
)
def test_any_other_text_is_hashed(text):
    assert uid_rule.of_text(text) == hashed(b"winnow uid text", text.encode())


def test_the_hash_of_texts_is_fixed_for_ever():
    assert uid_rule.of_text("coco_17") == "6ba7646ff1e5fcb43a450cc719aaf72a"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a b", "a b"), (7, "7"), (7.0, "7"), (-7, "-7"), (1.5, "1.5"), (10**21, "1" + "0" * 21), (0, "0"), (None, None),
     ("", None), ("  ", None), (True, None), (float("nan"), None), (float("inf"), None), ([], None), ({"a": 1}, None)],
)  # fmt: skip
def test_texts_and_numbers_name_a_sample(value, text):
    assert uid_rule.text_of(value) == text
    found = uid_rule.named({"uid": value}, "key", "uid")
    if text is None:
        assert found is None
    else:
        assert found == (uid_rule.of_text(text), "" if uid_rule.is_uid(text) else text)


def test_the_field_comes_first_then_a_key_of_ours():
    ours = "0123456789abcdef" * 2
    assert uid_rule.named({"uid": "1"}, f"{ours}-0", "uid") == ("1".zfill(32), "")
    assert uid_rule.named({"uid": "1", "id": "x"}, f"{ours}-0", "id") == (uid_rule.of_text("x"), "x")
    for field in ("none", "id", "uid"):
        document = {} if field == "uid" else {"uid": "1"}
        assert uid_rule.named(document, f"{ours}-12", field) == (ours, "")
        for key in (ours, f"{ours}-", f"{ours}-a", f"{ours.upper()}-0", f"x{ours}-0", f"{ours[1:]}-0", f"a/{ours}-0"):
            assert uid_rule.named(document, key, field) is None


def test_a_very_long_or_broken_text_is_kept_in_part():
    assert uid_rule.named({"uid": "x" * 5000}, "k", "uid") == (uid_rule.of_text("x" * 5000), "x" * 1000)
    uid, text = uid_rule.named({"uid": "a\ud800"}, "k", "uid")
    assert text == "a?"
    assert uid != uid_rule.of_text("a?")


def test_what_nothing_names_is_hashed_by_what_it_is():
    image = hashlib.sha256(b"image").digest()
    assert uid_rule.of_content("k", image, b"caption") == hashed(b"winnow uid 2", b"k", image, b"caption")
    assert uid_rule.of_content("k", image, b"caption") == "cad99bc39bba8b8b55e46ce7a52f975a"
    variants = [
        ("k", image, b"caption"),
        ("l", image, b"caption"),
        ("k", NOTHING, b"caption"),
        ("k", image, b"Caption"),
    ]
    assert len({uid_rule.of_content(*variant) for variant in variants}) == 4


@pytest.mark.parametrize(
    ("members", "document", "stored"),
    [({"txt": b" a\xff"}, {"caption": "b"}, b" a\xff"), ({"txt": b""}, {"caption": "b"}, b""),
     ({}, {"caption": "b"}, b"b"), ({}, {"caption": ["b", "c"]}, b'["b","c"]'), ({}, {"caption": None}, b""),
     ({}, {}, b""),
     ({}, {"caption": "a\ud800"}, b"a\xed\xa0\x80")],
)  # fmt: skip
def test_the_caption_is_that_which_is_stored(members, document, stored):
    assert uid_rule.stored_caption(members, document) == stored


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_names_are_different_samples(one, other):
    assert (uid_rule.of_text(one) == uid_rule.of_text(other)) == (
        one == other
        or (uid_rule.is_uid(one.strip()) and uid_rule.is_uid(other.strip()) and int(one, 16) == int(other, 16))
    )
