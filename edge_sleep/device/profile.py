"""What is known of a board before a night: memory, zones, trips, rails, modes, and settings that suit it.

Shipped profiles are YAML files in profiles/ (`edge_sleep.profiles` once installed); a path works too.
"""
from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_sleep.config import Config, read_yaml
from edge_sleep.device import memory
from edge_sleep.errors import ConfigError, DeviceError, UsageError

DEVICE_TREE_MODEL = Path("/proc/device-tree/model")
TEGRA_RELEASE = Path("/etc/nv_tegra_release")
FALLBACK = "cpu"
# Firmware and carve-outs take a little of a module's memory, never a quarter of it.
_SAME_MEMORY = 0.75

Celsius = Annotated[float, Field(gt=0, lt=130)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thermal(_Part):
    zones: tuple[str, ...] = Field((), description="zone types up to the first '-'")
    release_celsius: Celsius | None = Field(None, description="a pause for heat ends below this")
    ceiling_celsius: Celsius | None = Field(None, description="a night pauses above this")
    throttle_celsius: Celsius | None = Field(None, description="the kernel slows the clocks here")
    trip_celsius: Celsius | None = Field(None, description="the kernel shuts the board down here")

    @model_validator(mode="after")
    def _rising(self) -> Thermal:
        names = ("release_celsius", "ceiling_celsius", "throttle_celsius", "trip_celsius")
        known = [(name, value) for name in names if (value := getattr(self, name)) is not None]
        for (lower, low), (upper, high) in zip(known, known[1:], strict=False):
            if low >= high:
                raise ValueError(f"{lower} ({low:g}) must be below {upper} ({high:g})")
        return self


class Mode(_Part):
    """A power mode is a set of clock caps; its name is not a promise of watts. None: uncapped."""

    cpu_hertz: int | None = Field(None, gt=0)
    gpu_hertz: int | None = Field(None, gt=0)
    memory_hertz: int | None = Field(None, gt=0)
    needs_reboot: bool = False


class Power(_Part):
    rails: tuple[str, ...] = ()
    total_rail: str | None = Field(None, description="the rail that is the whole board; None: their sum")
    default_mode: str | None = None
    modes: dict[str, Mode] = Field(default_factory=dict, description="by name: ids differ between releases")

    @model_validator(mode="after")
    def _known(self) -> Power:
        if self.total_rail is not None and self.total_rail not in self.rails:
            raise ValueError(f"total_rail {self.total_rail} is not one of rails")
        if self.default_mode is not None and self.default_mode not in self.modes:
            raise ValueError(f"default_mode {self.default_mode} is not one of modes")
        return self


class Profile(_Part):
    format: Annotated[int, Field(ge=1, le=1)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str
    device_tree_models: tuple[str, ...] = Field((), description="text in /proc/device-tree/model")
    memory_bytes: int | None = Field(None, gt=0, description="MemTotal as Linux sees it")
    memory_bandwidth_bytes_per_second: int | None = Field(None, gt=0)
    gpu_architecture: str | None = Field(None, pattern=r"^sm_\d+$")
    training_flops_per_second: float | None = Field(
        None, gt=0, description="what training on a 4-bit base sustains on its GPU; a plan's figure until a home has measured")
    thermal: Thermal = Thermal()
    power: Power = Power()
    defaults: dict[str, dict[str, Any]] = Field(default_factory=dict, description="configuration for this board")


def _folder() -> Path:
    spec = importlib.util.find_spec("edge_sleep.profiles")
    places = list(spec.submodule_search_locations or []) if spec else []
    if not places:
        raise DeviceError("the shipped profiles are missing", "install edge_sleep again, or name a profile file")
    return Path(places[0])


def shipped() -> list[str]:
    """Names of the profiles that come with edge_sleep."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def load(name_or_path: str | Path) -> Profile:
    """The profile of a shipped name or of a YAML file; every problem in it is raised at once."""
    text = str(name_or_path)
    if text in shipped():
        return _read(_folder() / f"{text}.yaml")
    path = Path(text).expanduser()
    if path.is_file():
        return _read(path)
    raise UsageError(f"no profile `{text}`", f"choose one of {', '.join(shipped())}, or name a YAML file")


def _read(path: Path) -> Profile:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(["expected keys such as `name:` and `thermal:`"], str(path))
    problems = []
    profile = None
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        problems += _named(error)
    try:
        Config.model_validate(document.get("defaults") or {})
    except ValidationError as error:
        problems += _named(error, "defaults")
    if problems or profile is None:
        raise ConfigError(problems, str(path))
    return profile


def _named(error: ValidationError, *above: str) -> list[str]:
    return [f"{'.'.join([*above, *map(str, item['loc'])]) or 'profile'}: {item['msg']}" for item in error.errors()]


def detect(model_file: Path = DEVICE_TREE_MODEL, release_file: Path = TEGRA_RELEASE,
           memory_bytes: int | None = None) -> tuple[Profile, str]:
    """The profile of this machine and why it was chosen.

    A board matches by what its device tree calls it, and by its memory: the 4 GB and 8 GB modules share a name.
    """
    fallback = load(FALLBACK)
    board = _text(model_file)
    if not board:
        if release_file.exists():
            return fallback, f"{release_file} says Jetson, but {model_file} does not name the board; use --profile"
        return fallback, f"no {model_file}: not a Jetson"
    total = memory.total_bytes() if memory_bytes is None else memory_bytes
    too_small = []
    for name in shipped():
        profile = load(name)
        if not any(text.casefold() in board.casefold() for text in profile.device_tree_models):
            continue
        if profile.memory_bytes and not _SAME_MEMORY <= total / profile.memory_bytes <= 1 / _SAME_MEMORY:
            too_small.append(name)
            continue
        return profile, f"{model_file} says `{board}`, with {total / 2**30:.1f} GiB of memory"
    because = f"its {total / 2**30:.1f} GiB are not those of {', '.join(too_small)}" if too_small \
        else "no shipped profile names it"
    return fallback, f"board `{board}`: {because}; use --profile"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().rstrip(b"\0\n").decode("utf-8", "replace").strip()
    except OSError:
        return ""
