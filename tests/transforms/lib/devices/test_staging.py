"""Batches on their way to a device, whose streams are threads here: nothing is read late or overwritten early."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.transforms.lib.thread_streams import ThreadStream, gpu
from transforms.lib.devices import cuda_streams, staging
from transforms.lib.devices.cuda_streams import Covered, Gpu, Timeline


def pixels(rows, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, 4, 5, 3), dtype=np.uint8)


def sums(batch):
    return batch.float().sum((2, 3))


def test_batches_come_back_in_order_padded_and_whole():
    ring, shapes = staging.Ring(6, gpu()), []

    def forward(batch):
        shapes.append((tuple(batch.shape), int(batch[3:].sum())))
        return sums(batch)

    batches = [pixels(6 if n % 3 else 3, n) for n in range(10)]
    started = [ring.start(batch, forward) for batch in batches]
    for batch, result in zip(batches, started, strict=True):
        found, busy = result()
        assert np.array_equal(found, batch.astype(np.float32).sum((2, 3)))
        assert busy == 1.0
    assert all(shape == (6, 4, 5, 3) for shape, _ in shapes)
    assert [rest == 0 for _, rest in shapes] == [n % 3 == 0 for n in range(10)]


def test_pixels_are_not_overwritten_before_they_were_read():
    """The network is slower than the copies, and they than the caller, who uses its array again at once."""
    slow = Gpu("cpu", ThreadStream(0.003), ThreadStream(0.03), ThreadStream(), pinned=False)
    ring, mine, started = staging.Ring(4, slow), pixels(4), []
    for n in range(6):
        mine[:] = n
        started.append(ring.start(mine, sums))
    assert [result()[0].tolist() for result in started] == [[[15.0 * n] * 4] * 4 for n in range(6)]


@pytest.mark.parametrize("early", [True, False])
def test_what_a_network_raises_reaches_the_one_who_started_it_and_the_ring_goes_on(early):
    ring = staging.Ring(4, cuda_streams.streams_of("cpu") if early else gpu())

    def broken(batch):
        raise ZeroDivisionError("in the network")

    with pytest.raises(ZeroDivisionError, match="in the network"):
        ring.start(pixels(4), broken)()
    for n in range(4):
        assert np.array_equal(ring.start(pixels(2, n), sums)()[0], pixels(2, n).astype(np.float32).sum((2, 3)))


def test_pixels_on_the_device_and_in_memory_make_one_batch_that_is_gathered_once():
    whole = pixels(5)
    mixed = [torch.from_numpy(one) if n % 2 else one for n, one in enumerate(whole)]
    there = gpu()
    batch = staging.batch_of(mixed, there)
    ring, other, seen = staging.Ring(6, there), staging.Ring(6, there), []
    assert callable(batch)
    started = [each.start(batch, lambda rows: seen.append(rows) or sums(rows)) for each in (ring, other)]
    for result in started:
        assert np.array_equal(result()[0], whole.astype(np.float32).sum((2, 3)))
    assert [len(rows) for rows in seen] == [6, 6]
    assert seen[0][5].sum() == 0
    assert batch() is batch()
    assert np.array_equal(staging.batch_of(mixed, None), whole)
    assert np.array_equal(staging.batch_of(list(whole), there), whole)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=30))
def test_each_moment_counts_once(spans):
    covered, marked = Covered(), np.zeros(100, bool)
    for start, length in spans:
        before = marked.sum()
        marked[start : start + length] = True
        assert covered.add(float(start), float(start + length)) == marked.sum() - before


def test_what_was_covered_long_ago_is_forgotten_and_never_counted_twice():
    covered = Covered()
    assert sum(covered.add(2.0 * n, 2.0 * n + 1) for n in range(5000)) == 5000
    assert len(covered._starts) <= 1024
    assert covered.add(0.0, 3.0) == 0.0
    assert covered.add(9990.0, 10001.0) == 11 - 5


class Moment:
    """An event: elapsed time is float32 milliseconds, as CUDA gives it."""

    def __init__(self, at_s):
        self.at_s = at_s

    def elapsed_time(self, other):
        return float(np.float32((other.at_s - self.at_s) * 1000))


def test_a_day_of_overlapping_streams_is_told_to_the_microsecond():
    """From one base alone, float32 milliseconds would be 8 ms wrong at the end of the day."""
    timeline, found = Timeline(Moment(0.0)), 0.0
    for n in range(2000):
        start = 43.2 * n
        found += timeline.add(Moment(start), Moment(start + 0.004))
        found += timeline.add(Moment(start + 0.002), Moment(start + 0.005))  # of another stream
        found += timeline.add(Moment(start - 0.001), Moment(start + 0.001))  # begun before, heard of later
    assert found == pytest.approx(2000 * 0.006, rel=1e-3)


def test_threads_that_share_streams_get_their_own_rows():
    there, wrong = gpu(), []

    def work(seed):
        ring = staging.Ring(4, there)
        for n in range(5):
            batch = pixels(4, 10 * seed + n)
            if not np.array_equal(ring.start(batch, sums)()[0], batch.astype(np.float32).sum((2, 3))):
                wrong.append((seed, n))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_streams_of_a_gpu_keep_the_order_and_count_each_moment_once():
    there = cuda_streams.streams_of("cuda")
    rings = [staging.Ring(64, there) for _ in range(2)]
    weights = torch.randn(2048, 2048, device="cuda")
    torch.cuda.synchronize()

    def forward(batch):
        torch.linalg.matrix_power(weights, 9)  # so that copies come long before they are read
        return sums(batch)

    mine, started, began = pixels(64), [], time.perf_counter()
    for n in range(20):
        mine[:] = n
        started.append(rings[n % 2].start(mine, forward))
        device = [torch.full((4, 5, 3), n, dtype=torch.uint8, device="cuda") for _ in range(30)]
        torch.cuda.current_stream().synchronize()
        started.append(rings[n % 2].start(staging.batch_of(device, there), forward))
        del device
    found = [result() for result in started]
    wall = time.perf_counter() - began
    for n, (rows, _) in enumerate(found):
        assert rows.tolist() == [[15.0 * (n // 2)] * 4] * (30 if n % 2 else 64)
    assert 0 < sum(busy for _, busy in found) <= wall
