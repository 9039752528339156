"""Lanes that are threads: torch's work on a CPU, done as late as on a GPU and in no order but the one asked for."""

import time
from concurrent.futures import ThreadPoolExecutor

from transforms.lib.devices.cuda_streams import Gpu


class _Promised:
    def __init__(self, future):
        self.future = future

    def wait(self):
        self.future.result(20)

    def seconds(self):
        return 1.0


class ThreadStream:
    """Does what it is told on a thread of its own, some milliseconds after it was told."""

    def __init__(self, late_s=0.005):
        self._thread, self._late = ThreadPoolExecutor(1), late_s

    def queue(self, work, after=()):
        def run():
            for span in after:
                span.future.exception(20)
            time.sleep(self._late)
            work()

        return _Promised(self._thread.submit(run))


def gpu():
    return Gpu("cpu", ThreadStream(), ThreadStream(0.01), ThreadStream(), pinned=False)
