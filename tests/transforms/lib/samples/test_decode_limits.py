"""No image holds a worker up: scans, plain text, memory at once, and formats decoded in a process of their own."""

import io
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from transforms.lib.errors import Reason, SampleError
from transforms.lib.samples import decode_limits, depths, images, isolated

ISOLATED = {"TIFF": {}, "AVIF": {"quality": 60}, "JPEG2000": {}}


def picture(size=(61, 43), mode="RGB"):
    small = Image.fromarray(np.random.default_rng(7).integers(0, 255, (6, 8, 3), np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(form, image=None, **how):
    stored = io.BytesIO()
    (image or picture()).save(stored, form, **how)
    return stored.getvalue()


def reason_of(data, **limits):
    with pytest.raises(SampleError) as caught:
        images.decode(data, **limits)
    return caught.value.reason


def repeated_scans(count):
    """Returns a progressive JPEG whose last scan stands again and again."""
    data = encoded("JPEG", progressive=True)
    starts = [at for at in range(len(data)) if data.startswith(b"\xff\xda", at)]
    last = data[starts[-1] : -2]
    return data[:-2] + last * (count - len(starts)) + b"\xff\xd9"


def test_a_jpeg_of_too_many_scans_is_rejected_before_it_is_decoded():
    assert images.decode(repeated_scans(decode_limits.MAX_SCANS)).size == (61, 43)
    start = time.process_time()
    assert reason_of(repeated_scans(20_000)) is Reason.IMAGE_TOO_COSTLY
    assert time.process_time() - start < 1


def test_scans_of_one_component_each_are_counted_in_a_sequential_jpeg_too():
    data = bytearray(encoded("JPEG", picture(mode="L"), progressive=False))
    frame = data.index(b"\xff\xc0")
    assert not decode_limits._has_several_scans(bytes(data))
    data[frame + 9] = 3  # components of the frame: the scan of one is no longer all of it
    many = bytes(data[:-2]) + b"\xff\xda" * 200 + b"\xff\xd9"
    assert decode_limits._has_several_scans(many)
    assert reason_of(many) is Reason.IMAGE_TOO_COSTLY


def test_scans_of_a_baseline_jpeg_are_one_and_a_progressive_one_needs_more_memory():
    assert decode_limits.check_scans(encoded("JPEG")) < decode_limits.check_scans(encoded("JPEG", progressive=True))


@pytest.mark.parametrize("kind", [b"P1", b"P2", b"P3"])
def test_pixels_as_text_are_limited_to_a_quarter(kind):
    numbers = b"1 " * (20 * 20 * (3 if kind == b"P3" else 1))
    plain = kind + b"\n20 20\n" + (b"" if kind == b"P1" else b"255\n") + numbers
    assert images.decode(plain, max_pixels=1600).size == (20, 20)
    assert reason_of(plain, max_pixels=1599) is Reason.IMAGE_TOO_COSTLY
    raw = b"P6\n20 20\n255\n" + bytes(1200)
    assert images.decode(raw, max_pixels=400).size == (20, 20)


@pytest.mark.parametrize("form", ISOLATED)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F"])
def test_a_process_of_its_own_returns_the_image_that_pillow_reads(form, mode):
    image = picture().convert("L").convert("I").convert("I;16") if mode == "I;16" else picture(mode=mode)
    try:
        data = encoded(form, image, **ISOLATED[form])
    except OSError:
        pytest.skip(f"{form} has no {mode}")
    found, expected = images.decode(data), Image.open(io.BytesIO(data))
    if stored := depths.stored_as(expected):
        expected.load()
        expected = depths.eight_bits(expected, stored)
    assert found.info.get(depths.SCALED, "") == stored
    assert (found.mode, found.size) == (expected.mode, expected.size)
    assert found.tobytes() == expected.tobytes()
    assert found.convert("RGB").tobytes() == expected.convert("RGB").tobytes()


@pytest.mark.parametrize("form", ISOLATED)
def test_size_damage_and_rubbish_are_told_apart(form):
    data = encoded(form, **ISOLATED[form])
    assert reason_of(data, max_pixels=61 * 43 - 1) is Reason.IMAGE_TOO_LARGE
    assert reason_of(data[:40]) is Reason.IMAGE_UNDECODABLE
    assert images.decode(data, max_pixels=61 * 43).size == (61, 43)
    assert images.kind_of(data) == form.lower()


def test_what_takes_too_long_is_killed_and_the_next_image_is_decoded(monkeypatch):
    """The limit of the system stops a real decoder: a large JPEG 2000 under the least limit there is."""
    monkeypatch.setattr(isolated, "NANOSECONDS_PER_PIXEL", 0)
    monkeypatch.setattr(isolated._Process, "decode", _with_seconds(isolated._Process.decode, 0))
    big = encoded("JPEG2000", picture((3600, 3600)))
    assert reason_of(big) is Reason.IMAGE_TOO_COSTLY
    monkeypatch.undo()
    assert images.decode(encoded("TIFF")).size == (61, 43)


def _with_seconds(decode, seconds):
    """Returns ``decode`` with so many seconds of CPU in its request, instead of the two that every image has."""
    request = isolated.isolated_process.REQUEST

    class Request:
        @staticmethod
        def pack(kind, max_pixels, _, size):
            return request.pack(kind, max_pixels, seconds, size)

    def patched(self, *arguments):
        before = isolated.isolated_process.REQUEST
        isolated.isolated_process.REQUEST = Request
        try:
            return decode(self, *arguments)
        finally:
            isolated.isolated_process.REQUEST = before

    return patched


def test_a_process_that_dies_costs_its_image_alone():
    assert images.decode(encoded("TIFF")).size == (61, 43)
    process = isolated._IDLE[-1]._process
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert images.decode(encoded("TIFF")).size == (61, 43)


def test_memory_beyond_the_limit_is_refused_by_the_process():
    """31 Mpx of JPEG 2000 take 630 MB. OpenJPEG calls it damaged data when memory ends."""
    data = encoded("JPEG2000", Image.new("RGB", (5600, 5600)))
    protocol = isolated.isolated_process
    request = protocol.REQUEST.pack(b"JPEG2000", 5600 * 5600, 60, len(data)) + data + protocol.GO
    for each, kinds in (("24", {protocol.OK}), ("0", {protocol.COSTLY, protocol.ERROR})):
        command = [sys.executable, "-m", protocol.__name__, each]
        done = subprocess.run(command, input=request, stdout=subprocess.PIPE, check=True).stdout
        answers = done.removeprefix(protocol.READY)
        last = answers[protocol.ANSWER.size :]
        assert protocol.ANSWER.unpack(last[: protocol.ANSWER.size])[0].rstrip(b"\0") in kinds


def test_libraries_print_nothing_of_a_damaged_file(capfd):
    data = bytearray(encoded("TIFF", compression="tiff_lzw"))
    data[8:200] = b"\xff" * 192
    with pytest.raises(SampleError):
        images.decode(bytes(data))
    assert capfd.readouterr() == ("", "")


def test_large_images_wait_for_each_other_and_one_alone_never_waits():
    limit, most, now, lock = 100 << 20, [0], [0], threading.Lock()

    def work(size):
        with decode_limits.memory(size, limit // decode_limits.MEMORY_PER_PIXEL):
            with lock:
                now[0] += size
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [40 << 20] * 16))
    assert most[0] == 80 << 20
    work(1 << 40)
    assert most[0] == 1 << 40


@pytest.mark.parametrize("how", [{"lossless": True}, {"quality": 50}, {"save_all": True, "append_images": [picture()]}])
def test_the_size_of_a_webp_is_read_before_it_is_opened(how):
    data = encoded("WEBP", **how)
    assert decode_limits.webp_size(data) == (61, 43)
    assert images.decode(data, max_pixels=61 * 43).size == (61, 43)
    assert reason_of(data, max_pixels=61 * 43 - 1) is Reason.IMAGE_TOO_LARGE
    assert decode_limits.webp_size(data[:29]) is None
    assert reason_of(data[:29]) is Reason.IMAGE_UNDECODABLE


def test_many_small_files_of_large_images_do_not_fill_the_memory():
    """Twelve WebP of some bytes and 24 Mpx each on six threads; the limit lets one of them be decoded at a time."""
    script = (
        "import re, sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from transforms.lib.samples import images\n"
        "data = sys.stdin.buffer.read()\n"
        "def size(_): return images.decode(data, max_pixels=24_100_000).size\n"
        "with ThreadPoolExecutor(6) as pool: assert set(pool.map(size, range(12))) == {(4900, 4900)}\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    data = encoded("WEBP", Image.new("RGB", (4900, 4900)), lossless=True, method=0)
    assert len(data) < 1000
    done = subprocess.run([sys.executable, "-c", script], input=data, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) / 1024 < 1300, "MiB; six at once took 2,140"
