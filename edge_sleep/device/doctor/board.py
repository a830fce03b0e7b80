"""Which board this is and what runs on it: device tree, L4T, JetPack, power mode."""
from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.device.doctor.check import ROOT, Check, run, text_of
from edge_sleep.device.machine import device_tree_model
from edge_sleep.device.power.modes import parse_now

L4t = tuple[int, int, int]

MODEL = "proc/device-tree/model"
RELEASE = "etc/nv_tegra_release"
GPU_NODES = ("dev/nvidia0", "dev/nvhost-gpu", "dev/nvgpu")
JETPACKS: dict[L4t, str] = {
    (36, 3, 0): "6.0", (36, 4, 0): "6.1", (36, 4, 3): "6.2", (36, 4, 4): "6.2.1", (36, 4, 7): "6.2.1", (36, 5, 0): "6.2.2",
    (36, 5, 2): "6.2.3", (38, 2, 0): "7.0", (38, 2, 1): "7.0", (38, 2, 2): "7.0", (38, 4, 0): "7.1",
    (39, 2, 0): "7.2", (39, 2, 1): "7.2.1", (39, 2, 2): "7.2.2"}
_LINES = {35: "JetPack 5", 36: "JetPack 6", 38: "JetPack 7", 39: "JetPack 7"}
_OLDEST = 36
# CUDA allocations fail there with memory left; 36.5 has the correction.
CUDA_REGRESSION: L4t = (36, 4, 7)
# From here on a Jetson runs what is built for Arm servers (SBSA), and gives page cache back to the GPU.
UNIFIED: L4t = (39, 2, 0)
_NVPMODEL_SECONDS = 5.0
_SBIN = "/usr/sbin:/sbin"


@dataclass(frozen=True)
class Board:
    """What the rest of the doctor needs to know of the machine it stands on."""

    model: str = ""
    release: str | None = None                         # /etc/nv_tegra_release; None where there is none
    nodes: tuple[Path, ...] = ()                       # the GPU's, in /dev

    @property
    def l4t(self) -> L4t | None:
        return parse_l4t(self.release or "")

    @property
    def jetson(self) -> bool:
        return self.release is not None or "jetson" in self.model.casefold()

    @property
    def unified(self) -> bool | None:
        """Whether its software is that of JetPack 7.2 or newer; None where the release is unknown."""
        return None if self.l4t is None else self.l4t >= UNIFIED


def look(root: Path = ROOT) -> Board:
    """Raises nothing: what cannot be read is not there."""
    return Board(text_of(device_tree_model(root)) or "", text_of(root / RELEASE),
                 tuple(root / node for node in GPU_NODES if os.path.exists(root / node)))


def parse_l4t(text: str) -> L4t | None:
    """(36, 4, 3) of `# R36 (release), REVISION: 4.3, ...`."""
    found = re.search(r"\bR(\d+)\s*\(release\),\s*REVISION:\s*(\d+)(?:\.(\d+))?", text)
    return None if found is None else (int(found[1]), int(found[2]), int(found[3] or 0))


def check_board(board: Board, root: Path = ROOT) -> Check:
    if not board.jetson:
        what = f"`{board.model}` is not a Jetson" if board.model else f"no {root / MODEL}: not a Jetson"
        return Check("board", "skip", f"{what}; release, power mode, GPU memory and jtop are not looked at")
    if not board.model:
        return Check("board", "warn", f"a Jetson, by {root / RELEASE}; {root / MODEL} cannot be read, as in many containers",
                     "name its profile with --profile; or -v /sys/firmware/devicetree/base:/run/device-tree:ro")
    return Check("board", "ok", board.model)


def check_jetpack(board: Board, root: Path = ROOT) -> Check | None:
    """The release of the board's software; None where this is no Jetson."""
    if not board.jetson:
        return None
    if board.release is None:
        return Check("jetpack", "warn", f"no {root / RELEASE}",
                     "in a container: -v /etc/nv_tegra_release:/etc/nv_tegra_release:ro")
    l4t = board.l4t
    if l4t is None:
        return Check("jetpack", "warn", f"{root / RELEASE} names no release: {board.release[:60]}", "expected `# R36 (release), "
                     "REVISION: 4.3`; what depends on the release is not judged")
    name = ".".join(map(str, l4t))
    if l4t[0] < _OLDEST:
        return Check("jetpack", "warn", f"L4T {name}, {_LINES.get(l4t[0], 'older than JetPack 5')}",
                     "edge_sleep is made for JetPack 6 and 7: flash a newer one")
    if l4t == CUDA_REGRESSION:
        return Check("jetpack", "warn", f"L4T {name}, JetPack {JETPACKS[l4t]}: CUDA allocations fail here with gigabytes left",
                     "update to L4T 36.5 (JetPack 6.2.2) or newer")
    if l4t not in JETPACKS:
        return Check("jetpack", "warn", f"L4T {name}, a release that edge_sleep does not know"
                     + (f" ({_LINES[l4t[0]]})" if l4t[0] in _LINES else ""), "trust the lines that were tried, not the table")
    return Check("jetpack", "ok", f"L4T {name}, JetPack {JETPACKS[l4t]}")


def check_power_mode(board: Board, command: Sequence[str] = ("nvpmodel", "-q"),
                     seconds: float = _NVPMODEL_SECONDS) -> Check | None:
    """The mode by name, as information: ids differ between releases, and a name promises no watts. None on other machines."""
    if not board.jetson:
        return None
    path = os.pathsep.join([os.environ.get("PATH", ""), _SBIN])
    program = shutil.which(command[0], path=path)
    if program is None:
        return Check("power mode", "skip", f"no {command[0]} here, as in a container")
    ran = run([program, *command[1:]], seconds)
    name = parse_now(ran.out)
    if name is None:
        return Check("power mode", "warn", f"`{' '.join(command)}`: {ran.problem or 'names no mode'}",
                     "look at it by hand: a board in a small mode trains slowly")
    return Check("power mode", "ok", name)
