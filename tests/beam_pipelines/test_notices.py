"""What is not needed of a sample costs its field and not the pair, and is counted wherever people look."""

import json
import re
import struct
import zlib

import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from transforms.lib.tar.writer import END_OF_ARCHIVE, write_member, write_sample


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(kind, data):
    """Returns a PNG with a chunk behind its header."""
    plain = picture(7, "PNG")
    return plain[:33] + chunk(kind, data) + plain[33:]


def one_pixel():
    import io

    from PIL import Image

    sink = io.BytesIO()
    Image.new("RGB", (1, 1)).save(sink, "GIF")
    return sink.getvalue()


def field(**fields):
    return json.dumps(fields).encode()


SAMPLES = {
    "nan": {"jpg": picture(1), "txt": b"a thing", "json": field(punsafe=float("nan"))},
    "list": {"jpg": picture(2), "txt": b"a thing", "json": b"[1, 2]"},
    "broken": {"jpg": picture(3), "txt": b"a thing", "json": b'{"uid": '},
    "twice": {"jpg": picture(4), "txt": b"a thing", "json": b'{"a": 1, "a": 2}'},
    "size": {"jpg": picture(5), "txt": b"a thing", "json": field(original_width="wide", original_height=7)},
    "text": {"png": png_with(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20))), "txt": b"a thing"},
    "profile": {"png": png_with(b"iCCP", b"p\0\0" + zlib.compress(bytes(2 << 20))), "txt": b"a thing"},
    "pixel": {"gif": one_pixel(), "txt": b"a thing"},
    "plain": {"jpg": picture(6), "txt": b"a thing", "json": field(original_width=1024.0, original_height="768")},
    **{f"same{n}": {"jpg": picture(8), "txt": f"thing number {n}".encode()} for n in range(10)},
    **{f"few{n}": {"jpg": picture(9), "txt": f"thing number {n}".encode()} for n in range(9)},
}
NOTICED = {
    "nan": "json_not_finite",
    "list": "json_unreadable",
    "broken": "json_unreadable",
    "twice": "json_repeated_field",
    "size": "size_unreadable",
    "text": "image_metadata",
    "profile": "image_metadata",
    "pixel": "one_pixel",
    **{f"same{n}": "placeholder" for n in range(10)},
}
COUNTED = {
    "image_metadata": 2,
    "json_not_finite": 1,
    "json_repeated_field": 1,
    "json_unreadable": 2,
    "one_pixel": 1,
    "placeholder": 10,
    "size_unreadable": 1,
}


@pytest.fixture
def pool(tmp_path):
    (tmp_path / "pool").mkdir()
    tar = write_member("._nan.jpg", b"Mac OS X")
    tar += b"".join(write_sample(key, list(members.items())) for key, members in SAMPLES.items())
    (tmp_path / "pool/0.tar").write_bytes(tar + END_OF_ARCHIVE)
    return tmp_path / "pool/*.tar"


def test_every_pair_is_used_and_what_is_odd_is_counted(winnow, pool, tmp_path, tiny_network):
    out = tmp_path / "out"
    code, stdout, stderr = winnow("score", "--input", pool, "--output", out, "--model", f"tiny={tiny_network}")
    assert code == 0
    rows = pq.read_table(out / "columns/index/0.parquet").to_pylist()
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["key"]: row["notices"] for row in rows if row["notices"]} == NOTICED
    plain = next(row for row in rows if row["key"] == "plain")
    assert (plain["original_width"], plain["original_height"]) == (1024, 768)
    counters = json.loads(stdout)["counters"]
    assert {f"score.notice_{kind}": count for kind, count in COUNTED.items()}.items() <= counters.items()
    assert "2 samples have a json member that is no JSON object" in stderr

    code, _, stderr = winnow("select", "--output", out, "--recipe", "no_filter")
    assert code == 0
    assert json.loads((out / "books.json").read_text())["notices"] == COUNTED
    assert "noticed, placeholder                          10" in stderr
    page = (out / "report.html").read_text()
    assert "10 samples have an image that ten or more captions" in page
    assert re.search(r"members that belong to no sample \(.*a Mac.*\) and are left out: 1<", page)


def test_json_that_the_caption_needs_is_still_a_reason(winnow, tmp_path, tiny_network):
    (tmp_path / "pool").mkdir()
    good = write_sample("a", [("jpg", picture(1)), ("json", b'{"caption": "a thing"}')])
    bad = write_sample("b", [("jpg", picture(2)), ("json", b'{"caption": ')])
    (tmp_path / "pool/0.tar").write_bytes(good + bad + END_OF_ARCHIVE)
    flags = ["--input", tmp_path / "pool/0.tar", "--output", tmp_path / "out", "--model", f"tiny={tiny_network}"]
    assert winnow("score", *flags)[0] == 0
    rows = pq.read_table(tmp_path / "out/columns/index/0.parquet").to_pylist()
    assert [(row["status"], row["notices"]) for row in rows] == [("ok", ""), ("json_invalid", "")]
