"""What every form of output shards must do; a new form is tested once its module is there."""

import importlib
import inspect
import io
import pkgutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.lib import registry, reshard
from transforms.lib.errors import InputError
from transforms.lib.reshard import shard_formats
from transforms.lib.reshard.shard_format import ShardFormat

NAMES = list(registry.FORMATS)
KEYS = [f"{number:032x}-{copy}" for number in range(20) for copy in (0, 1)]
MEMBERS = {
    "plain": [("jpg", b"\xff\xd8not an image"), ("txt", "café".encode()), ("json", b'{"a": 1}')],
    "no text": [("txt", b"\xff\xfe"), ("json", b"\xff")],
    "empty": [("txt", b""), ("jpg", b""), ("cls", b"")],
    "dots": [("emb.npy", b"1"), ("tar.gz", b"2"), ("a.b.c.d", b"3")],
    "names of columns": [("key", b"1"), ("uid", b"2"), ("image", b"3"), ("caption", b"4"), ("members", b"5")],
    "letters": [("größe", b"1"), ("北京", b"2"), ("with space", b"3"), ("a=b", b"4"), ("_", b"5"), ("x" * 120, b"6")],
    "two images": [("png", b"1"), ("jpg", b"2"), ("webp", b"3")],
    "large": [("bin", bytes(range(256)) * 5000)],
}


@pytest.fixture(params=NAMES)
def form(request):
    return shard_formats.format_of(request.param)


def written(form, samples):
    sink = io.BytesIO()
    form.write(iter(samples), sink)
    return sink.getvalue()


def read(form, data):
    return [(key, dict(members)) for key, members in form.read(io.BytesIO(data))]


def as_dicts(samples):
    return [(key, dict(members)) for key, members in samples]


def samples_of(members):
    return [(key, members) for key in KEYS[:3]]


def test_every_form_is_registered_and_has_a_suffix_of_its_own():
    classes = {
        value
        for module in pkgutil.iter_modules(reshard.__path__, f"{reshard.__name__}.")
        for _, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if issubclass(value, ShardFormat) and not inspect.isabstract(value)
    }
    assert classes == {entry.load() for entry in registry.FORMATS.values()}
    suffixes = [shard_formats.format_of(name).suffix for name in NAMES]
    assert len(set(suffixes)) == len(NAMES)
    assert all(suffix.startswith(".") for suffix in suffixes)


@pytest.mark.parametrize("kind", MEMBERS)
def test_what_is_written_is_read_back_to_the_byte(form, kind):
    samples = samples_of(MEMBERS[kind])
    assert read(form, written(form, samples)) == as_dicts(samples)


def test_samples_stay_in_their_order(form):
    samples = [(key, [("txt", key.encode())]) for key in KEYS[::-1]]
    assert read(form, written(form, samples)) == as_dicts(samples)


def test_a_shard_without_samples_is_read_back_as_none(form):
    assert read(form, written(form, [])) == []


@pytest.mark.parametrize("kind", MEMBERS)
def test_bytes_are_a_function_of_the_samples(form, kind):
    samples = samples_of(MEMBERS[kind])
    again = [(key, [(name, bytes(bytearray(data))) for name, data in members]) for key, members in samples]
    assert written(form, samples) == written(shard_formats.format_of(form.name), again)
    changed = [*samples[:-1], (samples[-1][0], [*samples[-1][1][:-1], (samples[-1][1][-1][0], b"other")])]
    assert written(form, samples) != written(form, changed)


def test_a_file_of_another_form_is_refused(form):
    others = [name for name in NAMES if name != form.name]
    for name in others:
        data = written(shard_formats.format_of(name), samples_of(MEMBERS["plain"]))
        with pytest.raises((ValueError, InputError)):
            read(form, data)


def test_a_file_that_ends_early_is_refused(form):
    data = written(form, samples_of(MEMBERS["large"]))
    for size in (len(data) // 2, len(data) - 2000):
        with pytest.raises((ValueError, InputError)):
            read(form, data[:size])


def test_columns_beside_the_samples_change_no_sample(form):
    samples = [(key, [("txt", key.encode())]) for key in KEYS]
    sink = io.BytesIO()
    scores = np.arange(len(KEYS), dtype=np.float32)
    form.write(iter(samples), sink, pa.table({"net_score": scores}))
    assert read(form, sink.getvalue()) == as_dicts(samples)
    if form.holds_columns:
        sink.seek(0)
        assert np.array_equal(pq.read_table(sink)["net_score"].to_numpy(), scores)
