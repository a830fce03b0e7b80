"""Settings on loan from a board of files: what is refused, what is changed, and that all of it is put back."""
from __future__ import annotations

import dataclasses
import json
import os

import pytest

from edge_sleep.device.power import direct, jtop
from edge_sleep.device.power.actuator import PowerError, UnknownName
from edge_sleep.device.power.lease import known
from edge_sleep.errors import StorageError
from edge_sleep.system import intent
from edge_sleep.system.intent import Change

ALL = {"mode": "15W", "gpu_max_hertz": 650_000_000, "jetson_clocks": True}


def assert_as_before(bench):
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("25W", 1_020_000_000, False)
    assert not bench.intent.exists()


def test_nothing_asked_nothing_done(bench, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    bench.intent.parent.rmdir()
    with bench.power() as power:
        assert power.changes == [] and bench.told == []


def test_changed_during_and_put_back_in_reverse(bench):
    with bench.power(**ALL) as power:
        assert (bench.board.mode, bench.cap, bench.clocks_held) == ("15W", 612_000_000, True)
        written = json.loads(bench.intent.read_text())
        assert written["format"] == 1
        assert [(entry["setting"], entry["before"], entry["during"]) for entry in written["changes"]] == [
            ("mode", "25W", "15W"), ("gpu_max_hertz", 1_020_000_000, 612_000_000), ("jetson_clocks", "off", "on")]
        assert [(one["setting"], one["state"]) for one in power.changes] == [
            ("mode", "set"), ("gpu_max_hertz", "set"), ("jetson_clocks", "set")]
        assert power.changes[0]["reason"] == "by nvpmodel, as root"
    assert_as_before(bench)
    assert bench.states()[3:] == [("jetson_clocks", "restored"), ("gpu_max_hertz", "restored"), ("mode", "restored")]
    assert bench.history == ["0", "1"]
    assert not (bench.board.root / "nvpmodel/rebooted").exists()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), SystemExit(3)])
def test_put_back_after_an_exception(bench, error):
    with pytest.raises(type(error)), bench.power(**ALL):
        raise error
    assert_as_before(bench)


def test_what_is_set_already_is_not_ours_to_take_back(bench):
    bench.board.gpu_max_freq.write_text("510000000")
    with bench.power(mode="25W", gpu_max_hertz=1_020_000_000) as power:
        assert not bench.intent.exists()
        assert [one["state"] for one in power.changes] == ["already", "already"], "a cap never raises what the mode allows"
    assert bench.history == [] and bench.cap == 510_000_000


@pytest.mark.parametrize(("asked", "set_to"), [(306_000_000, 306_000_000), (407_999_999, 306_000_000), (612_000_000, 612_000_000),
                                               (1_019_999_999, 918_000_000)])
def test_the_cap_is_the_largest_clock_not_above(bench, asked, set_to):
    with bench.power(gpu_max_hertz=asked):
        assert bench.cap == set_to
    assert_as_before(bench)


@pytest.mark.parametrize(("asked", "kind", "exit_code", "said"), [
    ({"mode": "9W"}, UnknownName, 2, "it offers 15W, 25W, MAXN_SUPER, 7W"),
    ({"mode": "7W"}, PowerError, 22, "other TPC mask, 240 and 252.*offers 15W, 25W, MAXN_SUPER"),
    ({"mode": "0"}, UnknownName, 2, "no mode of that name"),
    ({"gpu_max_hertz": 5}, UnknownName, 2, "no GPU clock that low; it offers 306000000, 408000000"),
    ({"fan_profile": "cool"}, PowerError, 22, "no jtop service"),
    ({"mode": "15W", "gpu_max_hertz": 5}, UnknownName, 2, "no GPU clock that low"),
    ({"mode": "7W", "fan_profile": "cool"}, PowerError, 22, "(?s)other TPC mask.*no jtop service")])
def test_refused_before_anything_is_changed(bench, asked, kind, exit_code, said):
    for refuse in (lambda: bench.power(**asked).check(), lambda: bench.power(**asked).__enter__()):
        with pytest.raises(kind, match=said) as caught:
            refuse()
        assert type(caught.value) is kind and int(caught.value.exit_code) == exit_code and caught.value.do
    assert_as_before(bench)
    assert bench.history == [] and bench.told == []


