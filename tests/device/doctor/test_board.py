"""Board, release and power mode, from files and from a program that answers, fails or hangs."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edge_sleep.device.doctor.board import JETPACKS, Board, check_board, check_jetpack, check_power_mode, look, parse_l4t
from tests.device.doctor.machines import RELEASE, board, put


@pytest.mark.parametrize("text, l4t", [
    ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025", (36, 4, 3)),
    (RELEASE.format(39, "2.0"), (39, 2, 0)), ("# R38 (release), REVISION: 4, GCID: 1", (38, 4, 0)),
    ("# R35 (release), REVISION: 5.0,", (35, 5, 0)), ("", None), ("Ubuntu 24.04", None), ("# R36 (release)", None)])
def test_l4t(text: str, l4t) -> None:
    assert parse_l4t(text) == l4t


@pytest.mark.parametrize("major, revision, status, words", [
    (36, "4.3", "ok", "L4T 36.4.3, JetPack 6.2"), (39, "2.1", "ok", "JetPack 7.2.1"), (38, "4.0", "ok", "JetPack 7.1"),
    (36, "4.7", "warn", "CUDA allocations fail"), (36, "5.0", "ok", "JetPack 6.2.2"),
    (36, "9.9", "warn", "L4T 36.9.9, a release that edge_sleep does not know (JetPack 6)"), (41, "1.0", "warn", "does not know"),
    (35, "5.0", "warn", "JetPack 5"), (32, "7.1", "warn", "older than JetPack 5"), (36, "?", "warn", "names no release")])
def test_jetpack(major: int, revision: str, status: str, words: str) -> None:
    line = check_jetpack(board(major, revision))
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status != "ok"), line


def test_newest_in_the_table_is_unified_and_jetpack_6_is_not() -> None:
    assert [major for major in (36, 38, 39) if board(major, "2.0").unified] == [39]
    assert Board("NVIDIA Jetson").unified is None and max(JETPACKS) == (39, 2, 2)


def test_a_tree(jetson: Path) -> None:
    place = look(jetson)
    assert place.model == "NVIDIA Jetson Orin Nano Developer Kit" and place.jetson and place.l4t == (39, 2, 1)
    assert place.nodes == (jetson / "dev/nvidia0",)
    assert check_board(place).status == "ok"
    # Docker hides the device tree; the release file is what its users are told to mount.
    (jetson / "proc/device-tree/model").unlink()
    hidden = check_board(look(jetson), jetson)
    assert hidden.status == "warn" and "--profile" in hidden.do
    (jetson / "run/device-tree").mkdir(parents=True)
    (jetson / "run/device-tree/model").write_bytes(b"NVIDIA Jetson AGX Thor Developer Kit\0")
    assert look(jetson).model == "NVIDIA Jetson AGX Thor Developer Kit"
    (jetson / "run/device-tree/model").unlink()
    (jetson / "etc/nv_tegra_release").unlink()
    assert check_board(look(jetson), jetson).status == "skip"


@pytest.mark.parametrize("model", ["", "Raspberry Pi 5 Model B Rev 1.0"])
def test_another_machine_is_one_line(tmp_path: Path, model: str) -> None:
    place = Board(model)
    line = check_board(place, tmp_path)
    assert line.status == "skip" and "not a Jetson" in line.found and model in line.found
    assert check_jetpack(place) is None and check_power_mode(place) is None


def test_a_jetson_without_its_release_file() -> None:
    line = check_jetpack(Board("NVIDIA Jetson Orin NX"))
    assert line.status == "warn" and "nv_tegra_release" in line.do


@pytest.mark.parametrize("code, status, words", [
    ("print('NVPM WARN: fan mode is not set!'); print('NV Power Mode: MAXN_SUPER'); print(2)", "ok", "MAXN_SUPER"),
    ("import sys; sys.exit('NVPM ERROR: failed to read PARAM_CPU')", "warn", "NVPM ERROR: failed to read PARAM_CPU"),
    ("print('something else')", "warn", "names no mode"),
    ("import time; time.sleep(60)", "warn", "no answer in 1 s"),
    ("print('DO YOU WANT TO REBOOT NOW?', input())", "warn", "EOFError")])
def test_power_mode(code: str, status: str, words: str) -> None:
    line = check_power_mode(board(), (sys.executable, "-c", code), 1.0)
    assert (line.status, words in line.found) == (status, True), line


def test_no_nvpmodel() -> None:
    assert check_power_mode(board(), ("no-such-nvpmodel", "-q")).status == "skip"


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    put(tmp_path / "etc/nv_tegra_release/inside", "a folder, as a mount of a missing file makes")
    assert look(tmp_path) == Board()
