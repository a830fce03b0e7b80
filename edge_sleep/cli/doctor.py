"""`edge-sleep doctor`: what this machine can do, each line tried, not assumed."""
from __future__ import annotations

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Try what a night needs: torch, a 4-bit layer, memory, disk, clock. 22 when something fails.

    Example: edge-sleep doctor
    """
    from edge_sleep.device import doctor
    common = Common.of(home, profile, sets, as_json)
    board, why = context.load_profile(common)
    if not as_json:
        output.say("trying what a night needs; this takes up to a minute")
    document = doctor.examine(common.place().root, board.name, why)
    output.answer(document, as_text(document), as_json)
    failed = any(check["status"] == "fail" for check in document["checks"])
    raise typer.Exit(Exit.DEVICE if failed else Exit.OK)


def as_text(document: dict) -> str:
    rows = []
    for check in document["checks"]:
        rows.append((check["status"], check["name"], check["found"]))
        if check["do"]:
            rows.append(("", "", f"do: {check['do']}"))
    rows.append(("", "profile", f"{document['profile']} ({document['profile_reason']})"))
    return output.columns(rows)
