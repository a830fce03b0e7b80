"""The files of a Jetson's /sys, /proc and /etc, as jetson-stats and our own reader look for them, and handles to change them."""
from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ORIN_ZONES = ("cpu-thermal", "gpu-thermal", "cv0-thermal", "cv1-thermal", "cv2-thermal", "soc0-thermal", "soc1-thermal",
               "soc2-thermal", "tj-thermal")
_ORIN_L4T = "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025"
_THOR_L4T = "# R38 (release), REVISION: 4.0, GCID: 1, BOARD: generic, EABI: aarch64, DATE: Thu Jan  1 00:00:00 UTC 2026"


@dataclass(frozen=True)
class Kind:
    """What one module has. Rails are (label, share of the board's watts); a total has the share 1."""

    model: str
    zones: tuple[str, ...]
    monitors: tuple[tuple[str, str, tuple[tuple[str, float], ...]], ...]      # (chip, bus address, rails)
    modes: tuple[tuple[int, str, int], ...]                                   # (id, name, TPC mask)
    mode: int
    release: str = _ORIN_L4T
    memory_kb: int = 7_990_000
    cores: int = 6
    gpu_node: str = "17000000.gpu"
    gpu_hertz: tuple[int, int] = (306_000_000, 1_020_000_000)
    trips: tuple[tuple[str, int], ...] = (("passive", 99_000), ("critical", 104_500))


KINDS = {
    "orin-nano-8gb": Kind(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", _ORIN_ZONES,
        (("ina3221", "1-0040", (("VDD_IN", 1.0), ("VDD_CPU_GPU_CV", 0.45), ("VDD_SOC", 0.2))),),
        ((0, "15W", 240), (1, "25W", 240), (2, "MAXN_SUPER", 240), (3, "7W", 252)), 1),
    "agx-orin-64gb": Kind(
        "NVIDIA Jetson AGX Orin Developer Kit", _ORIN_ZONES,
        (("ina3221", "1-0040", (("VDD_GPU_SOC", 0.5), ("VDD_CPU_CV", 0.2), ("VIN_SYS_5V0", 0.2))),
         ("ina3221", "1-0041", (("NC", 0.0), ("VDDQ_VDD2_1V8AO", 0.1), ("NC", 0.0)))),
        ((0, "MAXN", 0), (1, "MODE_15W", 248), (2, "MODE_30W", 240), (3, "MODE_50W", 0)), 2,
        memory_kb=64_330_000, cores=12, gpu_hertz=(306_000_000, 1_300_500_000)),
    "agx-thor-128gb": Kind(
        "NVIDIA Jetson AGX Thor Developer Kit",
        ("cpu-thermal", "gpu-thermal", "tj-thermal", "soc012-thermal", "soc345-thermal"),
        (("ina3221", "1-0040", (("VDD_GPU", 0.4), ("VDD_CPU_SOC_MSS", 0.3), ("VIN_SYS_5V0", 0.2))),
         ("ina238", "2-0044", (("VIN", 1.0),))),
        ((0, "MAXN", 0), (1, "120W", 0), (2, "90W", 992), (3, "70W", 992)), 1, _THOR_L4T,
        memory_kb=128_790_000, cores=14, gpu_node="gpu-gpc-0", gpu_hertz=(315_000_000, 1_575_000_000),
        trips=(("critical", 114_500),)),
}


