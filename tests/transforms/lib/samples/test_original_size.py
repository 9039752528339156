import pytest

from transforms.lib.samples.index_row import original_size


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"original_width": 1024, "original_height": 300}, (1024, 300)),
        ({}, (512, 150)),
        ({"original_width": 1024}, (512, 150)),
        ({"original_width": None, "original_height": None}, (512, 150)),
        ({"original_width": "1024", "original_height": "300"}, (512, 150)),
        ({"original_width": 1024.0, "original_height": 300.0}, (512, 150)),
        ({"original_width": True, "original_height": True}, (512, 150)),
        ({"original_width": 0, "original_height": 300}, (512, 150)),
        ({"original_width": 2**31, "original_height": 300}, (512, 150)),
    ],
)
def test_the_json_tells_the_original_size_or_the_image_does(document, expected):
    found = original_size(document, 512, 150)
    assert (found["original_width"], found["original_height"]) == expected
