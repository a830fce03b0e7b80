"""A throw-away process: what crashes, hangs, lies or leaves helpers behind becomes words, and ends."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sleep.device.doctor import check
from edge_sleep.errors import DeviceError

TORCH_ERROR = """
raise RuntimeError('''CUDA error: no kernel image is available for execution on the device
CUDA kernel errors might be asynchronously reported at some other API call.
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
''')
"""
HELPER = """
import subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"], stdout=subprocess.PIPE)
helper.stdout.readline()
open({file!r}, "w").write(str(helper.pid))
{then}
"""


@pytest.mark.parametrize("code, says", [
    ("import os; os.abort()", "killed by SIGABRT"), ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL, as the kernel does when memory is out"),
    ("import time; time.sleep(60)", "no answer in 1 s"),
    ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "no answer in 1 s"),
    ("import atexit, time; atexit.register(time.sleep, 60); print('{}')", "no answer in 1 s"),
    ("input()", "EOFError: EOF when reading a line"),
    ("raise RuntimeError('no kernel image')", "RuntimeError: no kernel image"),
    (TORCH_ERROR, "RuntimeError: CUDA error: no kernel image is available for execution on the device"),
    ("import sys; sys.stderr.write('named symbol not found\\n'); sys.exit(1)", "named symbol not found"),
    ("print('hello')", "printed no result"), ("print('[1]')", "printed no result"), ("", "printed no result"),
    ("import sys; sys.exit(3)", "exit code 3"),
    ("print('at importing'); print('at the first kernel', flush=True); import os; os.abort()",
     "killed by SIGABRT while the first kernel"),
    ("print('at connecting', flush=True); import time; time.sleep(60)", "no answer in 1 s while connecting")])
def test_what_goes_wrong_is_named(code: str, says: str) -> None:
    hangs = says.startswith("no answer")
    begun = time.monotonic()
    assert check.try_code(code, 1.0 if hangs else 30.0) == (None, says)
    assert not hangs or time.monotonic() - begun < 10


def test_its_last_line_is_the_result() -> None:
    assert check.try_code("print('at work'); print('{\"a\": 1}')") == ({"a": 1}, "")


def test_more_than_a_pipe_holds() -> None:
    assert check.try_code("print('x' * 2**20); print('{\"a\": 1}')", 20.0) == ({"a": 1}, "")


def gone(pid: int) -> bool:
    """It has ended; a zombie of someone else's has too."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("then", ["import time; time.sleep(600)", "print('{}')", "import os; os.abort()"])
def test_helpers_end_with_it(tmp_path: Path, then: str) -> None:
    check.try_code(HELPER.format(file=str(tmp_path / "pid"), then=then), 3.0)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_killed_doctor_leaves_nothing_that_hangs(tmp_path: Path) -> None:
    inner = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    doctor = subprocess.Popen([sys.executable, "-c", f"from edge_sleep.device.doctor import check; check.try_code({inner!r})"])
    until = time.monotonic() + 30
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(doctor.pid, signal.SIGKILL)
    doctor.wait()
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_program_that_is_missing() -> None:
    assert check.run(["/no/such/program"], 1.0) == check.Ran("", "/no/such/program cannot be started: No such file or directory")


def test_no_file_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    for code in ("print('{}')", "import time; time.sleep(60)"):
        check.try_code(code, 0.5)
    assert os.listdir("/proc/self/fd") == before


def test_a_check_that_fails_itself_is_a_warning_by_name() -> None:
    def broken():
        raise KeyError("MemFree")

    def unusable():
        raise DeviceError("/proc/meminfo cannot be read", "mount /proc")
    assert [line.status for line in check.tried("memory", broken)] == ["warn"]
    assert check.tried("memory", broken)[0].found == "not checked: KeyError: 'MemFree'"
    assert check.tried("memory", unusable) == [check.Check("memory", "warn", "/proc/meminfo cannot be read", "mount /proc")]
    assert check.tried("memory", lambda: None) == []
