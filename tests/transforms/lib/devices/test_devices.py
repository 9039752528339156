"""Which device is taken, and that finding it out is cheap where there is none."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from transforms.lib.devices import devices


@pytest.mark.parametrize("name", ["nvidia", "nvidiactl", "dxg", "kfd"])
def test_auto_asks_torch_where_any_driver_is(monkeypatch, tmp_path, name):
    here = {path.rsplit("/", 1)[1]: path for path in devices.DRIVERS}
    (tmp_path / name).touch()
    monkeypatch.setattr(devices, "DRIVERS", [str(tmp_path / other) for other in here])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.device_of("auto") == "cuda"
    (tmp_path / name).unlink()
    assert devices.device_of("auto") == "cpu"


def test_a_driver_without_a_gpu_that_torch_can_use_is_a_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "DRIVERS", [str(tmp_path)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert devices.device_of("auto") == "cpu"


def test_auto_imports_no_torch_where_no_driver_is():
    code = (
        "import sys; from transforms.lib.devices import devices; devices.DRIVERS = (); print(devices.device_of('auto'))"
    )
    code += "; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "cpu\n"


def test_tf32_is_off_until_the_last_thread_has_queued_its_work_and_then_as_before():
    def switches():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    full, inside, leave = devices.FullPrecision(), threading.Event(), threading.Event()

    def other():
        with full():
            inside.set()
            leave.wait(10)
            return switches()

    before = switches()
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with ThreadPoolExecutor(1) as thread:
            with full():
                waiting = thread.submit(other)
                inside.wait(10)
            assert switches() == (False, False)
            leave.set()
            assert waiting.result(10) == (False, False)
        assert switches() == (before[0], True)
        with pytest.raises(ZeroDivisionError), full():
            1 / 0  # noqa: B018
        assert switches() == (before[0], True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before[1]
