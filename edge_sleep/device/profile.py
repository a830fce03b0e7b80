"""What is known of a board before a night: memory, zones, trips, rails, modes, and settings that suit it.

Shipped profiles are YAML files in profiles/ (`edge_sleep.profiles` once installed). The user's own lie in
~/.config/edge-sleep/profiles (XDG_CONFIG_HOME); one with the name of a shipped profile takes its place. A path works too.
"""
from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_sleep.config import Config, read_yaml
from edge_sleep.device.machine import NVIDIA_FILES, TEGRA_RELEASE, Machine, look
from edge_sleep.errors import ConfigError, DeviceError, UsageError

FALLBACK = "cpu"
WITH_GPU = "generic-cuda"
# Firmware and carve-outs take a little of a module's memory, never a quarter of it.
_SAME_MEMORY = 0.75

Celsius = Annotated[float, Field(gt=0, lt=130)]


def _refuse(problems: Iterable[str]) -> None:
    if found := "; ".join(problems):
        raise ValueError(found)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Thermal(_Part):
    zones: tuple[str, ...] = Field((), description="zone types up to the first '-'")
    release_celsius: Celsius | None = Field(None, description="a pause for heat ends below this")
    ceiling_celsius: Celsius | None = Field(None, description="held by resting; a night pauses a degree above")
    throttle_celsius: Celsius | None = Field(None, description="the kernel slows the clocks here")
    trip_celsius: Celsius | None = Field(None, description="the kernel shuts the board down here")

    @model_validator(mode="after")
    def _rising(self) -> Thermal:
        names = ("release_celsius", "ceiling_celsius", "throttle_celsius", "trip_celsius")
        known = [(name, value) for name in names if (value := getattr(self, name)) is not None]
        _refuse(f"{lower} ({low:g}) must be below {upper} ({high:g})"
                for (lower, low), (upper, high) in zip(known, known[1:], strict=False) if low >= high)
        return self


class Mode(_Part):
    """A power mode is a set of clock caps; its name is not a promise of watts. None: uncapped, or not known (Thor)."""

    cpu_hertz: int | None = Field(None, gt=0)
    gpu_hertz: int | None = Field(None, gt=0)
    memory_hertz: int | None = Field(None, gt=0)
    tpc_mask: int | None = Field(None, ge=0, description="GPU clusters that are switched off; another mask needs a reboot")
    needs_reboot: bool | None = Field(None, description="whether a board in its default mode reboots for it; None: not known")


class Power(_Part):
    rails: tuple[str, ...] = ()
    total_rail: str | None = Field(None, description="the rail that is the whole board; None: their sum")
    default_mode: str | None = None
    modes: dict[str, Mode] = Field(default_factory=dict, description="by name: ids differ between releases")

    @model_validator(mode="after")
    def _known(self) -> Power:
        _refuse(self._contradictions())
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.total_rail is not None and self.total_rail not in self.rails:
            yield f"total_rail {self.total_rail} is not one of rails"
        if self.default_mode is None:
            return
        if (default := self.modes.get(self.default_mode)) is None:
            yield f"default_mode {self.default_mode} is not one of modes"
            return
        for name, mode in self.modes.items():
            if None in (default.tpc_mask, mode.tpc_mask, mode.needs_reboot):
                continue
            if mode.needs_reboot != (mode.tpc_mask != default.tpc_mask):
                yield (f"modes.{name}.needs_reboot is {str(mode.needs_reboot).lower()}: its tpc_mask is {mode.tpc_mask}, that of "
                       f"default_mode {self.default_mode} is {default.tpc_mask}")


class Profile(_Part):
    format: Annotated[int, Field(ge=1, le=1)]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str
    device_tree_compatible: tuple[str, ...] = Field((), description="modules by part number, as in /proc/device-tree/compatible")
    device_tree_models: tuple[str, ...] = Field((), description="text in /proc/device-tree/model, where nobody has the module")
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


def users_folder() -> Path:
    """Where a person's own profiles lie."""
    # expanduser of os.path raises nothing where nobody has a home, as in a container.
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "edge-sleep" / "profiles"


def shipped() -> list[str]:
    """Names of the profiles that come with edge_sleep."""
    return sorted(_files(_folder()))


def load(name_or_path: str | Path, folder: Path | None = None) -> Profile:
    """The profile of a name or of a YAML file; every problem in it is raised at once. folder: of the user's own."""
    return _named(str(name_or_path), folder or users_folder())[0]


def asked(name_or_path: str, folder: Path | None = None) -> tuple[Profile, str]:
    """What --profile names, and where it was found."""
    found, note = _named(name_or_path, folder or users_folder())
    return found, f"--profile{note}"


def detect(model_file: Path | None = None, release_file: Path = TEGRA_RELEASE, memory_bytes: int | None = None, *,
           compatible_file: Path | None = None, nvidia_files: Iterable[Path] = NVIDIA_FILES,
           folder: Path | None = None) -> tuple[Profile, str]:
    """The profile of this machine and why it was chosen. Raises ConfigError where that one is broken."""
    return choose(look(model_file, release_file, memory_bytes, compatible_file, nvidia_files), folder)


