import json

import pytest

from tests.conftest import picture
from transforms.lib import labelled
from transforms.lib.errors import ConfigError, InputError


@pytest.mark.parametrize(
    ("members", "field", "expected"),
    [
        ({"cls": b" 7\n"}, "", "7"),
        ({"cls": b"  "}, "", None),
        ({"txt": b"x"}, "", None),
        ({"json": json.dumps({"y": 3}).encode()}, "y", "3"),
        ({"json": json.dumps({"y": "a dog"}).encode()}, "y", "a dog"),
        ({"json": json.dumps({"y": True}).encode()}, "y", None),
        ({"json": json.dumps({"y": None}).encode(), "cls": b"1"}, "y", None),
    ],
)
def test_labels_of_samples(members, field, expected):
    assert labelled.label_of(members, field) == expected


def pictures(*labels):
    return [labelled.Picture(picture(1), label) for label in labels]


def test_classes_are_numbered_by_name_or_by_the_file():
    found = labelled.gather(pictures("big_dog", "ant", "big_dog"), None)
    assert (found.names, found.labels) == (["ant", "big dog"], [1, 0, 1])
    found = labelled.gather(pictures("2", "cat", "0"), ["dog", "cat", "hen"])
    assert (found.names, found.labels) == (["dog", "cat", "hen"], [2, 1, 0])
    found = labelled.gather(pictures("n02", "n01"), ["dog", "cat"], ordered=True)
    assert found.labels == [1, 0]


def test_labels_out_of_range_are_named():
    with pytest.raises(ConfigError, match=r"1 labels are none of them \(5"):
        labelled.gather(pictures("0", "5"), ["dog", "cat"])


def test_prompts_are_clips_or_those_of_a_file(tmp_path):
    assert len(labelled.templates()) == 80
    assert "itap of a {}." in labelled.templates()
    (tmp_path / "p.txt").write_text("a {} {{}}\n\nthe {}\n")
    lines = labelled.templates(str(tmp_path / "p.txt"))
    assert labelled.prompts(["dog", "cat"], lines[1:]) == ["the dog", "the cat"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        labelled.templates(str(tmp_path / "empty.txt"))
