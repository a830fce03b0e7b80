"""`edge-sleep session begin|end`: a conversation takes the device, and a night gives way."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Busy, Exit, UsageError
from edge_sleep.system import children, lock, turn
from edge_sleep.system.files import read_json, write_json
from edge_sleep.system.home import Home

_HELP = ("A conversation takes the device, and a running night gives way.\n\n"
         "Example: edge-sleep session begin -- python my_robot.py")
_WHAT = "a conversation (session begin)"
_END_SECONDS = 10.0
_STDERR = 2

app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
wake = typer.Typer(help="The same as `session`; alone it is `session begin`.\n\nExample: edge-sleep wake",
                   invoke_without_command=True, rich_markup_mode=None)

WaitOption = Annotated[str, typer.Option("--wait", metavar="TIME", help="How long a running night may take to save.")]


def begin(
    run: Annotated[list[str] | None, typer.Argument(
        metavar="-- CMD", help="Hold the device only while this command runs.", show_default=False)] = None,
    wait: WaitOption = "120s",
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Take the device until `session end`, or while a command runs. 17 when another session has it.

    Example: edge-sleep session begin --wait 30s
    """
    from edge_sleep.config import parse_duration
    try:
        wait_seconds = parse_duration(wait)
    except ValueError as error:
        raise UsageError(f"--wait {error}") from None
    place = Common.of(home, profile, sets, as_json).open_home()
    if run:
        with turn.conversation(place, f"a conversation ({run[0]})", wait_seconds, output.say) as waited:
            code = _run(run, turn.handed_on(place), as_json)
        output.answer({"command": run, "exit_code": code, "waited_seconds": waited}, "", True) if as_json else None
        raise typer.Exit(code)
    pid = start_holder(place)
    try:
        waited = turn.wait_for_night(place, wait_seconds, output.say)
    except BaseException:
        stop_holder(place)
        raise
    turn.focus(place, _WHAT, pid)
    output.answer({"held": True, "pid": pid, "waited_seconds": waited},
                  f"the device is yours until `edge-sleep session end` (held by pid {pid})", as_json)


def end(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
        as_json: JsonOption = False) -> None:
    """Give the device back.

    Example: edge-sleep session end
    """
    ended = stop_holder(Common.of(home, profile, sets, as_json).existing_home())
    output.answer({"held": False, "ended": ended}, "the device is free" if ended else "no session was held", as_json)
    raise typer.Exit(Exit.OK if ended else Exit.NOTHING_TO_DO)


for _group in (app, wake):
    _group.command("begin")(begin)
    _group.command("end")(end)


@wake.callback()
def _wake(ctx: typer.Context, home: HomeOption = None, as_json: JsonOption = False, wait: WaitOption = "120s") -> None:
    if ctx.invoked_subcommand is None:
        begin(None, wait, home, None, None, as_json)
    elif home is not None or as_json:
        raise UsageError(f"options belong after `wake {ctx.invoked_subcommand}`")


def _run(command: list[str], more: dict[str, str], as_json: bool) -> int:
    try:
        child = subprocess.Popen(command, stdout=_STDERR if as_json else None, env=os.environ | more)
    except OSError as error:
        raise UsageError(f"{command[0]} does not start: {error.strerror}") from error
    while True:
        try:
            code = child.wait()
            return code if code >= 0 else 128 - code
        except KeyboardInterrupt:
            # The terminal sent it to the child too: its own end is waited for.
            continue


def _pid_file(home: Home) -> Path:
    return home.state / "session.pid"


def start_holder(home: Home) -> int:
    """Start the process that holds the session lock; its pid. Raises Busy when another session has it."""
    child: Any = subprocess.Popen(
        [sys.executable, "-m", "edge_sleep.cli.holder", str(home.session_lock), _WHAT], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, text=True,
        env=children.environment())
    said = child.stdout.readline().strip()
    child.stdout.close()
    if said != "held":
        child.wait()
        raise Busy(said or "the session lock could not be taken", "`edge-sleep status` says who has it")
    write_json(_pid_file(home), {"pid": child.pid})
    return child.pid


def stop_holder(home: Home) -> bool:
    """End the process that `session begin` left; False when there is none. A chat is not ended from here."""
    holder = lock.holder(home.session_lock)
    if holder is None:
        _pid_file(home).unlink(missing_ok=True)
        return False
    begun = read_json(_pid_file(home), "session pid")["pid"] if _pid_file(home).is_file() else None
    if begun is None or holder.get("pid") != begun:
        raise Busy(f"{holder.get('what', 'another process')} (pid {holder.get('pid', 'unknown')}) has the device, "
                   "not `session begin`", "end that conversation itself")
    os.kill(begun, signal.SIGTERM)
    until = time.monotonic() + _END_SECONDS
    while lock.is_held(home.session_lock):
        if time.monotonic() > until:
            raise Busy(f"pid {begun} did not let go of the device within {_END_SECONDS:.0f} s",
                       f"end it by hand: kill -9 {begun}")
        time.sleep(0.02)
    _pid_file(home).unlink(missing_ok=True)
    turn.unfocus(home, _WHAT)
    return True