def choose(machine: Machine, folder: Path | None = None) -> tuple[Profile, str]:
    """The profile of `machine` and why.

    A board matches by its module's part number or, where no profile has that, by what its device tree calls it; and by its
    memory, since modules share a carrier's name. The user's own profiles come first, and may have the name alone.
    """
    own = folder or users_folder()
    claims, unread = _claims(own) if machine.model or machine.compatible else ([], [])
    known = any(claim.compatible.intersection(machine.compatible) for claim in claims)
    matched, unlike = [], []
    for claim in claims:
        by_module = not claim.compatible.isdisjoint(machine.compatible)
        by_name = (claim.own or not known) and any(text.casefold() in machine.model.casefold() for text in claim.models)
        if not (by_module or by_name):
            continue
        if claim.memory_bytes and not _SAME_MEMORY <= machine.memory_bytes / claim.memory_bytes <= 1 / _SAME_MEMORY:
            unlike.append(claim.name)
        else:
            matched.append((not claim.own, not by_module, claim.name))
    if matched:
        first = min(matched)
        name, because = first[-1], f"{machine.model_file} says {machine}"
        if others := sorted({other[-1] for other in matched if other[:-1] == first[:-1]} - {name}):
            because += f"; it is also that of {', '.join(others)}"
    else:
        name, because = _unmatched(machine, sorted(set(unlike)))
    found, note = _named(name, own)
    return found, "; ".join([because + note, *(f"{file} cannot be read, so that nobody knows whose it is" for file in unread)])


def _unmatched(machine: Machine, unlike: list[str]) -> tuple[str, str]:
    name = WITH_GPU if machine.gpu_file and not machine.jetson else FALLBACK
    gpu = f"; {machine.gpu_file} is a sign of an NVIDIA GPU" if name == WITH_GPU else ""
    if machine.model or machine.compatible:
        why = f"that is not the memory of {', '.join(unlike)}" if unlike else "no profile names it"
        return name, f"board {machine}: {why}; use --profile{gpu}"
    if machine.release_file:
        return name, f"{machine.release_file} says Jetson, but {machine.model_file} does not name the board; use --profile"
    return name, f"no {machine.model_file}: not a Jetson{gpu}"


class _Claim(NamedTuple):
    """Which boards a file says it is for, whether or not the rest of it is in order."""

    name: str
    own: bool                          # the user's, or one of the user's stands in its place
    compatible: frozenset[str]
    models: tuple[str, ...]
    memory_bytes: int | None


def _claims(folder: Path) -> tuple[list[_Claim], list[Path]]:
    """(claims of all profiles, files of the user's that cannot be read)."""
    own, unread, found = _files(folder), [], []
    for file in [*_files(_folder()).values(), *own.values()]:
        try:
            document = read_yaml(file)
        except ConfigError:
            document = None
        if not isinstance(document, dict):
            unread.append(file)
            continue
        total = document.get("memory_bytes")
        found.append(_Claim(file.stem, file.stem in own, frozenset(_texts(document.get("device_tree_compatible"))),
                            _texts(document.get("device_tree_models")), total if isinstance(total, int) and total > 0 else None))
    return found, unread


def _texts(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(one for one in values if isinstance(one, str) and one)


def _files(folder: Path) -> dict[str, Path]:
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def _named(text: str, folder: Path) -> tuple[Profile, str]:
    """(profile, what to say of where it was found)."""
    ours, own = _files(_folder()), _files(folder)
    if text in own:
        return _read(own[text], text), f", your own {own[text]}" + (" instead of the shipped one" if text in ours else "")
    if text in ours:
        return _read(ours[text], text), ""
    path = Path(text).expanduser()
    if path.is_file():
        return _read(path), ""
    raise UsageError(f"no profile `{text}`", f"choose one of {', '.join(ours)}, one of your own in {folder} "
                     f"({', '.join(own) or 'none there'}), or name a YAML file")


def _read(path: Path, called: str | None = None) -> Profile:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(["expected keys such as `name:` and `thermal:`"], str(path))
    problems = []
    profile = None
    try:
        profile = Profile.model_validate(document)
    except ValidationError as error:
        problems += _problems(error)
    try:
        Config.model_validate(document.get("defaults") or {})
    except ValidationError as error:
        problems += _problems(error, "defaults")
    if called is not None and profile is not None and profile.name != called:
        problems.append(f"name: is {profile.name}, but the file is called {path.name}")
    if problems or profile is None:
        raise ConfigError(problems, str(path))
    return profile


def _problems(error: ValidationError, *above: str) -> list[str]:
    return [f"{'.'.join([*above, *map(str, item['loc'])]) or 'profile'}: {item['msg']}" for item in error.errors()]
