"""Every shipped profile loads, says units, names sources, agrees with what is published, and plans a night."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from edge_sleep import config
from edge_sleep.config import Budget, Config
from edge_sleep.device import profile
from edge_sleep.model import settings
from edge_sleep.model.known_shapes import KNOWN
from edge_sleep.system.home import Home
from edge_sleep.train.capacity import NOMINAL, SYSTEM_BYTES
from edge_sleep.train.planner import Plan, plan

FOLDER = Path(__file__).parent.parent / "profiles"


class Facts(NamedTuple):
    """Typed from data sheets, nvpmodel's files, device trees and readings of real boards; not from the profiles."""

    gibibytes: int                     # on the module
    seen: tuple[float, float]          # of it by Linux, in GiB: a measured MemTotal, or bounds where none is known
    gigabytes_per_second: float
    architecture: str
    zones: str
    throttle: float | None
    trip: float
    rails: str
    total: str | None
    modes: str
    default: str
    cores_gigahertz: float | None      # of the GPU in the default mode; None where its clock is not established


ORIN_ZONES = "cpu gpu cv0 cv1 cv2 soc0 soc1 soc2 tj"
SMALL_RAILS = "VDD_IN VDD_CPU_GPU_CV VDD_SOC"
AGX_ZONES, AGX_RAILS = f"{ORIN_ZONES} tboard tdiode", "VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0 VDDQ_VDD2_1V8AO"
THOR_ZONES, THOR_RAILS = "cpu gpu tj soc012 soc345", "VDD_GPU VDD_CPU_SOC_MSS VIN_SYS_5V0 VIN"
BOARDS = {
    "orin-nano-4gb": Facts(4, (3.2, 3.8), 51, "sm_87", ORIN_ZONES, 99, 104.5, SMALL_RAILS, "VDD_IN",
                           "10W 25W MAXN_SUPER 7W_AI 7W_CPU", "25W", 512 * 1.02),
    "orin-nano-8gb": Facts(8, (7.44, 7.44), 102, "sm_87", ORIN_ZONES, 99, 104.5, SMALL_RAILS, "VDD_IN",
                           "15W 25W MAXN_SUPER 7W", "25W", 1024 * 0.918),
    "orin-nx-8gb": Facts(8, (7.2, 7.7), 102, "sm_87", ORIN_ZONES, 99, 104.5, SMALL_RAILS, "VDD_IN",
                         "MAXN MAXN_SUPER 10W 15W 20W 40W", "40W", 1024 * 1.173),
    "orin-nx-16gb": Facts(16, (15.29, 15.29), 102, "sm_87", ORIN_ZONES, 99, 104.5, SMALL_RAILS, "VDD_IN",
                          "MAXN MAXN_SUPER 10W 15W 25W 40W", "40W", 1024 * 1.173),
    "agx-orin-32gb": Facts(32, (29.98, 29.98), 204.8, "sm_87", AGX_ZONES, 99, 104.5, AGX_RAILS, None,
                           "MAXN MODE_15W MODE_30W MODE_40W", "MODE_30W", 1024 * 0.612),
    "agx-orin-64gb": Facts(64, (61.37, 61.37), 204.8, "sm_87", AGX_ZONES, 99, 104.5, AGX_RAILS, None,
                           "MAXN MODE_15W MODE_30W MODE_50W", "MODE_30W", 1024 * 0.612),
    "agx-thor-64gb": Facts(64, (57, 63), 273, "sm_110", THOR_ZONES, None, 114.5, THOR_RAILS, "VIN", "MAXN 70W", "70W", None),
    "agx-thor-128gb": Facts(128, (122.82, 122.82), 273, "sm_110", THOR_ZONES, None, 114.5, THOR_RAILS, "VIN",
                            "MAXN 120W 90W 70W", "120W", None)}
