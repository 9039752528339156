"""What is fuzzed: readers of bytes that a stranger wrote. Each may refuse its input only in the ways that it documents.

``TARGETS`` is name -> (function of bytes, seeds).
"""

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from beam_pipelines.planning import recipes
from transforms.lib.columnstore import columns, views
from transforms.lib.errors import ConfigError, InputError, SampleError
from transforms.lib.parquet_files import ParquetReader
from transforms.lib.recipes import parse, yaml_text
from transforms.lib.samples import images, index_row
from transforms.lib.tar.raw_sample import RawSample
from transforms.lib.tar.shard_samples import END_OF_ARCHIVE, open_tar, read_samples, write_member
from transforms.lib.tar_account import TarAccount
from transforms.lib.tar_limits import TarLimits
from transforms.outputs import json_files, sealed_json, stored_files

DATA = Path(__file__).parents[1] / "data"
MAX_PIXELS = 1 << 20
_TAR = TarLimits(max_member_bytes=1 << 20, max_unpacked_bytes=1 << 24, max_empty_members=1000)
_RULES = index_row.ReadRules(max_pixels=MAX_PIXELS, sample_digest="crc32c")


def tar(data):
    """The parser: no input raises, samples lie in order, and every byte has one account."""
    account = TarAccount()
    last = 0
    with contextlib.closing(open_tar(io.BytesIO(data), _TAR)) as stream:
        for sample in read_samples(stream, max_sample_bytes=1 << 20, account=account, limits=_TAR):
            assert sample.offset >= last or sample.problem is not None, (sample.offset, last)
            assert sample.length >= 0
            assert sample.offset + sample.length <= 1 << 25
            last = max(last, sample.offset)
    account.check("the input")


def index(data):
    """The reader of column files: another program's file too is read or refused in one line."""
    with contextlib.suppress(InputError), stored_files.as_written("x"):
        reader = ParquetReader(io.BytesIO(data), foreign=True)
        facts = columns.facts_of(reader.schema)
        stored_files.check_place(facts, "index", "0")
        views.of(reader.schema)
        if reader.rows <= 10_000:
            table = reader.read()
            assert len(table) == reader.rows
            table.validate(full=True)


def image(data):
    """The gate of images: pixels that were allowed, or a reason."""
    try:
        found = images.decode(data, max_pixels=MAX_PIXELS)
    except SampleError:
        return
    assert 0 < found.width * found.height <= MAX_PIXELS
    found.convert("RGB").tobytes()


def json(data):
    """The readers of json: a sample's member, and a file of the output folder."""
    row = index_row.look(RawSample("k", 0, len(data), {"jpg": b"\xff\xd8\xff", "json": data, "txt": b"x"}), _RULES).row
    index_row.look(RawSample("k", 0, len(data), {"jpg": b"\xff\xd8\xff", "json": data}), _RULES)
    pa.Table.from_pylist([row], schema=columns.INDEX_SCHEMA)
    with contextlib.suppress(InputError):
        sealed_json.is_as_written(json_files.parse(data, "x", "look"))


def recipe(data):
    """The reader of recipes: a recipe, or every problem in a line."""
    with contextlib.suppress(ConfigError):
        parse.parse(yaml_text.load(data.decode("utf-8", "replace")))


def _tars():
    members = [("a.jpg", b"\xff\xd8\xff"), ("a.txt", b"words"), ("b.c.jpg", b"x" * 600), ("d/e.json", b"{}")]
    plain = b"".join(write_member(name, data) for name, data in members) + END_OF_ARCHIVE
    yield plain
    yield plain[:-1024] * 2 + END_OF_ARCHIVE
    import bz2
    import gzip
    import lzma

    from backports import zstd

    yield from (gzip.compress(plain, mtime=0), bz2.compress(plain), lzma.compress(plain), zstd.compress(plain))
    yield from (path.read_bytes() for path in sorted((DATA / "tars").glob("*.tar")))


def _indexes():
    row = {field.name: "" if field.type == pa.string() else 0 for field in columns.INDEX_SCHEMA}
    table = pa.Table.from_pylist([row | {"key": str(n), "status": "ok"} for n in range(3)], schema=columns.INDEX_SCHEMA)
    yield columns.to_parquet(table, "s", set="index", shard="0", tar="{}")
    vectors = np.eye(3, 4, dtype=np.float32)
    yield columns.to_parquet(columns.score_table(np.zeros(3, np.float32), vectors, vectors), "s", set="index")
    yield columns.to_parquet(table.slice(0, 0), "s", set="index", view='{"uri":"x","size":1,"rows":1,"columns":{}}')


def _images():
    picture = Image.fromarray(np.arange(12 * 9 * 3, dtype=np.uint8).reshape(9, 12, 3))
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "PPM"):
        sink = io.BytesIO()
        picture.save(sink, kind)
        yield sink.getvalue()
    sink = io.BytesIO()
    picture.save(sink, "JPEG", progressive=True)
    yield sink.getvalue()
    yield b"P3 2 1 255 1 2 3 4 5 6\n"
    yield b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(10)


def _jsons():
    yield b'{"uid": "00ff", "caption": ["a", "b"], "original_width": 1024.0, "url": "http://x/y", "noai": true}'
    yield b'{"uid": 12, "original_width": "1e5", "original_height": 7, "a": NaN, "a": {"b": [null, -1.5e300]}}'
    yield b'{"sha256": "0", "sections": [], "crawl": {}}'


def _recipes():
    for name in recipes.recipe_names():
        yield (recipes.FOLDER / f"{name}.yaml").read_bytes()
    yield b"name: a\nsource: b\nsteps:\n- any:\n    of: [{threshold: {column: x, at_least: .inf}}]\n"


TARGETS = {
    "tar": (tar, _tars),
    "index": (index, _indexes),
    "image": (image, _images),
    "json": (json, _jsons),
    "recipe": (recipe, _recipes),
}
