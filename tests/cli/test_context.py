"""Which base, which profile, which settings: the layers, and which wins."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_sleep.cli import context
from edge_sleep.cli.context import Common
from edge_sleep.errors import ConfigError
from edge_sleep.model import settings
from edge_sleep.system.home import Home


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that resolves as a base, with settings that travel with it."""
    folder = tmp_path / "model"
    (folder / "edge_sleep").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text("{}")
    (folder / "edge_sleep" / "defaults.yaml").write_text("train: {epochs: 11, micro_batch: 5}\nlora: {rank: 3}\n")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


@pytest.fixture
def profile(tmp_path: Path) -> str:
    file = tmp_path / "board.yaml"
    file.write_text("format: 1\nname: board\ndescription: x\n"
                    "defaults: {train: {micro_batch: 2, threads: 3, epochs: 1}}\n")
    return str(file)


def test_layers(home: Home, model: Path, profile: str) -> None:
    common = Common(profile=profile)
    found = context.configure(home, common, model=str(model))
    assert (found.train.threads, found.train.micro_batch, found.train.epochs, found.lora.rank) == (3, 5, 11, 3)
    home.config.write_text("train: {epochs: 12, threads: 4}\n")
    found = context.configure(home, common, model=str(model))
    assert (found.train.threads, found.train.epochs) == (4, 12)
    found = context.configure(home, Common(profile=profile, sets=("train.epochs=13",)), model=str(model), budget="90s")
    assert (found.train.epochs, found.budget.time) == (13, 90.0)


def test_preset_stands_above_profile_and_base(home: Home, model: Path, profile: str) -> None:
    found = context.configure(home, Common(profile=profile, sets=("train.preset=gentle",)), model=str(model))
    assert (found.train.epochs, found.lora.rank, found.train.threads) == (1, 4, 3)


def test_which_base(home: Home, model: Path, tmp_path: Path) -> None:
    assert settings.base_named(home, ()) is None
    home.base.write_text(json.dumps({"source": "remembered"}))
    assert settings.base_named(home, ()) == "remembered"
    home.config.write_text("companion: {model: configured}\n")
    assert settings.base_named(home, ()) == "configured"
    assert settings.base_named(home, ("companion.model=set",)) == "set"
    assert context.configure(home, Common(sets=("companion.model=set",)), model=str(model)).companion.model == str(model)


@pytest.mark.parametrize("name", ["with space", "ends:", "a: b", "# comment", "no", "1e3", "ключ"])
def test_any_folder_name_survives(home: Home, model: Path, name: str) -> None:
    place = model.rename(model.parent / name)
    assert context.configure(home, Common(), model=str(place)).companion.model == str(place)


def test_damaged_home_configuration(home: Home, model: Path) -> None:
    home.config.write_text("just words")
    with pytest.raises(ConfigError, match="edge-sleep.yaml"):
        context.configure(home, Common(), model=str(model))
