"""Real signals to a real process that holds the settings, and what the next start finds."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edge_sleep.benchmarks.fake_board import tree

ROOT = Path(tree.__file__).parents[2]
NIGHT = """
import os, signal, sys, time
from pathlib import Path
from edge_sleep import config
from edge_sleep.device.power import direct
from edge_sleep.device.power.actuator import Machine
from edge_sleep.device.power.lease import Power
from edge_sleep.system.signals import Signals
{patch}
machine = Machine(root=True, sys_root=Path(os.environ["FAKE_BOARD"]) / "sys", socket=Path("/nonexistent"))
asked = config.Power(mode="15W", gpu_max_hertz=612_000_000, jetson_clocks=True)
with Signals() as signals, Power(asked, Path(sys.argv[1]), machine=machine):
    print("held", flush=True)
    while signals.received is None:
        time.sleep(0.01)
print("ended by", signals.received, flush=True)
"""


def begin(bench, patch="", **environment) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", NIGHT.format(patch=patch), str(bench.intent)], stdout=subprocess.PIPE, text=True,
                            cwd=ROOT, env={**os.environ, **environment})


def held(bench) -> subprocess.Popen:
    night = begin(bench)
    assert night.stdout is not None and night.stdout.readline() == "held\n"
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("15W", 612_000_000, True)
    return night


def assert_as_before(bench):
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("25W", 1_020_000_000, False)
    assert not bench.intent.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_night_and_all_is_put_back(bench, number):
    night = held(bench)
    night.send_signal(number)
    assert night.communicate(timeout=30)[0] == f"ended by {int(number)}\n" and night.returncode == 0
    assert_as_before(bench)
    assert bench.next_start() == []


def test_killed_the_next_start_puts_all_back(bench):
    night = held(bench)
    night.kill()
    night.wait()
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("15W", 612_000_000, True), "nobody was left to do it"
    told = bench.next_start()
    assert [(one["setting"], one["state"]) for one in told] == [
        ("jetson_clocks", "restored"), ("gpu_max_hertz", "restored"), ("mode", "restored")]
    assert_as_before(bench)
    assert bench.next_start() == []


def test_a_power_cut_has_put_back_all_but_the_mode(bench):
    night = held(bench)
    night.kill()
    night.wait()
    for file in ("min_freq", "max_freq"):              # what the kernel starts with; nvpmodel keeps its mode
        bench.board.gpu_max_freq.with_name(file).write_text({"min_freq": "306000000\n", "max_freq": "1020000000\n"}[file])
    for cpu in bench.board.sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_min_freq"):
        cpu.write_text("729600\n")
    told = bench.next_start()
    assert [one["state"] for one in told] == ["restored"] * 3
    assert [one["reason"] for one in told[:2]] == ["it was as before already"] * 2
    assert_as_before(bench)


@pytest.mark.parametrize(("actuator", "settings"), [("NvpModel", 1), ("GpuCap", 2), ("JetsonClocks", 3)])
def test_killed_between_intent_and_change(bench, actuator, settings):
    night = begin(bench, f"direct.{actuator}.set = lambda self, value: os.kill(os.getpid(), signal.SIGKILL)")
    assert night.wait(30) == -signal.SIGKILL
    told = bench.next_start()
    assert len(told) == settings and {one["state"] for one in told} == {"restored"}
    assert told[0]["reason"] == "it was as before already"
    assert_as_before(bench)


def test_killed_while_it_is_put_back(bench):
    night = begin(bench, """
real = direct.GpuCap.set
direct.GpuCap.set = lambda self, value: os.kill(os.getpid(), signal.SIGKILL) if value == 1_020_000_000 else real(self, value)
""")
    assert night.stdout is not None and night.stdout.readline() == "held\n"
    night.terminate()
    assert night.wait(30) == -signal.SIGKILL
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("15W", 612_000_000, False)
    assert [(one["setting"], one["state"]) for one in bench.next_start()] == [("gpu_max_hertz", "restored"), ("mode", "restored")]
    assert_as_before(bench)


def test_killed_while_nvpmodel_works(bench):
    """It ends by itself a second later; the next start must not read the board before that."""
    night = begin(bench, FAKE_NVPMODEL_SECONDS="1.5")
    while not bench.intent.exists():
        time.sleep(0.01)
    time.sleep(0.4)
    night.kill()
    night.wait()
    assert bench.board.mode == "25W", "not yet"
    (told,) = bench.next_start()
    assert (told["state"], told["before"], told["now"]) == ("restored", "15W", "25W")
    assert bench.history == ["0", "1"]
    assert_as_before(bench)