# Another mask of the GPU's clusters is another boot: sets of modes that change into each other without one.
SAME_MASK = {
    "orin-nano-4gb": {252: "10W 25W MAXN_SUPER 7W_AI 7W_CPU"}, "orin-nano-8gb": {240: "15W 25W MAXN_SUPER", 252: "7W"},
    "orin-nx-8gb": {240: "MAXN MAXN_SUPER 20W 40W", 252: "10W 15W"},
    "orin-nx-16gb": {240: "MAXN MAXN_SUPER 25W 40W", 252: "10W 15W"},
    "agx-orin-32gb": {128: "MAXN MODE_40W", 240: "MODE_30W", 248: "MODE_15W"},
    "agx-orin-64gb": {0: "MAXN MODE_50W", 240: "MODE_30W", 248: "MODE_15W"}}
# (GPU, memory) in MHz where a mode caps them.
CAPS = {("orin-nano-8gb", "15W"): (612, 2133), ("orin-nano-8gb", "25W"): (918, 3199), ("orin-nano-8gb", "MAXN_SUPER"): (1020, 3199),
        ("orin-nx-16gb", "25W"): (408, None), ("orin-nx-16gb", "40W"): (1173, None), ("orin-nx-8gb", "40W"): (1173, None),
        ("agx-orin-64gb", "MAXN"): (None, None), ("agx-orin-64gb", "MODE_15W"): (408, 2133),
        ("agx-orin-64gb", "MODE_30W"): (612, None), ("agx-orin-64gb", "MODE_50W"): (816, None)}
SMALLEST_FIRST = [("orin-nano-4gb",), ("orin-nano-8gb",), ("orin-nx-8gb", "orin-nx-16gb"), ("agx-orin-32gb", "agx-orin-64gb"),
                  ("agx-thor-64gb",), ("agx-thor-128gb",)]


def test_the_list_is_the_folder() -> None:
    assert profile.shipped() == sorted(file.stem for file in FOLDER.glob("*.yaml"))
    assert set(profile.shipped()) == {*BOARDS, "generic-cuda", "cpu"}


@pytest.mark.parametrize("name", profile.shipped())
def test_shipped_profile(name: str) -> None:
    found = profile.load(name)
    assert found.name == name
    config.Config.model_validate(found.defaults)