@pytest.mark.parametrize(("changed", "said"), [
    ({"root": False}, "not by nvpmodel: not root; not by jtop: no jtop service"),
    ({"nvpmodel": "nvpmodel-that-is-not-there"}, "nvpmodel-that-is-not-there is not on this machine")])
def test_a_board_with_no_way_says_why_each_is_closed(bench, changed, said):
    bench.machine = dataclasses.replace(bench.machine, **changed)
    with pytest.raises(PowerError, match=said):
        bench.power(mode="15W").check()


def test_a_user_outside_the_group_is_told_so(bench, tmp_path, monkeypatch):
    socket = tmp_path / "jtop.sock"
    socket.touch()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "7.2.2")
    monkeypatch.setattr(jtop.os, "access", lambda path, _: path != socket)
    bench.machine = dataclasses.replace(bench.machine, root=False, socket=socket)
    with pytest.raises(PowerError, match="not by jtop: no permission for .*not in the group jtop"):
        bench.power(mode="15W").check()


def test_a_machine_without_a_gpu_file_has_no_cap(bench, tmp_path):
    bench.machine = dataclasses.replace(bench.machine, sys_root=tmp_path)
    with pytest.raises(PowerError, match="no GPU with a max_freq"):
        bench.power(gpu_max_hertz=612_000_000).check()


def test_a_mode_that_silently_does_not_take_is_named_and_the_rest_put_back(bench):
    """nvpmodel asks for a reboot, gets no answer, and nothing has changed."""
    (bench.board.root / "nvpmodel/golden").touch()
    with pytest.raises(PowerError, match="power.mode 15W: the board did not take it and is at 25W .*NVPM ERROR"):
        bench.power(**ALL).__enter__()
    assert_as_before(bench)
    assert bench.history == [] and not (bench.board.root / "nvpmodel/rebooted").exists()


def test_a_later_setting_that_does_not_take_takes_the_earlier_ones_back(bench, monkeypatch):
    monkeypatch.setattr(direct.GpuCap, "set", lambda self, value: self._node().write_text("408000000") and "a clamp"
                        if value == 612_000_000 else self._node().write_text(str(value)) and "")
    with pytest.raises(PowerError, match="power.gpu_max_hertz 650000000: .* is at 408000000"):
        bench.power(**ALL).__enter__()
    assert_as_before(bench)
    assert bench.history == ["0", "1"]
    assert bench.states() == [("mode", "set"), ("gpu_max_hertz", "restored"), ("mode", "restored")]


def test_a_cap_below_ours_while_the_kernel_cools_is_not_somebody_elses(bench):
    cooling = bench.board.sys / "class/thermal/cooling_device0"
    cooling.mkdir(parents=True)
    (cooling / "type").write_text("devfreq-17000000.gpu\n")
    (cooling / "cur_state").write_text("3\n")
    with bench.power(gpu_max_hertz=612_000_000):
        bench.board.gpu_max_freq.write_text("408000000")
    assert_as_before(bench)


def test_somebody_elses_change_is_left_alone_and_said_so(bench):
    with bench.power(**ALL):
        (bench.board.root / "nvpmodel/current").write_text("2\n")
        bench.board.gpu_max_freq.write_text("714000000")
    assert (bench.board.mode, bench.cap) == ("MAXN_SUPER", 714_000_000)
    assert not bench.intent.exists()
    left = {facts["setting"]: facts for facts in bench.told if facts["state"] == "left"}
    assert set(left) == {"mode", "gpu_max_hertz"} and left["mode"]["now"] == "MAXN_SUPER"
    assert "somebody else" in left["mode"]["reason"]


def test_a_restore_that_fails_is_named_and_tried_again_at_the_next_start(bench):
    with bench.power(mode="15W", gpu_max_hertz=612_000_000):
        (bench.board.root / "nvpmodel/golden").touch()
    assert bench.states()[2:] == [("gpu_max_hertz", "restored"), ("mode", "not restored")]
    assert "still 15W (NVPM ERROR: bad input!); tried again" in bench.told[-1]["reason"]
    assert intent.read(bench.intent, known) == [Change("mode", "nvpmodel", "25W", "15W")]

    (told,) = bench.next_start()
    assert (told["setting"], told["state"], bench.board.mode) == ("mode", "not restored", "15W")
    with pytest.raises(PowerError, match=r"earlier night's power.mode \(25W\) could not be put back yet"):
        bench.power(gpu_max_hertz=612_000_000).__enter__()
    with bench.power():
        pass                                           # a night that asks for nothing goes its way
    assert intent.read(bench.intent, known)

    (bench.board.root / "nvpmodel/golden").unlink()
    (told,) = bench.next_start()
    assert (told["setting"], told["state"], told["now"]) == ("mode", "restored", "25W")
    assert_as_before(bench)
    assert bench.next_start() == []


