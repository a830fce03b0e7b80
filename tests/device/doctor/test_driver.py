"""The driver: its version from /proc, its CUDA and whether it starts from a probe."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.device.doctor.board import Board
from edge_sleep.device.doctor.check import try_code
from edge_sleep.device.doctor.driver import DRIVER_PROBE, check_cuda, parse_driver, serves
from tests.device.doctor.machines import attempt, board, put

ORIN = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile)  Tue Jan  7 2025\n" \
       "GCC version:  collect2: error: ld returned 1 exit status"


@pytest.mark.parametrize("text, version", [
    (ORIN, "540.4.0"), ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  595.84  Mon Feb  3 2026", "595.84"),
    ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  595.58.03", "595.58.03"), ("", None), ("GCC version: 12.3.0", None)])
def test_version(text: str, version) -> None:
    assert parse_driver(text) == version


@pytest.mark.parametrize("driver, built, fits", [
    ((12, 6), "12.6", True), ((12, 2), "12.6", True), ((13, 2), "12.8", True), ((12, 6), "13.0", False), ((12, 6), None, True)])
def test_major_versions_count(driver, built, fits) -> None:
    assert (serves(driver, built) is None) == fits


@pytest.mark.parametrize("built, answer, status, words", [
    ("12.6", {"version": 12060, "error": None}, "ok", "driver 540.4.0 for CUDA 12.6; torch was built with 12.6"),
    (None, {"version": 12060, "error": None}, "ok", "torch was built with none"),
    ("13.0", {"version": 12060, "error": None}, "warn", "what is built with CUDA 13.0 needs a driver for 13"),
    ("12.6", {"version": 13020, "error": "CUDA_ERROR_NOT_SUPPORTED (801)"}, "warn", "it does not start: CUDA_ERROR_NOT_SUPPORTED (801)"),
    ("12.6", "OSError: libcuda.so.1: cannot open shared object file: No such file or directory", "warn", "libcuda.so.1"),
    ("12.6", "no answer in 60 s while starting the driver (cuInit)", "warn", "while starting the driver")])
def test_the_line(tmp_path: Path, built, answer, status, words) -> None:
    put(tmp_path / "proc/driver/nvidia/version", ORIN)
    line = check_cuda(board(36, "4.3"), built, attempt(driver=answer), tmp_path)
    assert (line.status, words in line.found, bool(line.do)) == (status, True, status != "ok"), line
    assert ("--runtime nvidia" in line.do) == ("libcuda" in words or "801" in words)


def test_no_sign_of_nvidia() -> None:
    assert check_cuda(Board(), "13.0", attempt()) is None


def test_the_probe_runs_here() -> None:
    """With a driver it tells a version; without one, that it is the library that is missing."""
    facts, problem = try_code(DRIVER_PROBE, 60.0)
    assert facts["version"] > 10000 if facts else "libcuda.so.1" in problem
