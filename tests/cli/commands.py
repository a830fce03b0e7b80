"""Every command line that exists, walked from the application itself."""
from __future__ import annotations

import typer

from edge_sleep.cli.main import app


def _walk(command, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = [path]
    for name, below in getattr(command, "commands", {}).items():
        found += _walk(below, (*path, name))
    return found


ROOT = typer.main.get_command(app)
COMMANDS: list[tuple[str, ...]] = _walk(ROOT, ())


def at(path: tuple[str, ...]):
    """The command object at a path."""
    command = ROOT
    for name in path:
        command = command.commands[name]
    return command
