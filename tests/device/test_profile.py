"""What a profile may say, which one a machine gets and why, and the profiles of a person's own."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.cli.context import Common, load_profile
from edge_sleep.device import profile
from edge_sleep.errors import ConfigError, UsageError

SHIPPED = Path(__file__).parent.parent.parent / "profiles"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own profiles: none yet, whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    made = tmp_path / "config/edge-sleep/profiles"
    made.mkdir(parents=True)
    return made


def machine(tmp_path: Path, model: str = "", compatible: str = "", gib: float = 7.44, *, gpu: bool = False,
            jetson: bool = False) -> tuple[profile.Profile, str]:
    """What detection says of a machine with these files. compatible: its entries, apart by spaces."""
    for name, text in (("model", model and model + "\0"), ("compatible", "".join(f"{one}\0" for one in compatible.split())),
                       ("release", "# R36" if jetson else ""), ("version", "NVRM version: 580" if gpu else "")):
        if text:
            (tmp_path / name).write_bytes(text.encode())
    return profile.detect(tmp_path / "model", tmp_path / "release", int(gib * 2**30), nvidia_files=[tmp_path / "version"])


NANO, NX, AGX = ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit", "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
                 "NVIDIA Jetson AGX Orin Developer Kit")
THOR = "NVIDIA Jetson AGX Thor Developer Kit"


@pytest.mark.parametrize("model, compatible, gib, want", [
    # A module's part number decides, with the carrier before it, with Super after it, or alone.
    (NANO, "nvidia,p3768-0000+p3767-0004 nvidia,p3767-0004 nvidia,tegra234", 3.44, "orin-nano-4gb"),
    (NANO, "nvidia,p3768-0000+p3767-0003-super nvidia,tegra234", 7.44, "orin-nano-8gb"),
    (f"{NANO} Super", "nvidia,p3768-0000+p3767-0005-super nvidia,p3767-0005 nvidia,tegra234", 7.44, "orin-nano-8gb"),
    (NX, "nvidia,p3768-0000+p3767-0001 nvidia,tegra234", 7.44, "orin-nx-8gb"),
    (NX, "nvidia,p3768-0000+p3767-0000 nvidia,p3767-0000 nvidia,tegra234", 15.29, "orin-nx-16gb"),
    (AGX, "nvidia,p3737-0000+p3701-0004 nvidia,p3701-0004 nvidia,tegra234", 29.98, "agx-orin-32gb"),
    (AGX, "nvidia,p3737-0000+p3701-0000 nvidia,p3701-0000 nvidia,tegra234", 29.98, "agx-orin-32gb"),
    (AGX, "nvidia,p3737-0000+p3701-0005 nvidia,p3701-0005 nvidia,tegra234", 61.37, "agx-orin-64gb"),
    (THOR, "nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264", 122.8, "agx-thor-128gb"),
    (THOR, "nvidia,p4071-0000+p3834-0000 nvidia,p3834-0000 nvidia,tegra264", 58.8, "agx-thor-64gb"),
    # A carrier is not a module: a dev kit's carrier with another module, and a carrier of somebody else.
    (f"{NANO} Super", "nvidia,p3768-0000+p3767-0001-super nvidia,p3767-0001", 7.44, "orin-nx-8gb"),
    ("Somebody's robot", "somebody,robot nvidia,p3767-0000 nvidia,tegra234", 15.3, "orin-nx-16gb"),
    (AGX, "nvidia,p3737-0000+p3701-0000-as-p3767-0000 nvidia,tegra234", 15.0, "orin-nx-16gb"),
    # Without it, the name and the memory.
    ("NVIDIA Jetson Orin Nano Developer Kit", "", 3.6, "orin-nano-4gb"),
    ("NVIDIA Jetson Orin Nano Developer Kit Super", "", 7.44, "orin-nano-8gb"),
    (NANO, "nvidia,tegra234", 6.3, "orin-nano-8gb"),
    ("NVIDIA Orin NX Developer Kit", "", 7.4, "orin-nx-8gb"),
    (NX, "", 15.3, "orin-nx-16gb"),
    (AGX, "", 30.0, "agx-orin-32gb"), (AGX, "", 61.4, "agx-orin-64gb"),
    (THOR, "", 58.8, "agx-thor-64gb"), (THOR, "", 122.8, "agx-thor-128gb")])
def test_every_board_is_told_apart(tmp_path: Path, model: str, compatible: str, gib: float, want: str) -> None:
    found, why = machine(tmp_path, model, compatible, gib)
    assert found.name == want
    assert f"`{model}`" in why and f"{gib:.1f} GiB" in why and str(tmp_path / "model") in why
    if found.device_tree_compatible and "-0" in compatible:
        assert any(part in why for part in found.device_tree_compatible)


@pytest.mark.parametrize("model, compatible, gib, says", [
    ("NVIDIA Jetson Something New", "nvidia,p9999-0000", 61.0, "no profile names it"), ("Raspberry Pi 5", "raspberrypi,5", 7.4, "no profile names it"),
    (NANO, "", 15.3, "not the memory of orin-nano-4gb, orin-nano-8gb"), (AGX, "nvidia,p3701-0005", 8.0, "not the memory of agx-orin-64gb"),
    # The module is known, so the carrier's name is not asked, though its memory would fit.
    (NANO, "nvidia,p3768-0000+p3767-0000", 7.4, "not the memory of orin-nx-16gb")])
def test_a_board_without_a_profile_is_told_so(tmp_path: Path, model: str, compatible: str, gib: float, says: str) -> None:
    found, why = machine(tmp_path, model, compatible, gib)
    assert found.name == "cpu"
    assert says in why and model in why and "use --profile" in why


def test_a_card_is_not_a_jetson(tmp_path: Path) -> None:
    found, why = machine(tmp_path)
    assert (found.name, why) == ("cpu", f"no {tmp_path / 'model'}: not a Jetson")
    found, why = machine(tmp_path, gpu=True)
    assert found.name == "generic-cuda" and f"{tmp_path / 'version'} is a sign of an NVIDIA GPU" in why
    found, why = machine(tmp_path, "Some Arm server", gpu=True)
    assert found.name == "generic-cuda" and "Some Arm server" in why and "use --profile" in why
    found, why = machine(tmp_path, "NVIDIA Jetson Something New", gpu=True)
    assert found.name == "cpu" and "use --profile" in why


def test_a_jetson_that_does_not_name_itself(tmp_path: Path) -> None:
    found, why = machine(tmp_path, gpu=True, jetson=True)
    assert found.name == "cpu" and "says Jetson" in why and "use --profile" in why


def own(folder: Path, name: str, like: str = "orin-nano-8gb", **changes: object) -> Path:
    document = yaml.safe_load((SHIPPED / f"{like}.yaml").read_text()) | {"name": name} | changes
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_the_users_folder(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profile.users_folder() == folder
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert profile.users_folder() == tmp_path / ".config/edge-sleep/profiles"


def test_one_of_the_users_own_is_found_by_name_and_by_board(tmp_path: Path, folder: Path) -> None:
    file = own(folder, "robot", description="mine")
    assert profile.load("robot").description == "mine"
    assert load_profile(Common(profile="robot"))[1] == f"--profile, your own {file}"
    found, why = machine(tmp_path, NANO, "nvidia,p3768-0000+p3767-0005")
    assert found.name == "robot" and f"your own {file}" in why
    assert "robot" not in profile.shipped()


def test_the_users_own_comes_first_though_it_only_has_the_name(tmp_path: Path, folder: Path) -> None:
    own(folder, "robot", device_tree_compatible=[])
    assert machine(tmp_path, NANO, "nvidia,p3768-0000+p3767-0005")[0].name == "robot"
    assert machine(tmp_path, NX, "nvidia,p3767-0001")[0].name == "orin-nx-8gb"


def test_one_with_the_name_of_a_shipped_one_takes_its_place(tmp_path: Path, folder: Path) -> None:
    """Wherever the shipped one would be chosen, whether or not it says itself for which board it is."""
    file = own(folder, "orin-nano-8gb", description="mine", device_tree_models=[], device_tree_compatible=[])
    assert load_profile(Common(profile="orin-nano-8gb")) == (profile.load("orin-nano-8gb"),
                                                             f"--profile, your own {file} instead of the shipped one")
    found, why = machine(tmp_path, NANO)
    assert found.description == "mine" and f"your own {file} instead of the shipped one" in why


def test_the_users_own_fallback(tmp_path: Path, folder: Path) -> None:
    own(folder, "cpu", like="cpu", description="mine")
    found, why = machine(tmp_path)
    assert found.description == "mine" and "not a Jetson" in why and "your own" in why


def test_two_that_match_alike_are_both_named(tmp_path: Path, folder: Path) -> None:
    own(folder, "robot-b")
    own(folder, "robot-a")
    found, why = machine(tmp_path, NANO)
    assert found.name == "robot-a" and "it is also that of robot-b" in why


def test_a_broken_one_is_an_error_where_it_is_asked_for_or_matches(tmp_path: Path, folder: Path) -> None:
    own(folder, "robot", memory_bandwidth_bytes_per_second=-1)
    for ask in (lambda: profile.load("robot"), lambda: machine(tmp_path, NANO)):
        with pytest.raises(ConfigError, match="robot.yaml") as caught:
            ask()
        assert "memory_bandwidth_bytes_per_second" in str(caught.value)
    assert machine(tmp_path, AGX, gib=61.4)[0].name == "agx-orin-64gb"
    # What says whom it is for may be broken itself.
    own(folder, "robot", device_tree_models="Orin Nano", device_tree_compatible=None)
    with pytest.raises(ConfigError, match="device_tree_models"):
        machine(tmp_path, NANO)


@pytest.mark.parametrize("content", ["a: [", "", "just words", "[1, 2]"])
def test_one_that_cannot_be_read_is_not_passed_over_in_silence(tmp_path: Path, folder: Path, content: str) -> None:
    (folder / "robot.yaml").write_text(content)
    found, why = machine(tmp_path, NANO)
    assert found.name == "orin-nano-8gb" and f"{folder / 'robot.yaml'} cannot be read" in why
    with pytest.raises(ConfigError, match="robot.yaml"):
        profile.load("robot")
    (folder / "orin-nano-8gb.yaml").write_text(content)
    with pytest.raises(ConfigError, match="orin-nano-8gb.yaml"):
        machine(tmp_path, NANO)


def test_a_file_is_called_as_its_profile(folder: Path) -> None:
    own(folder, "robot").rename(folder / "other.yaml")
    with pytest.raises(ConfigError, match="name: is robot, but the file is called other.yaml"):
        profile.load("other")


def test_unknown_name(folder: Path) -> None:
    own(folder, "robot")
    with pytest.raises(UsageError, match="orin-nano-9gb") as caught:
        profile.load("orin-nano-9gb")
    assert "orin-nano-8gb" in caught.value.do and "robot" in caught.value.do and str(folder) in caught.value.do


def test_a_path(tmp_path: Path) -> None:
    assert profile.load(own(tmp_path, "mine")).name == "mine"
    assert profile.asked(str(own(tmp_path, "mine")))[1] == "--profile"


def test_all_problems_at_once(tmp_path: Path) -> None:
    file = own(tmp_path, "bad", memory_bytes=-1, colour="blue",
               thermal={"release_celsius": 90, "ceiling_celsius": 80, "throttle_celsius": 99, "trip_celsius": 98},
               power={"rails": ["A"], "total_rail": "B", "default_mode": "C"}, defaults={"train": {"epoch": 3}})
    with pytest.raises(ConfigError) as caught:
        profile.load(file)
    text = str(caught.value)
    for words in ("memory_bytes", "colour", "release_celsius (90) must be below ceiling_celsius (80)",
                  "throttle_celsius (99) must be below trip_celsius (98)", "total_rail B", "default_mode C",
                  "defaults.train.epoch"):
        assert words in text


def test_a_mode_that_contradicts_its_mask(tmp_path: Path) -> None:
    modes = {"A": {"tpc_mask": 240, "needs_reboot": True}, "B": {"tpc_mask": 252, "needs_reboot": False},
             "C": {"tpc_mask": 252}, "D": {"needs_reboot": True}}
    with pytest.raises(ConfigError) as caught:
        profile.load(own(tmp_path, "bad", power={"default_mode": "A", "modes": modes}))
    text = str(caught.value)
    assert "modes.A.needs_reboot is true: its tpc_mask is 240" in text
    assert "modes.B.needs_reboot is false: its tpc_mask is 252, that of default_mode A is 240" in text
    assert "modes.C" not in text and "modes.D" not in text


@pytest.mark.parametrize("content", ["", "just words", "[1, 2]", "a: [", "\x00"])
def test_rubbish_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rubbish.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match="rubbish.yaml"):
        profile.load(file)


@given(st.lists(st.one_of(st.none(), st.floats(1, 129)), min_size=4, max_size=4))
def test_temperatures_rise(values: list[float | None]) -> None:
    names = ("release_celsius", "ceiling_celsius", "throttle_celsius", "trip_celsius")
    known = [value for value in values if value is not None]
    rising = all(low < high for low, high in zip(known, known[1:], strict=False))
    try:
        profile.Thermal(**dict(zip(names, values, strict=True)))
        accepted = True
    except ValueError:
        accepted = False
    assert accepted == rising