@pytest.mark.parametrize("name", profile.shipped())
def test_each_number_has_its_source_in_a_comment(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        value = line.partition(":")[2]
        if any(character.isdigit() for character in value.partition("#")[0]) and not line.startswith(("format", "desc")):
            around = "".join(lines[max(0, number - 5):number + 1])
            assert "#" in around, line


@pytest.mark.parametrize("name", profile.shipped())
def test_a_board_leaves_the_optimiser_step_of_a_base_as_it_was_measured(name: str, tmp_path: Path) -> None:
    """A step of another size is another training; how many examples fit at once is the plan's business."""
    alone, _ = settings.layered(Home(tmp_path), [], profile.load("cpu"))
    on_board, _ = settings.layered(Home(tmp_path), [], profile.load(name))
    assert on_board.train.examples_per_step == alone.train.examples_per_step == 16


@pytest.mark.parametrize("name", BOARDS)
def test_numbers_agree_with_what_is_published(name: str) -> None:
    found, facts = profile.load(name), BOARDS[name]
    least, most = facts.seen
    assert least - 0.01 <= found.memory_bytes / 2**30 <= most + 0.01
    assert 0.8 < found.memory_bytes / 2**30 / facts.gibibytes < 1
    assert found.memory_bandwidth_bytes_per_second == facts.gigabytes_per_second * 1e9
    assert found.gpu_architecture == facts.architecture
    assert found.thermal.zones == tuple(facts.zones.split())
    assert (found.thermal.throttle_celsius, found.thermal.trip_celsius) == (facts.throttle, facts.trip)
    assert (found.power.rails, found.power.total_rail) == (tuple(facts.rails.split()), facts.total)
    assert (set(found.power.modes), found.power.default_mode) == (set(facts.modes.split()), facts.default)


@pytest.mark.parametrize("name", BOARDS)
def test_a_night_pauses_well_below_where_the_kernel_acts(name: str) -> None:
    thermal = profile.load(name).thermal
    assert thermal.ceiling_celsius - thermal.release_celsius >= 5
    assert 80 <= thermal.ceiling_celsius <= 85
    assert (thermal.throttle_celsius or thermal.trip_celsius) - thermal.ceiling_celsius >= 14


@pytest.mark.parametrize("name", BOARDS)
def test_modes_say_what_a_change_costs(name: str) -> None:
    power = profile.load(name).power
    masks = {mode: mask for mask, modes in SAME_MASK.get(name, {}).items() for mode in modes.split()}
    assert {mode: one.tpc_mask for mode, one in power.modes.items()} == {mode: masks.get(mode) for mode in power.modes}
    assert {mode: one.needs_reboot for mode, one in power.modes.items()} == {
        mode: masks[mode] != masks[power.default_mode] if masks else None for mode in power.modes}


@pytest.mark.parametrize("name, mode", CAPS)
def test_clocks_of_modes(name: str, mode: str) -> None:
    found = profile.load(name).power.modes[mode]
    assert (found.gpu_hertz, found.memory_hertz) == tuple(mega and mega * 10**6 for mega in CAPS[name, mode])


@pytest.mark.parametrize("name", [name for name, facts in BOARDS.items() if facts.cores_gigahertz])
def test_speed_is_scaled_from_the_orin_nano(name: str) -> None:
    """Products with cores x GHz, the rest with the bandwidth, as each profile's comment has it."""
    nano, facts = BOARDS["orin-nano-8gb"], BOARDS[name]
    milliseconds = (60 * nano.cores_gigahertz / facts.cores_gigahertz
                    + 119 * nano.gigabytes_per_second / facts.gigabytes_per_second)
    flops = profile.load(name).training_flops_per_second
    assert flops == pytest.approx(profile.load("orin-nano-8gb").training_flops_per_second * 179 / milliseconds, rel=0.01)


def _night(board: profile.Profile, model: str, there: int) -> Plan:
    settings = Config.model_validate({"train": {"epochs": NOMINAL.epochs}})
    return plan(KNOWN[model], settings, examples=NOMINAL.examples, mean_tokens=NOMINAL.tokens, longest=NOMINAL.tokens, device="gpu",
                dtype="bfloat16", available_bytes=there, cores=1, measured_tokens_per_second=None,
                flops_per_second=board.training_flops_per_second)


@pytest.mark.parametrize("model", ["qwen2.5-0.5b", "qwen2.5-1.5b"])
@pytest.mark.parametrize("name", profile.shipped())
def test_every_profile_plans(name: str, model: str) -> None:
    """One that knows no memory plans for what the machine has: 8 GB."""
    board = profile.load(name)
    there = (board.memory_bytes or 8 * 2**30) - SYSTEM_BYTES
    found = _night(board, model, there)
    assert found.where == "gpu" and 2**30 < found.peak_bytes <= there
    # An hour holds it, and no board beats 20,000 tokens/s with half a billion parameters.
    tokens = NOMINAL.examples * NOMINAL.tokens * NOMINAL.epochs
    assert tokens / 20_000 < found.training_seconds < Budget().time * (1 - Budget().reserve)
    reasons = {choice["name"]: choice["reason"] for choice in found.choices}
    assert ("its profile's" in reasons["training_seconds"]) == (name in BOARDS)


@pytest.mark.parametrize("model", ["qwen2.5-0.5b", "qwen2.5-1.5b"])
def test_a_larger_board_takes_less_time(model: str) -> None:
    def seconds(name: str) -> float:
        board = profile.load(name)
        return _night(board, model, board.memory_bytes - SYSTEM_BYTES).training_seconds

    slowest_first = [[seconds(name) for name in alike] for alike in SMALLEST_FIRST]
    for larger, smaller in zip(slowest_first[1:], slowest_first, strict=False):
        assert max(larger) < min(smaller)
