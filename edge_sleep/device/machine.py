"""What a machine says of itself before anything heavy is loaded: board, module, memory, and whether it has an NVIDIA GPU."""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.device import memory

# Docker hides where the first one leads (/sys/firmware), and refuses mounts below /proc: docker/compose.yaml mounts the second.
DEVICE_TREES = (Path("/proc/device-tree"), Path("/run/device-tree"))
TEGRA_RELEASE = Path("/etc/nv_tegra_release")
# The driver of a card, and the node it makes for the first one.
NVIDIA_FILES = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"))
_PART = re.compile(r"p\d{4}-\d{4}")


def on_board() -> bool:
    """Whether this machine shows a board's files at all: a device tree, or Jetson Linux's release."""
    return TEGRA_RELEASE.exists() or device_tree_model().exists()


def device_tree_model(root: Path = Path("/")) -> Path:
    """The file in which the device tree names the board: the first there is, or where it should be."""
    files = [root / tree.relative_to("/") / "model" for tree in DEVICE_TREES]
    return next((file for file in files if file.exists()), files[0])


@dataclass(frozen=True)
class Machine:
    """The files stay with what they said, for the reason of a choice; a file is None where it is not there."""

    model_file: Path
    model: str                                         # what the device tree calls the board; "" where there is none
    compatible: tuple[str, ...]                        # modules first, such as nvidia,p3767-0005
    memory_bytes: int
    release_file: Path | None = None                   # of Jetson Linux
    gpu_file: Path | None = None                       # the first sign of an NVIDIA GPU

    @property
    def jetson(self) -> bool:
        return self.release_file is not None or "jetson" in self.model.casefold()

    def __str__(self) -> str:
        kind = f" ({self.compatible[0]})" if self.compatible else ""
        return f"`{self.model}`{kind}, with {self.memory_bytes / 2**30:.1f} GiB of memory"


def look(model_file: Path | None = None, release_file: Path = TEGRA_RELEASE, memory_bytes: int | None = None,
         compatible_file: Path | None = None, nvidia_files: Iterable[Path] = NVIDIA_FILES) -> Machine:
    """model_file: the device tree's where it is not named; compatible_file: beside it. Raises DeviceError where the memory
    cannot be read."""
    model_file = model_file or device_tree_model()
    compatible = [entry for entry in _text(compatible_file or model_file.with_name("compatible")).split("\0") if entry]
    return Machine(model_file, _text(model_file).rstrip("\0\n").strip(),
                   tuple(dict.fromkeys([*_modules(compatible), *compatible])),
                   memory.total_bytes() if memory_bytes is None else memory_bytes,
                   release_file if release_file.exists() else None,
                   next((file for file in nvidia_files if os.path.exists(file)), None))


def _modules(compatible: Iterable[str]) -> list[str]:
    """nvidia,p3768-0000+p3767-0005-super names a carrier, then its module; after `-as-` comes the module it poses as."""
    return [f"nvidia,{parts[-1]}" for entry in compatible if (parts := _PART.findall(entry))]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").strip()
    except OSError:
        return ""
