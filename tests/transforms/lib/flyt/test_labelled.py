import json

import pytest

from tests.conftest import picture
from transforms.lib.errors import ConfigError, InputError, Reason
from transforms.lib.flyt import labelled
from transforms.lib.tar import shard_samples


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


def gathered(tmp_path, folders, names):
    """Returns class -> what it is called, of a folder whose class folders hold so many good pictures, -1 a broken."""
    for name, count in folders.items():
        (tmp_path / name).mkdir()
        for number in range(abs(count)):
            (tmp_path / name / f"{number}.jpg").write_bytes(picture(number) if count > 0 else b"broken")
    places = [place.name for place in labelled.class_folders(tmp_path)]
    read = list(labelled.from_folder(tmp_path))
    found = labelled.gather(read, names, places)
    good = [entry for entry in read if isinstance(entry, labelled.Picture)]
    return {p.label: found.names[number] for p, number in zip(good, found.labels, strict=True)}


@pytest.mark.parametrize(("absent", "count"), [("b", 0), ("b", -1), ("a", 0)])
def test_a_folder_without_a_picture_keeps_its_number(tmp_path, absent, count):
    folders = {**dict.fromkeys("abcd", 1), absent: count}
    expected = dict(zip("abcd", ("ant", "bee", "cow", "dog"), strict=True))
    del expected[absent]
    assert gathered(tmp_path, folders, ["ant", "bee", "cow", "dog"]) == expected


def test_folders_that_are_numbers_are_those_numbers(tmp_path):
    names = [f"thing {number}" for number in range(11)]
    assert gathered(tmp_path, {str(n): int(n != 4) for n in range(11)}, names) == {
        str(n): f"thing {n}" for n in range(11) if n != 4
    }


def test_folders_that_are_called_as_in_the_file_are_those_classes(tmp_path):
    found = gathered(tmp_path, {"Big_dog": 1, "ant": 1, ".cache": 1}, ["hen", "big dog", "cow", "ant"])
    assert found == {"Big_dog": "big dog", "ant": "ant"}


def test_labels_that_are_all_in_the_file_are_names_even_where_they_are_numbers():
    found = labelled.gather(pictures("1", "2"), ["2", "3", "1"])
    assert found.labels == [2, 0]


@pytest.mark.parametrize(
    ("folders", "names", "told"),
    [
        ("n1 n2 n3", "ant bee", r"has 2 names, and --downstream 3 class folders that are none of them \(n1"),
        ("n1 n2", "ant bee cow", r"has 3 names, and --downstream 2 class folders.*a name for each folder"),
        ("ant bee cows", "bee cow ant", r"has 3 names, and 1 labels are none of them \(cows"),
        ("1 2 3", "ant bee cow", r"1 labels are none of them \(3 .*0 for the first line, so up to 2"),
        ("crane bee", "crane bee crane", r"1 labels are none of them \(crane .*a name that comes once"),
    ],
)
def test_folders_that_fit_the_file_in_no_way_are_refused(tmp_path, folders, names, told):
    with pytest.raises(ConfigError, match=told):
        gathered(tmp_path, dict.fromkeys(folders.split(), 1), names.split())


@pytest.mark.parametrize("label", ["5", "-1", "²", "٣", "9" * 5000])
def test_labels_of_shards_that_have_no_name_are_told(label):
    with pytest.raises(ConfigError, match=rf"1 labels are none of them \({label[:80]} "):
        labelled.gather(pictures("0", label), ["dog", "cat", "hen", "cow"])


def test_what_is_left_out_is_counted_by_reason(tmp_path):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.png", "stray.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture(1) if name != "cat/2.jpg" else b"broken")
    (tmp_path / "cat/readme.txt").write_text("no picture, and not meant to be one")
    found = labelled.gather(labelled.from_folder(tmp_path), None)
    assert (len(found.labels), found.left_out) == (2, {"image_undecodable": 1, "label_missing": 1})
    good = {"jpg": picture(1), "json": b'{"y": 3}'}
    samples = [
        good, {**good, "json": b'{"y": 4}'}, {**good, "json": b"{"}, {**good, "json": b"{}"}, {"jpg": picture(1)},
        {"json": b'{"y": 3}'}, {**good, "jpg": b"broken"},
    ]  # fmt: skip
    raw = [shard_samples.RawSample(str(n), 0, 0, members) for n, members in enumerate(samples)]
    raw.append(shard_samples.RawSample("7", 0, 0, {}, Reason.DUPLICATE_KEY))
    found = labelled.gather(labelled.from_samples(raw, "y"), ["a"] * 5)
    assert found.labels == [3, 4]
    assert found.left_out == {
        "json_invalid": 1, "label_missing": 2, "image_missing": 1, "image_undecodable": 1, "duplicate_key": 1,
    }  # fmt: skip


def test_a_blank_line_among_class_names_is_told_since_it_would_shift_the_rest(tmp_path):
    (tmp_path / "names.txt").write_text("\ufeffant\nbee \n\n\n", "utf-8")
    assert labelled.class_names(str(tmp_path / "names.txt")) == ["ant", "bee"]
    (tmp_path / "names.txt").write_text("ant\n\nbee\n")
    with pytest.raises(InputError, match="line 2 is blank"):
        labelled.class_names(str(tmp_path / "names.txt"))


def test_prompts_are_clips_or_those_of_a_file(tmp_path):
    assert len(labelled.templates()) == 80
    assert "itap of a {}." in labelled.templates()
    (tmp_path / "p.txt").write_text("a {} {{}}\n\nthe {}\n")
    lines = labelled.templates(str(tmp_path / "p.txt"))
    assert labelled.prompts(["dog", "cat"], lines[1:]) == ["the dog", "the cat"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="is empty"):
        labelled.templates(str(tmp_path / "empty.txt"))
