"""`edge-sleep ingest`: transcripts into the home."""
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption


def command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders of transcripts.")],
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Read transcripts; say what was taken, what was refused and why.

    Example: edge-sleep ingest transcripts/ monday.json
    """
    common = Common.of(home, profile, sets, as_json)
    place = common.open_home()
    given = context.transcripts(place, None, paths)
    config = context.configure(place, common)
    from edge_sleep.data.buffer import Buffer
    from edge_sleep.data.ingest import ingest
    with output.libraries_to_stderr(), Buffer(place.experiences) as buffer:
        found = ingest(given, buffer, companion=config.companion, quality=config.quality, salience=config.salience,
                       data=config.data, own=context.own_name(config))
    output.answer(found, as_text(found), as_json)


def as_text(found: dict) -> str:
    files = found["files"]
    rows = [("files read", files["read"]), *(("files refused", f"{count}  {reason}")
                                             for reason, count in files["refused"].items()),
            ("exchanges", found["exchanges"]), ("new", found["new"]), ("duplicates", found["duplicates"]),
            ("experiences", found["experiences"]),
            *(("quarantined", f"{count}  {reason}") for reason, count in found["quarantined"].items()),
            *(("redacted", f"{count}  {kind}") for kind, count in found.get("redacted", {}).items()),
            *(("evicted", f"{count}  {reason}") for reason, count in found.get("evicted", {}).items())]
    return output.columns(rows)