def test_one_that_cannot_be_put_back_keeps_no_other(bench, monkeypatch):
    with bench.power(**ALL):
        monkeypatch.setattr(direct.GpuCap, "read", lambda self: 1 // 0)
    assert (bench.board.mode, bench.clocks_held) == ("25W", False)
    assert [one.setting for one in intent.read(bench.intent, known)] == ["gpu_max_hertz"]
    assert "ZeroDivisionError" in next(facts for facts in bench.told if facts["state"] == "not restored")["reason"]


def test_a_full_disk_keeps_nothing_from_being_put_back(bench, monkeypatch):
    def full(*_, **__):
        raise StorageError("no space left", "")

    with bench.power(**ALL) as power:
        monkeypatch.setattr(intent, "write", full)
        power.report = full
    assert (bench.board.mode, bench.cap, bench.clocks_held) == ("25W", 1_020_000_000, False)
    assert [one["state"] for one in bench.next_start()] == ["restored"] * 3


def test_an_intent_that_cannot_be_written_changes_nothing(bench, monkeypatch):
    def full(path, changes):
        raise StorageError("no space left", "")

    monkeypatch.setattr(intent, "write", full)
    with pytest.raises(StorageError):
        bench.power(**ALL).__enter__()
    assert_as_before(bench)
    assert bench.history == []


def test_ctrl_c_while_it_is_put_back_does_not_leave_the_board(bench, monkeypatch):
    real = direct.GpuCap.set
    pressed = []

    def press(self, value):
        if value == 1_020_000_000 and not pressed:
            pressed.append(True)
            raise KeyboardInterrupt
        return real(self, value)

    monkeypatch.setattr(direct.GpuCap, "set", press)
    with pytest.raises(KeyboardInterrupt), bench.power(**ALL):
        pass
    assert pressed
    assert_as_before(bench)


def test_half_held_clocks_are_put_back(bench):
    """A jetson_clocks that was cut in its middle."""
    with bench.power(jetson_clocks=True):
        low = bench.board.sys / "devices/system/cpu/cpu0/cpufreq/scaling_min_freq"
        low.write_text("729600\n")
    assert_as_before(bench)
    assert not bench.clocks_held


def test_a_program_that_hangs_is_ended_and_named(bench, tmp_path):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 60\n")
    os.chmod(slow, 0o755)
    bench.machine = dataclasses.replace(bench.machine, nvpmodel=str(slow), seconds=0.3)
    with pytest.raises(PowerError, match="did not end within 0 s and was killed"):
        bench.power(mode="15W").check()


def test_a_helper_left_behind_does_not_hold_up_the_next_program(bench, tmp_path):
    leaves = tmp_path / "leaves"
    leaves.write_text("#!/bin/sh\nsleep 60 &\nexit 0\n")
    os.chmod(leaves, 0o755)
    with pytest.raises(PowerError, match="did not end within"):
        direct.NvpModel(dataclasses.replace(bench.machine, nvpmodel=str(leaves), seconds=0.3), bench.intent.parent).read()
    assert direct.NvpModel(dataclasses.replace(bench.machine, seconds=1), bench.intent.parent).read() == "25W"


def test_a_question_about_a_reboot_gets_no_answer(bench, tmp_path):
    """Nothing is on stdin, whatever the terminal holds."""
    asks = tmp_path / "asks"
    asks.write_text('#!/bin/sh\nread -r answer && echo "NV Power Mode: answered" || echo "NV Power Mode: 25W"\n')
    os.chmod(asks, 0o755)
    bench.machine = dataclasses.replace(bench.machine, nvpmodel=str(asks))
    assert direct.NvpModel(bench.machine, bench.intent.parent).read() == "25W"
