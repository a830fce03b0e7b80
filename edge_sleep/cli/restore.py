"""`edge-sleep restore`: a home from its backup, on this board or another."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sleep.cli import backup, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `edge-sleep backup` made.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Make a home from a backup. Its folder must not be there yet, or be empty; it appears when every hash was right.

    The base is not in a backup: it must be on this disk, under the name it had.

    Example: edge-sleep restore companion.tar --home ~/companion
    """
    from edge_sleep.checkpoint import integrity
    from edge_sleep.checkpoint.restore import restore
    place = Common.of(home, profile, sets, as_json).place()
    document = restore(file.expanduser(), place.root)
    problems = integrity.scan(place).problems
    output.answer({"home": str(place.root), "files": len(document["files"]), "created": document["created"],
                   "base": document["base"], "adapter": document["adapter"], "problems": problems},
                  backup.as_text(document, str(place.root), problems)
                  + "\n`edge-sleep verify` loads it on its base and proves it", as_json)
    raise typer.Exit(Exit.INTEGRITY if problems else Exit.OK)
