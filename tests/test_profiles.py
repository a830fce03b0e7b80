"""Every shipped profile loads, says units, names sources, and is found by what the board calls itself."""
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep import config
from edge_sleep.device import profile
from edge_sleep.errors import ConfigError, UsageError
from edge_sleep.model import settings
from edge_sleep.system.home import Home

FOLDER = Path(__file__).parent.parent / "profiles"


def test_the_list_is_the_folder() -> None:
    assert profile.shipped() == sorted(file.stem for file in FOLDER.glob("*.yaml"))
    assert {"cpu", "orin-nano-8gb"} <= set(profile.shipped())


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


@pytest.mark.parametrize("board, gib, want", [
    ("NVIDIA Jetson Orin Nano Developer Kit Super", 7.44, "orin-nano-8gb"),
    ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit\0", 7.4, "orin-nano-8gb"),
    ("NVIDIA Jetson Orin Nano Developer Kit", 3.6, "cpu"),
    ("NVIDIA Jetson Something New", 61.0, "cpu"),
    ("Raspberry Pi 5", 7.4, "cpu")])
def test_detect(tmp_path: Path, board: str, gib: float, want: str) -> None:
    file = tmp_path / "model"
    file.write_text(board)
    found, why = profile.detect(file, tmp_path / "release", int(gib * 2**30))
    assert found.name == want
    assert board.rstrip("\0") in why
    assert want != "cpu" or "--profile" in why


def test_detect_without_a_board(tmp_path: Path) -> None:
    found, why = profile.detect(tmp_path / "model", tmp_path / "release")
    assert found.name == "cpu" and "not a Jetson" in why
    (tmp_path / "release").write_text("# R36")
    assert "use --profile" in profile.detect(tmp_path / "model", tmp_path / "release")[1]


def _write(path: Path, **changes: object) -> Path:
    document = yaml.safe_load((FOLDER / "orin-nano-8gb.yaml").read_text()) | changes
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    assert profile.load(_write(tmp_path / "mine.yaml", name="mine")).name == "mine"


def test_all_problems_at_once(tmp_path: Path) -> None:
    file = _write(tmp_path / "bad.yaml", memory_bytes=-1, colour="blue",
                  thermal={"release_celsius": 90, "ceiling_celsius": 80},
                  power={"rails": ["A"], "total_rail": "B"}, defaults={"train": {"epoch": 3}})
    with pytest.raises(ConfigError) as caught:
        profile.load(file)
    text = str(caught.value)
    for word in ("memory_bytes", "colour", "ceiling_celsius", "total_rail", "defaults.train.epoch"):
        assert word in text


@pytest.mark.parametrize("content", ["", "just words", "[1, 2]", "a: [", "\x00"])
def test_rubbish_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "rubbish.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match="rubbish.yaml"):
        profile.load(file)


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="orin-nano-9gb") as caught:
        profile.load("orin-nano-9gb")
    assert "orin-nano-8gb" in caught.value.do


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
