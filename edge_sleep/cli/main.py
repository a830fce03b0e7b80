"""The command line: which commands there are, and how each of their ends becomes an exit code."""
from __future__ import annotations

import atexit
import os
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edge_sleep import __version__
from edge_sleep.cli import (
    backup,
    bench,
    chat,
    current,
    doctor,
    experiences,
    export,
    forget,
    ingest,
    kernels,
    night,
    output,
    plan,
    prune,
    report,
    restore,
    rollback,
    serve,
    session,
    ship,
    status,
    sync,
    teach,
    thor,
    timer,
    verify,
    watch,
    worker,
)
from edge_sleep.errors import EdgeSleepError, Exit

EPILOG = """Exit codes: 0 done or promoted, 2 usage, 10 nothing to do, 11 rejected, 12 to 14 stopped and resumable
(time, heat, conversation), 15 no effect, 16 shipped,
17 locked, 20 memory, 21 storage, 22 device, 23 model, 30 integrity, 40 sync failed, 41 from a remote and refused, 50 a bug."""

app = typer.Typer(
    name="edge-sleep", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode=None, epilog=EPILOG,
    help="A small language model that sleeps on what it talked about, and wakes changed.\n\n"
         "Example: edge-sleep night --sessions transcripts/")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"edge_sleep {__version__}")
        raise typer.Exit


@app.callback()
def root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True,
                                               help="Print the version.")] = False) -> None:
    pass


for _module in (night, ingest, teach, plan, status, current, verify, report, rollback, prune, backup, restore, forget,
                chat, serve, doctor, watch, ship, worker, bench):
    _name = _module.__name__.rpartition(".")[2]
    app.command(_name)(_module.command)
app.add_typer(experiences.app, name="experiences")
app.add_typer(export.app, name="export")
app.add_typer(session.app, name="session")
app.add_typer(session.wake, name="wake")
app.add_typer(timer.app, name="timer")
app.add_typer(thor.app, name="thor")
app.add_typer(sync.app, name="sync")
app.add_typer(kernels.app, name="kernels")

# typer carries its own click in newer versions: its exceptions are found through typer alone.
_ClickException: Any = typer.BadParameter.__mro__[2]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. No exception passes."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    before_command = arguments[:arguments.index("--")] if "--" in arguments else arguments
    as_json = "--json" in before_command
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="edge-sleep", standalone_mode=False)
        return int(code or 0)
    except EdgeSleepError as error:
        return _fail(error.exit_code, error.message, error.do, as_json)
    except _ClickException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # no arguments: the help page, as typer made it
            print(message, file=sys.stderr)
            return Exit.USAGE
        return _fail(Exit.USAGE, message, _usage_hint(error), as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _fail(130, "interrupted", "", as_json)
    except BrokenPipeError:
        sys.stdout = open("/dev/null", "w")  # noqa: SIM115 - so that the interpreter's last flush is quiet
        return 128 + 13
    except Exception as error:
        from edge_sleep.device.explained import explained
        known = explained(error)
        if known is not None:
            return _fail(known.exit_code, known.message, known.do, as_json)
        return _fail(Exit.BUG, f"a bug in edge_sleep: {type(error).__name__}: {error}",
                     f"report it with the traceback in {_keep_traceback(error)}", as_json)


def _usage_hint(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"`{context.command_path} --help` has an example" if context else "`edge-sleep --help`"


def _fail(code: int, message: str, do: str, as_json: bool) -> int:
    if message:
        output.say(f"edge-sleep: {message}" + (f"\n  do: {do}" if do else ""))
    if as_json:
        output.answer({"error": {"exit_code": int(code), "message": message, "do": do}}, "", as_json)
    return int(code)


def _keep_traceback(error: BaseException) -> str:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edge-sleep-bug-", suffix=".txt", delete=False,
                                         encoding="utf-8") as file:
            file.write(text)
        return str(Path(file.name))
    except OSError:
        print(text, file=sys.stderr)
        return "the lines above"


def main() -> None:
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # libraries' words for developers; python -W default shows them
    leave(run())


def leave(code: int) -> NoReturn:
    """End this process: with torch in it without the interpreter taking every library apart, a second or two in which a
    conversation would wait for memory that the kernel frees at once."""
    others = [thread for thread in threading.enumerate() if thread is not threading.current_thread() and not thread.daemon]
    if "torch" in sys.modules and not others:
        atexit._run_exitfuncs()
        with suppress(OSError):                        # else the interpreter's own end says what became of the last words
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
