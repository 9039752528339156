import pytest

from transforms.lib.errors import Notice
from transforms.lib.samples.index_row import original_size


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"original_width": 1024, "original_height": 300}, (1024, 300)),
        ({"original_width": 1024.0, "original_height": 300.0}, (1024, 300)),  # pandas, beside a missing value
        ({"original_width": "1024", "original_height": " 300 "}, (1024, 300)),
        ({"original_width": "1024.0", "original_height": 300}, (1024, 300)),
        ({}, (512, 150)),
        ({"original_width": None, "original_height": None}, (512, 150)),
    ],
)
def test_the_json_tells_the_original_size_or_the_image_does(document, expected):
    notices = set()
    found = original_size(document, 512, 150, notices)
    assert (found["original_width"], found["original_height"]) == expected
    assert notices == set()


@pytest.mark.parametrize(
    "document",
    [
        {"original_width": 1024},
        {"original_width": 1024, "original_height": None},
        {"original_width": True, "original_height": True},
        {"original_width": 0, "original_height": 300},
        {"original_width": 2**31, "original_height": 300},
        {"original_width": 1024.5, "original_height": 300},
        {"original_width": "wide", "original_height": 300},
        {"original_width": "nan", "original_height": "inf"},
        {"original_width": "9" * 10_000, "original_height": 300},
        {"original_width": [1024], "original_height": 300},
    ],
)
def test_what_is_no_size_is_noticed_and_the_size_of_the_image_counts(document):
    notices = set()
    assert original_size(document, 512, 150, notices) == {"original_width": 512, "original_height": 150}
    assert notices == {Notice.SIZE_UNREADABLE}
