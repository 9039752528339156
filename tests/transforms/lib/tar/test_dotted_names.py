"""Dots in names: webdataset's rule where it gives samples, and the whole name up to the extension where it does not."""

import io

import pytest

from transforms.lib.errors import Reason
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, members_of, read_samples, write_member


def grouped(*names):
    """Returns (key, extensions) of each sample, and checks that each sample's bytes give the same members again."""
    data = b"".join(write_member(name, name.encode()) for name in names) + END_OF_ARCHIVE
    samples = list(read_samples(io.BytesIO(data)))
    for sample in samples:
        if sample.problem is None:
            block = data[sample.offset : sample.offset + sample.length]
            assert members_of(block) == list(sample.members.items())
    return [(sample.key, list(sample.members) or sample.problem) for sample in samples]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["22.05.png", "22.05.txt", "22.06.png", "22.06.txt", "23.05.png", "23.05.txt"],
            [("22.05", ["png", "txt"]), ("22.06", ["png", "txt"]), ("23.05", ["png", "txt"])],
        ),
        (["a/v1.2.3.jpg", "a/v1.2.3.json", "a/v1.2.4.jpg"], [("a/v1.2.3", ["jpg", "json"]), ("a/v1", ["2.4.jpg"])]),
        (["s0.input.jpg", "s0.outputs.txt", "s1.input.jpg"],
         [("s0", ["input.jpg", "outputs.txt"]), ("s1", ["input.jpg"])]),
        (["s0.jpg", "s0.seg.png", "s0.txt"], [("s0", ["jpg", "seg.png", "txt"])]),
        (["s0.seg.png", "s0.seg.json", "s0.jpg"], [("s0", ["seg.png", "seg.json", "jpg"])]),
        (["s.left.jpg", "s.right.jpg", "s.txt"], [("s", ["left.jpg", "right.jpg", "txt"])]),
        (["22.05.png", "22.05.txt", "23.0.png", "23.0.txt", "22.07.png", "22.07.txt"],
         [("22.05", ["png", "txt"]), ("23.0", ["png", "txt"]), ("22.07", ["png", "txt"])]),
        (["22.05.png", "22.05.txt", "23.png", "22.05.png"],
         [("22.05", ["png", "txt"]), ("23", ["png"]), ("22", Reason.DUPLICATE_KEY)]),
        (["s0.input.jpg", "s0.o.txt", "t.jpg", "s0.jpg"],
         [("s0", ["input.jpg", "o.txt"]), ("t", ["jpg"]), ("s0", Reason.DUPLICATE_KEY)]),
        (["22.05.png", "22.05.txt", "22.06.png", "22.06.png", "22.07.png", "22.07.txt"],
         [("22.05", ["png", "txt"]), ("22", Reason.DUPLICATE_KEY), ("22.07", ["png", "txt"])]),
    ],
)  # fmt: skip
def test_samples_of_names_with_dots(names, expected):
    assert grouped(*names) == expected
