"""`edge-sleep timer install|status|remove`: systemd units for the nights of one home."""
from __future__ import annotations

import os
import pwd
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import edge_sleep
from edge_sleep.cli import context, output, watch
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit, UsageError
from edge_sleep.system.files import storage_errors, write_bytes
from edge_sleep.system.home import Home, default_home

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.schedule.units import Plan

_HANDED_ON = ("HF_HOME", "XDG_CONFIG_HOME")             # where models and profiles of one's own are found

app = typer.Typer(help="systemd units that run the nights of a home.\n\nExample: edge-sleep timer install",
                  no_args_is_help=True, rich_markup_mode=None)


@app.command("install")
def install(
    system: Annotated[bool | None, typer.Option(
        "--system/--user", help="Units of the system, or of this user.  [default: system for root]", show_default=False)] = None,
    stays: Annotated[bool, typer.Option("--watch", help="A service that watches all the time, instead of a timer.")] = False,
    worker: Annotated[bool, typer.Option("--worker", help="A service that trains for others, instead of nights.")] = False,
    runs_as: Annotated[str | None, typer.Option(
        "--as", metavar="USER", help="Whom system units run as.  [default: the owner of the home]")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Write the units here, and start nothing.")] = None,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Write and start the units: a timer that looks every quarter of an hour, or with --watch a service.

    Example: edge-sleep timer install --watch
    """
    from edge_sleep.schedule import units
    from edge_sleep.system import systemctl
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    of_system = os.geteuid() == 0 if system is None else system
    if runs_as is not None and not of_system:
        raise UsageError("--as is for system units", "add --system, as root")
    if stays and worker:
        raise UsageError("--watch and --worker are two services", "install one after the other")
    plan = planned(place, common, context.configure(place, common), stays, _whom(place, runs_as) if of_system else None, worker)
    folder = to.expanduser().absolute() if to is not None else systemctl.folder_of(of_system)
    timer = folder / f"{plan.name}.timer"
    if stays and timer.is_file():                       # one of the two: both would look
        if to is None:
            systemctl.stop(timer.name, of_system)
        timer.unlink()
    written = units.units(plan)
    for name, text in written.items():
        write_bytes(folder / name, text.encode())
    problems = [] if to is not None else systemctl.start(units.enabled(plan), of_system)
    lines = [f"written to {folder}: {', '.join(written)}", *problems]
    if not of_system and to is None:
        lines.append("so that nights run while you are not logged in: loginctl enable-linger")
    output.answer({"folder": str(folder), "units": list(written), "enabled": units.enabled(plan),
                   "started": to is None and not problems, "problems": problems}, "\n".join(lines), as_json)
    raise typer.Exit(Exit.DEVICE if problems else Exit.OK)


@app.command("status")
def status(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Say which units there are, whether systemd runs them, and where the rhythm stands. 10 where none is installed.

    Example: edge-sleep timer status
    """
    from edge_sleep.cli import rhythm
    from edge_sleep.system import systemctl
    common = Common.of(home, profile, sets, as_json)
    place = common.existing_home()
    found = [{"unit": file.name, "folder": str(file.parent), "active": systemctl.ask("is-active", file.name, of_system),
              "enabled": systemctl.ask("is-enabled", file.name, of_system)}
             for of_system, file in _installed(place) if "@" not in file.name]
    state = rhythm.examine(place, common)
    units = [(item["unit"], f"{item['active']}, {item['enabled']}", item["folder"]) for item in found]
    text = output.columns(units) if units else "no units; `edge-sleep timer install` makes them"
    output.answer({"units": found, "rhythm": state}, f"{text}\n{output.columns(rhythm.rows(state))}", as_json)
    raise typer.Exit(Exit.OK if found else Exit.NOTHING_TO_DO)


@app.command("remove")
def remove(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Stop and delete the units of a home. The home itself stays. 10 where there are none.

    Example: edge-sleep timer remove
    """
    from edge_sleep.system import systemctl
    found = _installed(Common.of(home, profile, sets, as_json).place())
    for of_system, file in found:
        if "@" not in file.name:
            systemctl.stop(file.name, of_system)
        with storage_errors(file):
            file.unlink()
    for of_system in {of_system for of_system, _ in found}:
        systemctl.tell(of_system, "daemon-reload")
    text = "\n".join(f"removed {file}" for _, file in found) or "there was no unit of this home"
    output.answer({"removed": [str(file) for _, file in found]}, text, as_json)
    raise typer.Exit(Exit.OK if found else Exit.NOTHING_TO_DO)


@app.command("failed", hidden=True)
def failed(unit: Annotated[str, typer.Argument(metavar="UNIT")], home: HomeOption = None, profile: ProfileOption = None,
           sets: SetOption = None, as_json: JsonOption = False) -> None:
    """Say out loud that a unit failed, once a day; systemd calls this.

    Example: edge-sleep timer failed edge-sleep
    """
    from edge_sleep.schedule import alarms, book
    from edge_sleep.system.clock import Clock
    common = Common.of(home, profile, sets, as_json)
    place = common.existing_home()
    voice = alarms.Voice.of(context.configure(place, common).schedule)
    text = f"the unit {unit} failed; `journalctl -u {unit}` says why"
    alarm = alarms.Alarm(alarms.FAILED_UNIT, Clock().now().date().isoformat(), text)
    say = watch.journal()
    say(f"warning: {text}")
    kept, told, problems = alarms.once_a_day(book.read(place.rhythm)[0], alarm, voice, place.root)     # it fails again in a while
    for why in problems:
        say(f"warning: {why}")
    book.write(place.rhythm, kept)
    output.answer({"told": ["log", *told], "problems": problems}, text, as_json)


def planned(home: Home, common: Common, config: Config, watches: bool, user: str | None, worker: bool = False) -> Plan:
    """What the units of a home need to know."""
    from edge_sleep.schedule.units import Plan, unit_name
    beside = Path(edge_sleep.__file__).parent.parent
    environment = [f"TMPDIR={home.cache}", *(f"{name}={os.environ[name]}" for name in _HANDED_ON if os.environ.get(name))]
    if not {"site-packages", "dist-packages"} & set(beside.parts):
        environment.append(f"PYTHONPATH={beside}")
    power, schedule, ollama = config.power, config.schedule, config.neighbours.ollama
    here = bool(re.match(r"https?://(127(\.\d+){3}|localhost|\[::1\])(:\d+)?/?$", ollama))
    remotes = [place.partition(":") for place in (config.sync.remote, config.thor.mailbox) if place]
    name = unit_name(home.root, default_home()) + ("-worker" if worker else "")
    return Plan(home.root, name, (sys.executable, "-m", "edge_sleep"), watch.options(common),
                config.budget.time, watches, user,
                network=bool(schedule.webhook or schedule.command or config.companion.allow_download or (ollama and not here)
                             or any(kind != "folder" for kind, _, _ in remotes)),
                loopback=here, settings=bool(power.mode or power.gpu_max_hertz or power.fan_profile or power.jetson_clocks),
                environment=tuple(environment), worker=worker,
                remotes=tuple(Path(path) for kind, _, path in remotes if kind == "folder"))


def _installed(home: Home) -> list[tuple[bool, Path]]:
    """(of the system, file) of each unit of a home; those of the home's own name only."""
    from edge_sleep.schedule.units import unit_name
    from edge_sleep.system import systemctl
    name = unit_name(home.root, default_home())
    files = [(of_system, systemctl.folder_of(of_system) / file) for of_system in (True, False)
             for file in (f"{name}.timer", f"{name}.service", f"{name}-failed@.service", f"{name}-worker.service",
                          f"{name}-worker-failed@.service")]
    return [(of_system, file) for of_system, file in files if file.is_file()]


def _whom(home: Home, named: str | None) -> str:
    """The user that system units run as: the one named, else the owner of the home. Raises UsageError for an unknown one."""
    try:
        return pwd.getpwnam(named).pw_name if named is not None else pwd.getpwuid(home.root.stat().st_uid).pw_name
    except KeyError as error:
        raise UsageError(f"no such user: {error}", "name one with --as") from error
