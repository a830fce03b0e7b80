"""What every command shares: its common options, the home, and the configuration in its layers."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_sleep.errors import UsageError
from edge_sleep.system.home import Home, default_home

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.data.origin import ModelName
    from edge_sleep.device.profile import Profile

HomeOption = Annotated[Path | None, typer.Option(
    "--home", metavar="DIR", help="The folder with one companion's whole state.  [default: $EDGE_SLEEP_HOME, "
    "or edge-sleep in the user's data folder]")]
ProfileOption = Annotated[str | None, typer.Option(
    "--profile", metavar="NAME|PATH", help="What is known of this board.  [default: detected]")]
SetOption = Annotated[list[str] | None, typer.Option(
    "--set", metavar="section.key=value", help="Override one setting; may be repeated.")]
JsonOption = Annotated[bool, typer.Option(
    "--json", help="Make the last line of stdout one JSON document.")]
ModelOption = Annotated[str | None, typer.Option(
    "--model", metavar="DIR|ID", help="The base: `seedling`, a folder, or a hub id.  [default: the home's]")]
BudgetOption = Annotated[str | None, typer.Option(
    "--budget", metavar="TIME", help="Wall clock of the whole night, such as 55m or 1h30m.")]
SessionsOption = Annotated[list[Path] | None, typer.Option(
    "--sessions", metavar="PATH...", help="Files or folders of transcripts; may be repeated.")]
CandidatesOption = Annotated[int | None, typer.Option(
    "--candidates", metavar="N", help="Train up to N variants of the settings (rate, epochs, rank, rehearsal) within the "
    "budget, choose one on questions that the gate does not ask; the first is the configured one.  [default: train.candidates]")]
MorePaths = Annotated[list[Path] | None, typer.Argument(
    metavar="[PATH]...", help="More transcripts, so that `--sessions A B` works.", show_default=False)]


@dataclass(frozen=True)
class Common:
    """The four options of every command, as typed."""

    home: Path | None = None
    profile: str | None = None
    sets: tuple[str, ...] = ()
    as_json: bool = False

    @classmethod
    def of(cls, home: Path | None, profile: str | None, sets: list[str] | None, as_json: bool) -> Common:
        return cls(home, profile, tuple(sets or ()), as_json)

    def place(self) -> Home:
        """The home, not created."""
        return Home((self.home or default_home()).expanduser().absolute())

    def open_home(self) -> Home:
        """The home, created and swept."""
        return self.place().make()

    def existing_home(self) -> Home:
        home = self.place()
        if not home.exists():
            raise UsageError(f"no home at {home.root}", "`edge-sleep night` makes one, or name another with --home")
        return home


def load_profile(common: Common) -> tuple[Profile, str]:
    """The board's profile and why this one."""
    from edge_sleep.device import profile
    if common.profile:
        return profile.asked(common.profile)
    return profile.detect()


def configure(home: Home, common: Common, *, model: str | None = None, budget: str | None = None,
              probes: list[Path] | None = None, candidates: int | None = None) -> Config:
    """The configuration for this home, with what the command line says on top (model/settings.py has the layers)."""
    from edge_sleep import config
    from edge_sleep.model.settings import layered, set_value

    sets = list(common.sets)
    if model is not None:
        sets.append(set_value("companion.model", model))
    if budget is not None:
        try:
            config.parse_duration(budget)
        except ValueError as error:
            raise UsageError(f"--budget {error}", "an hour and a half is 1h30m") from None
        sets.append(set_value("budget.time", budget))
    if probes:
        if missing := [str(file) for file in probes if not file.is_file()]:
            raise UsageError(f"--probes: no file at {', '.join(missing)}", "name YAML files of {question, expect}")
        sets.append(set_value("gate.probes", [str(file.absolute()) for file in probes]))
    if candidates is not None:
        sets.append(set_value("train.candidates", candidates))
    profile, _ = load_profile(common)
    return layered(home, sets, profile)[0]


def own_name(config: Config) -> ModelName:
    """What the base of this configuration is, as a transcript would name it."""
    from edge_sleep.model import base, identity
    return identity.own(base.resolve(config.companion.model, config.companion.allow_download))


def transcripts(home: Home, sessions: list[Path] | None, more: list[Path] | None) -> tuple[Path, ...]:
    """The transcripts named on the command line; each must be there."""
    named = [path.expanduser() for path in [*(sessions or []), *(more or [])]]
    if missing := [str(path) for path in named if not path.exists()]:
        raise UsageError(f"no transcripts at {', '.join(missing)}", "name files or folders that exist")
    return tuple(path.absolute() for path in named)
