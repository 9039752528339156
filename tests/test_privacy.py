"""What whole runs say, on the terminal and in the logs of workers, holds nothing of the samples and no credential."""

import json
import logging
import re

import pytest

from tests.conftest import picture
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, write_member

SECRET = "AKIA0SECRET0SIGNATURE"
CAPTION, KEY, URL, UID = (
    "zebra-caption",
    "zebra-key",
    "zebra-host.example",
    "5ebra0000000000000000000000000aa".replace("r", "a"),
)
LOST = ("--max_unreadable_fraction", "0.5")  # one of the shards is no tar
SAID = ("zebra", UID[:8], SECRET)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
HOSTILE = "\x1b]0;zebra\x07\x1b[2J\u202ezebra"


def sample(number, **members):
    """Returns a sample in whose members the words of ``SAID`` are."""
    document = {"uid": f"{UID[:28]}{number:04x}", "url": f"https://{URL}/{number}.jpg?sig={SECRET}", "author": HOSTILE}
    pair = {
        "jpg": picture(number),
        "txt": f"{CAPTION} {number} {HOSTILE}".encode(),
        "json": json.dumps(document).encode(),
    }
    return b"".join(
        write_member(f"{KEY}{number}.{name}", data) for name, data in {**pair, **members}.items() if data is not None
    )


def hostile_pool(folder):
    """Writes two shards, in which every kind of rejection has something of ``SAID``."""
    folder.mkdir()
    good = b"".join(sample(number) for number in range(20))
    bad = [
        sample(100, jpg=b"\xff\xd8 no picture " + CAPTION.encode()),
        sample(101, txt=None),
        sample(102, txt=CAPTION.encode() + b"\xff"),
        sample(103, json=b'{"url": "' + URL.encode()),
        sample(104, jpg=None),
        sample(5),
        write_member(f"{KEY}105.jpg", picture(105)) + write_member(f"{KEY}105.jpg", picture(105)),
        write_member(f"{KEY}106.jpg", picture(106)).replace(b"zebra-key106", b"../zebra1066"),
        write_member(f"{KEY}\u202e107.zebra", b"x"),
    ]
    damaged = bytearray(sample(108))
    damaged[:90] = b"\xff" * 90
    (folder / "00000.tar").write_bytes(good + b"".join(bad) + bytes(damaged) + sample(109) + END_OF_ARCHIVE)
    (folder / "00001.tar").write_bytes(b"".join(sample(number) for number in range(200, 210))[:-2000])
    (folder / "00002.tar").write_bytes(b"<html>" + CAPTION.encode() + HOSTILE.encode())
    return folder


@pytest.fixture
def said(winnow, caplog):
    """Runs jobs and returns all that they said so far, above DEBUG."""
    caplog.set_level(logging.INFO)
    texts = []

    def run(*args, code=0):
        done, stdout, stderr = winnow(*args)
        assert done == code, stderr
        texts.extend((stdout, stderr, *(record.getMessage() for record in caplog.records)))
        texts.extend(record.exc_text or "" for record in caplog.records)
        return "\n".join(texts)

    return run


def check(text):
    """Asserts that a text holds nothing of the samples, nothing secret, and nothing that moves a terminal."""
    for word in SAID:
        at = text.find(word)
        assert at < 0, text[max(at - 200, 0) : at + 200]
    found = CONTROL.search(text)
    assert found is None, repr(text[max(found.start() - 100, 0) : found.end() + 100])


def test_nothing_of_the_samples_is_said_above_debug(said, tiny_network, tmp_path):
    pool, out = hostile_pool(tmp_path / "pool"), tmp_path / "out"
    reading = (
        "--input",
        f"{pool}/*.tar",
        "--model",
        f"net={tiny_network}",
        "--max_unreadable_fraction",
        "0.5",
        "--verbose",
    )
    choosing = ("--keep_fraction", "0.5", "--max_reject_fraction", "0.9")
    check(said("score", *reading, "--output", out))
    check(said("select", "--output", out, *choosing, *LOST, "--verbose"))
    check(said("reshard", "--output", out, "--samples_per_shard", "5", "--verbose"))
    check(said("dedup", "--output", out))
    check(said("annotate", "--output", out, "--columns", "caption"))
    check(said("verify", "--output", out))
    check(said("curate", *reading, *choosing, "--output", tmp_path / "curated"))
    assert "done, " in said("select", "--output", out, *LOST, code=1), "the lines of workers are in it"
    check(said("select", "--output", out, *LOST, code=1))  # too many are rejected


def test_a_signature_of_an_address_is_never_said(said, web, tiny_network, tmp_path):
    pool = hostile_pool(tmp_path / "pool")
    for path in pool.iterdir():
        web.upload(f"private/{path.name}", path.read_bytes())
    uris = [f"{web.uri(f'private/{path.name}')}?X-Amz-Signature={SECRET}" for path in sorted(pool.iterdir())]
    listed = tmp_path / "pool.txt"
    listed.write_text("\n".join(uris))
    flags = ("--model", f"net={tiny_network}", "--keep_fraction", "0.5", "--max_reject_fraction", "0.9", "--verbose")
    check(said("curate", "--input", f"@{listed}", "--output", tmp_path / "out", *flags, *LOST))
    gone = tmp_path / "gone.txt"
    gone.write_text(uris[0].replace("00000", "00009"))
    check(said("curate", "--input", f"@{gone}", "--output", tmp_path / "none", *flags, code=2))
    check(said("curate", "--input", f"@{listed}", "--output", tmp_path / "out2", *flags, code=1))  # one shard is no tar


@pytest.mark.parametrize("job", ["explain", "export"])
def test_what_a_command_shows_of_a_sample_cannot_move_the_terminal(winnow, tiny_network, tmp_path, job):
    pool, out = hostile_pool(tmp_path / "pool"), tmp_path / "out"
    flags = ("--keep_fraction", "0.5", "--max_reject_fraction", "0.9", *LOST)
    code, _, stderr = winnow(
        "curate", "--input", f"{pool}/*.tar", "--output", out, "--model", f"net={tiny_network}", *flags
    )
    assert code == 0, stderr
    if job == "explain":
        code, stdout, stderr = winnow("explain", f"{UID[:28]}0000", "--output", out)
    else:
        code, stdout, stderr = winnow("export", "--output", out, "--columns", "key,caption", "--to", tmp_path / "x.csv")
    assert code == 0, stderr
    assert CONTROL.search(stdout + stderr) is None