class Board:
    """A tree below `root`, and what happens to the board: heat, watts, a sensor that fails and comes back."""

    def __init__(self, root: Path, name: str, celsius: float = 41.5, watts: float = 5.0):
        self.root, self.name, self.kind = root, name, KINDS[name]
        self.sys = root / "sys"
        self._rails: dict[str, tuple[Path, float, bool]] = {}        # label -> (folder and channel, share, microwatts)
        _write_system(root, self.kind)
        for number, zone in enumerate(self.kind.zones):
            folder = self.sys / f"devices/virtual/thermal/thermal_zone{number}"
            put(folder / "type", zone)
            for trip, (kind, millicelsius) in enumerate(self.kind.trips):
                put(folder / f"trip_point_{trip}_temp", millicelsius)
                put(folder / f"trip_point_{trip}_type", kind)
            _link(folder, self.sys / f"class/thermal/thermal_zone{number}")
        for number, (chip, address, rails) in enumerate(self.kind.monitors, 1):
            self._monitor(number, chip, address, rails)
        self.heat(celsius)
        self.draw(watts)

    def _monitor(self, number: int, chip: str, address: str, rails: Iterable[tuple[str, float]]) -> None:
        device = self.sys / f"bus/i2c/devices/{address}"
        folder = device / f"hwmon/hwmon{number}"
        put(device / "name", chip)
        put(folder / "name", chip)
        for channel, (label, share) in enumerate(rails, 1):
            if chip == "ina238":
                self._rails[label] = (folder / "power1_input", share, True)
                put(folder / "in1_input", 19000)
                continue
            put(folder / f"in{channel}_label", label)
            put(folder / f"in{channel}_input", 5000 if share else 0)
            put(folder / f"curr{channel}_input", 0)
            for limit in ("max", "crit"):
                put(folder / f"curr{channel}_{limit}", 32760)
                put(folder / f"curr{channel}_{limit}_alarm", 0)
            if share:
                self._rails[label] = (folder / f"curr{channel}_input", share, False)
        if chip == "ina3221":
            put(folder / "in7_label", "sum of shunt voltages")
            put(folder / "in7_input", 0)
        _link(folder, self.sys / f"class/hwmon/hwmon{number}")

    def heat(self, celsius: float, zone: str | None = None) -> None:
        """Every zone (or one, by its name without `-thermal`) shows `celsius`; Orin's CV blocks are powered off and show -256."""
        for number, name in enumerate(self.kind.zones):
            if zone in (None, name.removesuffix("-thermal")):
                gated = name.startswith("cv") and zone is None
                put(self.sys / f"devices/virtual/thermal/thermal_zone{number}/temp", -256000 if gated else round(celsius * 1000))

    def draw(self, watts: float) -> None:
        """The board takes `watts`, by its rails' shares."""
        for file, share, micro in self._rails.values():
            if file.exists() or not file.parent.joinpath(".broken-" + file.name).exists():
                put(file, round(watts * share * 1e6) if micro else round(watts * share / 5 * 1e3))
            if micro:
                put(file.with_name("curr1_input"), round(watts * share / 19 * 1e3))

    def load(self, share: float) -> None:
        """The GPU's load, in [0, 1]."""
        put(self.gpu / "load", round(share * 1000))

    def break_rail(self, label: str) -> None:
        """The rail can no longer be read: an error, as a monitor gives that left its bus."""
        file = self._rails[label][0]
        file.unlink()
        file.with_name(".broken-" + file.name).touch()

    def mend_rail(self, label: str) -> None:
        file = self._rails[label][0]
        file.with_name(".broken-" + file.name).unlink(missing_ok=True)
        put(file, 1000)

    def spoil_rail(self, label: str, text: str = "garbage") -> None:
        """The rail shows no number: this ends the timer thread of jtop 7.2.2, while its service stays."""
        put(self._rails[label][0], text)

    def break_zone(self, zone: str) -> None:
        number = self.kind.zones.index(f"{zone}-thermal")
        (self.sys / f"devices/virtual/thermal/thermal_zone{number}/temp").unlink()

    @property
    def gpu(self) -> Path:
        return self.sys / f"devices/platform/bus@0/{self.kind.gpu_node}"

    @property
    def gpu_max_freq(self) -> Path:
        return self.gpu / f"devfreq/{self.kind.gpu_node}/max_freq"

    @property
    def meminfo(self) -> Path:
        return self.root / "proc/meminfo"

    @property
    def mode(self) -> str:
        """Name of the power mode that the stub of nvpmodel has set."""
        number = int((self.root / "nvpmodel/current").read_text())
        return next(name for own, name, _ in self.kind.modes if own == number)


