"""What a process may use of its machine: processors, memory, a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from transforms.lib.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""One of them is there where a GPU may be: NVIDIA's kernel module, its device in a sandbox, Windows' (WSL 2), AMD's."""


def cpu_count() -> int:
    """Returns the number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Tells glibc to keep the memory that activations free from now on for the next batch; does nothing elsewhere.

    By default every tensor of some megabytes is mapped from the kernel, zeroed page by page, and given back, layer by
    layer: more than half of the time of a small network on two cores.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        mallopt, trim = libc.mallopt, libc.malloc_trim
    except (OSError, AttributeError):
        return
    trim(0)  # what loading the weights needed goes back first
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt(mmap_threshold, 32 << 20)  # the largest that glibc takes
    mallopt(trim_threshold, 1 << 30)
    mallopt(top_pad, 64 << 20)


def device_of(requested: str) -> str:
    """Returns ``cpu`` or ``cuda``: the device that is requested, or with ``auto`` the GPU if there is one.

    Raises:
      InputError: a GPU was requested by name and is not there; a paid worker must not fall back to its CPU in silence.
    """
    if requested == "cpu" or (requested == "auto" and not any(map(os.path.exists, DRIVERS))):
        return "cpu"  # without torch, which takes seconds to import
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if requested == "auto":
        return "cpu"
    raise InputError("--device cuda: no GPU is visible to torch; install the driver, or use --device cpu")


class FullPrecision:
    """While any thread is inside a ``with`` block of it, float32 on a GPU is float32, in products and convolutions.

    torch lets cuDNN round the inputs of float32 convolutions to TF32, with 10 bits of mantissa, unless told otherwise
    (``torch.backends.cudnn.allow_tf32`` is True from the start). The switches belong to the process and are read when
    work is queued. The first block that is entered turns both off, the last that is left puts back what was there: so
    no thread turns them on while another one still queues.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, (False, False)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        from torch.backends import cuda, cudnn

        with self._lock:
            if not self._inside:
                self._before = cudnn.allow_tf32, cuda.matmul.allow_tf32
                cudnn.allow_tf32 = cuda.matmul.allow_tf32 = False
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    cudnn.allow_tf32, cuda.matmul.allow_tf32 = self._before


full_precision = FullPrecision()
"""The one of this process."""


class Workers:
    """Threads that each run a network on a batch of their own, with one thread of torch's.

    Two batches side by side take two thirds (fp32) or half (bf16) of the wall time of one after the other with two
    threads inside each (``benchmarks/RESULTS.md``): nobody waits at the end of every layer. And what a batch gives does
    not depend on how many workers there are.
    """

    def __init__(self, count: int) -> None:
        import torch

        self.count = count
        inside = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(count, "winnow-model", initializer=torch.set_num_threads, initargs=(1,))
        started = threading.Barrier(count + 1)
        for _ in range(count):
            self._pool.submit(started.wait)
        started.wait()
        torch.set_num_threads(inside)  # what a worker sets for itself is also the default of threads to come

    def start(self, work: Callable[..., R], *args: Any) -> Future[R]:
        """Runs ``work`` on one of the threads, after what was started before."""
        return self._pool.submit(work, *args)

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> list[R]:
        """Returns what ``work`` makes of each part, in order; must not be called on one of the threads."""
        return list(self._pool.map(work, parts))
