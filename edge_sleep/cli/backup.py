"""`edge-sleep backup`: the whole home as one file."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; .gz or .tgz compresses.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Write the home into one file: conversations, adapters, records and keys, without the cache and the base itself.

    A conversation may go on meanwhile; while a night runs it is 17. What is damaged in the home is written too, and named: 30.

    Example: edge-sleep backup companion.tar
    """
    from edge_sleep.checkpoint import backup, integrity
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    with lock.hold(place.night_lock, "a backup"):
        problems = integrity.scan(place).problems
        document = backup.back_up(place, file.expanduser(), Clock().stamp())
    size_bytes = file.expanduser().stat().st_size
    output.answer({"file": str(file.expanduser().absolute()), "bytes": size_bytes, "files": len(document["files"]),
                   "base": document["base"], "adapter": document["adapter"], "problems": problems},
                  as_text(document, f"{file}, {output.size(size_bytes)}", problems), as_json)
    raise typer.Exit(Exit.INTEGRITY if problems else Exit.OK)


def as_text(document: dict, where: str, problems: list[str]) -> str:
    base = document["base"] or {}
    return "\n".join([output.columns([("home", where), ("files", len(document["files"])), ("of", document["created"]),
                                      ("base", f"{base.get('source', 'none yet')}  (not in the backup)"),
                                      ("adapter", document["adapter"] or "none: the base as it is")]),
                      *(f"problem: {problem}" for problem in problems)])
