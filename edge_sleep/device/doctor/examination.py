"""The whole examination: which check comes when, and how the lines are grouped."""
from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import edge_sleep
from edge_sleep.device.doctor.architectures import check_architectures
from edge_sleep.device.doctor.board import check_board, check_jetpack, check_power_mode, look
from edge_sleep.device.doctor.check import ROOT, Check, Try, tried, try_code
from edge_sleep.device.doctor.driver import check_cuda
from edge_sleep.device.doctor.heat import check_headroom, read_trips
from edge_sleep.device.doctor.jtop_service import check_jtop
from edge_sleep.device.doctor.onnx_runtime import check_onnx
from edge_sleep.device.doctor.ram import check_memory, check_page_cache, check_swap
from edge_sleep.device.doctor.residents import check_residents
from edge_sleep.device.doctor.sensors import check_sensors
from edge_sleep.device.doctor.system import check_clock, check_home, check_python
from edge_sleep.device.doctor.torch_probes import TORCH_PROBE, check_gpu, check_libraries, check_nf4, check_torch
from edge_sleep.device.profile import Profile
from edge_sleep.device.telemetry.choose import Source, choose
from edge_sleep.device.telemetry.jtop import Jtop, installed_version
from edge_sleep.device.telemetry.sysfs import Sysfs
from edge_sleep.system.clock import Clock, clock_synchronised

# What a person reads together; also the order of the document.
GROUPS: dict[str, tuple[str, ...]] = {
    "board": ("board", "jetpack", "power mode"),
    "heat": ("sensors", "headroom", "jtop"),
    "gpu": ("gpu", "cuda", "architectures", "gpu users"),
    "software": ("python", "torch", "bitsandbytes", "libraries", "onnxruntime"),
    "memory": ("memory", "swap", "page cache"),
    "home": ("home", "disk", "clock")}


def examine(home: Path, profile: Profile, profile_reason: str, clock: Clock | None = None, attempt: Try = try_code,
            source: Source | None = None, root: Path = ROOT) -> dict:
    """Every check, as the JSON document of `doctor`. Probes take turns: two CUDA processes do not fit a small board."""
    # Heat first, while the board idles.
    sensors, telemetry = _felt(source, profile.power.total_rail, root)
    board = look(root)
    facts, problem = attempt(TORCH_PROBE)
    runs, known = facts is not None, facts or {}
    shared = board.jetson or bool(known.get("integrated"))
    earlier = (home / "current.json", Path(edge_sleep.__file__))
    checks = [
        *sensors,
        *tried("headroom", lambda: check_headroom(telemetry["celsius"], profile.thermal, read_trips(root))),
        *tried("board", lambda: check_board(board, root)),
        *tried("jetpack", lambda: check_jetpack(board, root)),
        *tried("power mode", lambda: check_power_mode(board)),
        *tried("jtop", lambda: check_jtop(board, attempt, root, installed_version())),
        *tried("gpu users", lambda: check_residents(board, shared, root)),
        *tried("memory", lambda: check_memory(root)),
        *tried("swap", lambda: check_swap(shared, root)),
        *tried("page cache", lambda: check_page_cache(board, shared, root)),
        *tried("python", check_python),
        *tried("torch", lambda: check_torch(facts, problem)),
        *tried("cuda", lambda: check_cuda(board, known.get("cuda"), attempt, root)),
        *tried("gpu", lambda: check_gpu(known, board, attempt)),
        *tried("architectures", lambda: check_architectures(known, board)),
        *tried("bitsandbytes", lambda: check_nf4(runs, attempt)),
        *tried("libraries", lambda: check_libraries(runs, attempt)),
        *tried("onnxruntime", lambda: check_onnx(attempt)),
        *tried("home", lambda: check_home(home)),
        *tried("clock", lambda: check_clock(clock or Clock(), clock_synchronised(), earlier))]
    order = [name for names in GROUPS.values() for name in names]
    checks.sort(key=lambda check: order.index(check.name))
    return {"checks": [asdict(check) for check in checks],
            "telemetry": telemetry,
            "profile": profile.name, "profile_reason": profile_reason}


def _felt(source: Source | None, total_rail: str | None, root: Path) -> tuple[list[Check], dict]:
    """The check of the sensors, and the reading for the document; without a source, by the one that a night would choose."""
    told: dict = {"source": "none", "celsius": {}, "watts_total": None}

    def feel() -> Check:
        nonlocal told
        chosen, why = (source, "given") if source is not None else choose(
            "auto", total_rail, Sysfs(root / "sys", root / "proc/meminfo"),
            Jtop(total_rail, root / "run/jtop.sock", root / "sys", root / "proc/meminfo"))
        check, told = check_sensors(chosen, why)
        return check
    return tried("sensors", feel), told
