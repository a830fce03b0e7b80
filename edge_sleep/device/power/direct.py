"""As root, on the board itself: nvpmodel, jetson_clocks, and the GPU's devfreq files."""
from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from edge_sleep.device.power import modes
from edge_sleep.device.power.actuator import Actuator, PowerError, UnknownName
from edge_sleep.system.commands import last_line

# Where NVIDIA's programs lie, for a service whose PATH has not /usr/sbin.
_FOLDERS = "/usr/sbin:/usr/bin:/sbin:/bin"
_PINNED = re.compile(r"^(?:cpu\d+:.*Online=1\b|GPU\b).*MinFreq=(?P<low>\d+) +MaxFreq=(?P<high>\d+)", re.MULTILINE)
_ROUNDING_HERTZ = 1000                                 # the kernel keeps its limits in kilohertz


def _found(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path=_FOLDERS)


class NvpModel(Actuator):
    setting, by, way = "mode", "nvpmodel", "nvpmodel, as root"

    def impossible(self) -> str | None:
        if not self.machine.root:
            return "not root"
        return None if _found(self.machine.nvpmodel) else f"{self.machine.nvpmodel} is not on this machine"

    def read(self) -> str:
        said = self._run("-q")
        name = modes.parse_now(said)
        if name is None:
            raise PowerError(f"nvpmodel -q names no mode: {last_line(said)}")
        return name

    def wanted(self, asked: str) -> str:
        modes.check(self._modes(), self.read(), asked)
        return asked

    def set(self, value: str) -> str:
        return self._run("-m", str(modes.find(self._modes(), value).number))

    def _modes(self) -> list[modes.Mode]:
        return modes.parse(self._run("-p", "--verbose"))

    def _run(self, *arguments: str) -> str:
        return self.run(_found(self.machine.nvpmodel) or self.machine.nvpmodel, *arguments)


class GpuCap(Actuator):
    setting, by, way = "gpu_max_hertz", "devfreq", "the GPU's max_freq file"

    def impossible(self) -> str | None:
        file = self._file()
        if file is None:
            return f"{self.machine.sys_root}/class/devfreq has no GPU with a max_freq"
        return None if os.access(file, os.W_OK) else f"{file} cannot be written: that takes root, and no read-only container"

    def read(self) -> int:
        try:
            return int(self._node().read_text())
        except (OSError, ValueError) as error:
            raise PowerError(f"the GPU's max_freq cannot be read: {error}") from error

    def wanted(self, asked: int) -> int:
        file = self._node().with_name("available_frequencies")
        try:
            offered = sorted(int(hertz) for hertz in file.read_text().split())
        except (OSError, ValueError) as error:
            raise PowerError(f"power.gpu_max_hertz {asked}: {file} cannot be read: {error}") from error
        below = [hertz for hertz in offered if hertz <= asked]
        if not below:
            raise UnknownName(f"power.gpu_max_hertz {asked}: the board has no GPU clock that low; it offers "
                              f"{', '.join(map(str, offered)) or 'none'}", "choose one of them, or leave power.gpu_max_hertz out")
        # A cap only lowers: what the power mode allows is not raised.
        return min(below[-1], self.read())

    def set(self, value: int) -> str:
        try:
            self._node().write_text(str(value))
        except OSError as error:
            raise PowerError(f"the GPU's max_freq does not take {value}: {error.strerror}") from error
        return "the kernel took another value"

    def took(self, now: int, wanted: int) -> bool:
        """max_freq shows the lowest of all limits: while the kernel cools the GPU it is not the one that was written."""
        return abs(now - wanted) < _ROUNDING_HERTZ or (now < wanted and self._cooled())

    def _cooled(self) -> bool:
        for kind in self.machine.sys_root.glob("class/thermal/cooling_device*/type"):
            try:
                if "devfreq" in kind.read_text() and int(kind.with_name("cur_state").read_text()) > 0:
                    return True
            except (OSError, ValueError):
                continue
        return False

    def _file(self) -> Path | None:
        return next(iter(sorted(self.machine.sys_root.glob("class/devfreq/*gpu*/max_freq"))), None)

    def _node(self) -> Path:
        file = self._file()
        if file is None:
            raise PowerError(str(self.impossible()))
        return file


class JetsonClocks(Actuator):
    setting, by, way = "jetson_clocks", "jetson_clocks", "jetson_clocks, as root"

    def impossible(self) -> str | None:
        if not self.machine.root:
            return "not root"
        return None if _found(self.machine.jetson_clocks) else f"{self.machine.jetson_clocks} is not on this machine"

    def read(self) -> str:
        """on, off, or partly: a run of it that was cut in its middle leaves some clocks held."""
        said = self._run("--show")
        held = [found["low"] == found["high"] for found in _PINNED.finditer(said)]
        if not held:
            raise PowerError(f"jetson_clocks --show names no clock: {last_line(said)}")
        return "on" if all(held) else "partly" if any(held) else "off"

    def wanted(self, asked: bool) -> str:
        self.read()
        return "on"

    def set(self, value: str) -> str:
        if value != "on":
            return self._run("--restore", str(self._stored))
        self._stored.unlink(missing_ok=True)           # it would ask whether to replace it
        said = self._run("--store", str(self._stored))
        if not self._stored.is_file() or not self._stored.stat().st_size:
            raise PowerError(f"jetson_clocks stored nothing to come back to: {last_line(said)}")
        with open(self._stored, "rb") as stream:
            os.fsync(stream.fileno())
        return self._run()

    def ours(self, now: str, during: str) -> bool:
        return now in (during, "partly")

    @property
    def _stored(self) -> Path:
        return self.folder / "jetson-clocks.conf"

    def _run(self, *arguments: str) -> str:
        return self.run(_found(self.machine.jetson_clocks) or self.machine.jetson_clocks, *arguments)
