"""`edge-sleep watch`: nights by the clock, as a service in the foreground."""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.schedule.watch import Watcher


def command(
    once: Annotated[bool, typer.Option("--once", help="Look once, run the night if it is time, end with its exit code.")] = False,
    sessions: Annotated[list[Path] | None, typer.Option(
        "--sessions", metavar="PATH", help="What every night reads, instead of data.sessions; may be repeated.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Run each date's night when it is dark, the device idle, and there is something to learn; say what went wrong.

    SIGHUP reads the configuration anew, SIGTERM lets a running night save its state. `edge-sleep timer install` makes it a
    service. 10 with --once where nothing was to be done.

    Example: edge-sleep watch --once
    """
    from edge_sleep.schedule import watch
    from edge_sleep.system import children, lock
    given = list(sets or [])
    if sessions:
        if missing := [str(path) for path in sessions if not path.expanduser().exists()]:
            raise UsageError(f"no transcripts at {', '.join(missing)}", "name files or folders that exist")
        given.append(f"data.sessions={json.dumps([str(path.expanduser().absolute()) for path in sessions])}")
    common = Common.of(home, profile, given, as_json)
    place = common.open_home()
    with lock.hold(place.watch_lock, "a watcher"):
        watcher = watch.Watcher(place, configured(common), night_command(common), journal(),
                                environment=children.environment(), reading=reading_command(common),
                                syncing=sync_command(common))
        code = watch.watch(watcher, once)
        if as_json:
            output.answer(document(watcher, code), "", as_json)
    raise typer.Exit(code)


def configured(common: Common) -> Callable[[], Config]:
    """Reads the configuration with what the command line says on top."""
    return lambda: context.configure(common.place(), common)


def night_command(common: Common) -> Callable[[float], list[str]]:
    """The command line of a night of so many seconds."""
    return lambda seconds: [sys.executable, "-m", "edge_sleep", "night", "--budget", f"{seconds:.0f}s", *options(common)]


def reading_command(common: Common) -> Callable[[Sequence[Path]], list[str]]:
    """The command line that reads the transcripts of some places."""
    return lambda paths: [sys.executable, "-m", "edge_sleep", "ingest", *options(common), "--", *map(str, paths)]


def sync_command(common: Common) -> Callable[[str], list[str]]:
    """The command line of `sync push` or `sync pull`."""
    return lambda what: [sys.executable, "-m", "edge_sleep", "sync", what, *options(common)]


def options(common: Common) -> tuple[str, ...]:
    """The common options as another process is given them."""
    return ("--home", str(common.place().root), *(("--profile", common.profile) if common.profile else ()),
            *(part for item in common.sets for part in ("--set", item)))


def journal() -> Callable[[str], None]:
    """Lines for the log; in systemd's journal they carry their priority."""
    from edge_sleep.system import notify
    if not notify.in_journal():
        return output.say
    return lambda text: output.say(f"<{4 if text.startswith('warning:') else 6}>{text}".replace("\n", " "))


def document(watcher: Watcher, code: int) -> dict:
    from edge_sleep.cli.rhythm import as_json
    return {"exit_code": code, **as_json(watcher.look, watcher.settings)} if watcher.look is not None else {"exit_code": code}