def put(file: Path, text: object) -> None:
    """Replace a file's text at once: a reader that met an empty file would take it for a broken sensor."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.new")
    new.write_text(f"{text}\n")
    os.replace(new, file)


def _link(target: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(os.path.relpath(target, place.parent))


def _write_system(root: Path, kind: Kind) -> None:
    shutil.rmtree(root / "sys", ignore_errors=True)
    sys, proc = root / "sys", root / "proc"
    gpu = sys / f"devices/platform/bus@0/{kind.gpu_node}"
    node = gpu / f"devfreq/{kind.gpu_node}"
    low, high = kind.gpu_hertz
    for file, text in {
            gpu / "of_node/name": "gpu", gpu / "load": 0, gpu / "railgate_enable": 1, gpu / "tpc_pg_mask": 252,
            gpu / "enable_3d_scaling": 1, gpu / "power/control": "auto", node / "governor": "nvhost_podgov",
            node / "available_governors": "nvhost_podgov performance", node / "cur_freq": low, node / "min_freq": low,
            node / "max_freq": high, node / "available_frequencies": " ".join(map(str, [*range(low, high, 102_000_000), high])),
            sys / "kernel/debug/bpmp/debug/clk/emc/rate": 2133000000,
            sys / "kernel/debug/bpmp/debug/clk/emc/max_rate": 3199000000,
            sys / "kernel/debug/bpmp/debug/clk/emc/min_rate": 0, sys / "kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked": 0,
            sys / "kernel/debug/cactmon/mc_all": 0, sys / "kernel/nvpmodel_emc_cap/emc_iso_cap": 0,
            sys / "kernel/debug/nvmap/iovmm/maps": "CLIENT PROCESS PID SIZE\ntotal 0K",
            sys / "class/hwmon/hwmon20/name": "pwmfan", sys / "class/hwmon/hwmon20/pwm1": 0,
            sys / "class/hwmon/hwmon21/name": "pwm_tach", sys / "class/hwmon/hwmon21/rpm": 0,
            sys / "devices/system/cpu/online": f"0-{kind.cores - 1}",
            sys / "devices/virtual/dmi/id/product_name": "fake board",       # jtop on x86 wants the folder
            root / "etc/nv_tegra_release": kind.release, root / "nvpmodel/current": kind.mode,
            root / "nvpmodel/default": kind.mode, root / "nvfancontrol": "active",
            root / "nvpmodel/modes": "\n".join(f"{number} {name} {mask}" for number, name, mask in kind.modes)}.items():
        put(file, text)
    _link(gpu, node / "device")
    _link(node, sys / f"class/devfreq/{kind.gpu_node}")
    for folder in ("class/power_supply", "kernel/debug/clk"):
        (sys / folder).mkdir(parents=True, exist_ok=True)
    for core in range(kind.cores):
        folder = sys / f"devices/system/cpu/cpu{core}"
        put(folder / "online", 1)
        for name, value in {"scaling_governor": "schedutil", "scaling_min_freq": 729600, "scaling_max_freq": 1728000,
                            "scaling_cur_freq": 729600, "cpuinfo_min_freq": 115200, "cpuinfo_max_freq": 1728000,
                            "cpuinfo_cur_freq": 729600}.items():
            put(folder / "cpufreq" / name, value)
    total = kind.memory_kb
    put(proc / "meminfo", "\n".join(f"{name}: {value} kB" for name, value in {
        "MemTotal": total, "MemFree": total // 2, "MemAvailable": total * 3 // 4, "Buffers": 50000, "Cached": 650000,
        "SwapCached": 0, "SwapTotal": total // 2, "SwapFree": total // 2, "Shmem": 20000, "SReclaimable": 60000,
        "NvMapMemFree": 0, "NvMapMemUsed": 300000}.items()))
    put(proc / "stat", "\n".join(["cpu  1000 0 1000 90000 0 0 0 0 0 0",
                                  *(f"cpu{core} 100 0 100 9000 0 0 0 0 0 0" for core in range(kind.cores)),
                                  "intr 0", "ctxt 0", "btime 1700000000", "processes 1"]))
    put(root / "etc/nvfancontrol.conf", """POLLING_INTERVAL 2
<FAN 1>
	TMARGIN ENABLED
	FAN_GOVERNOR cont {
		STEP_SIZE 10
	}
	FAN_PROFILE quiet {
		0	0	0	0
		105	0	255	6000
	}
	FAN_PROFILE cool {
		0	0	66	0
		105	0	255	6000
	}
	FAN_DEFAULT_CONTROL open_loop
	FAN_DEFAULT_PROFILE quiet
	FAN_DEFAULT_GOVERNOR cont""")
