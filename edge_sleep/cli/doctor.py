"""`edge-sleep doctor`: what this machine can do, each line tried, not assumed."""
from __future__ import annotations

from collections.abc import Mapping

import typer

from edge_sleep.cli import context, output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import Exit


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Try what a night needs: board, heat, GPU, torch, a 4-bit layer, memory, disk, clock.

    Each line is ok, warn, fail or skip, and says what to do. 0 with warnings, 22 when something fails.

    Example: edge-sleep doctor
    """
    from edge_sleep.device import doctor
    common = Common.of(home, profile, sets, as_json)
    board, why = context.load_profile(common)
    if not as_json:
        output.say("trying what a night needs; this takes up to a minute")
    document = doctor.examine(common.place().root, board, why)
    output.answer(document, as_text(document, doctor.GROUPS), as_json)
    failed = any(check["status"] == "fail" for check in document["checks"])
    raise typer.Exit(Exit.DEVICE if failed else Exit.OK)


def as_text(document: dict, groups: Mapping[str, tuple[str, ...]]) -> str:
    """The lines under the headings of their groups, and what they come to."""
    rows: list[tuple[str, ...]] = []
    for group, names in groups.items():
        checks = [check for check in document["checks"] if check["name"] in names]
        if checks:
            rows.append((group,))
        for check in checks:
            rows.append((f"  {check['status']}", check["name"], check["found"]))
            if check["do"]:
                rows.append(("", "", f"do: {check['do']}"))
    rows += [("profile",), ("", document["profile"], document["profile_reason"])]
    return f"{output.columns(rows)}\n\n{_sum([check['status'] for check in document['checks']])}"


def _sum(statuses: list[str]) -> str:
    failed, warned = statuses.count("fail"), statuses.count("warn")
    warnings = f"{warned} warning{'' if warned == 1 else 's'}"
    return f"{failed} of {len(statuses)} failed, {warnings}" if failed else f"nothing fails, {warnings}"
