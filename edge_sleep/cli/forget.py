"""`edge-sleep forget`: erase a conversation everywhere, and what was learned from it."""
from __future__ import annotations

from typing import Annotated

import typer

from edge_sleep.cli import output
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import UsageError


def command(
    name: Annotated[str, typer.Argument(metavar="SESSION|ID", help="A session's id, number or file, or an experience's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")] = False,
    home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None, as_json: JsonOption = False,
) -> None:
    """Erase a conversation from the home, with every adapter that learned it; what else they learned is learned anew.

    Example: edge-sleep forget session_042.json --yes
    """
    from edge_sleep.data.buffer import Buffer
    from edge_sleep.stages import forget
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    place = Common.of(home, profile, sets, as_json).existing_home()
    if not place.experiences.is_file():
        raise UsageError(f"{place.root} holds no experiences: there is nothing to forget")
    with lock.hold(place.night_lock, "forget"), lock.hold(place.sync_lock, "forget"), Buffer(place.experiences) as buffer:
        planned = forget.plan(place, buffer, name)
        if yes:
            forget.carry_out(place, buffer, planned, Clock())
    told = {key: value for key, value in planned.items() if key != "wanted"} | {"done": yes}
    output.answer(told, as_text(told), as_json)


def as_text(told: dict) -> str:
    rows = [("erased" if told["done"] else "would erase", f"{told['what']}: {told['exchanges']} exchanges"),
            ("adapters that learned it", ", ".join(told["adapters"]) or "none"),
            ("the next session loads", told["current_after"] or "the base as it is"),
            ("learned anew", f"{told['learned_anew']} other experiences, from the next night on")]
    if told["shared_with_other_sessions"]:
        rows.append(("kept", f"{len(told['shared_with_other_sessions'])} exchanges that other sessions hold too; "
                     "forget them by id"))
    if told["transcripts_outside"]:
        rows.append(("outside this home", f"{', '.join(told['transcripts_outside'])} still has the words"))
    if told["published"]:
        named = " ".join(f"--adapter {adapter}" for adapter in told["published"])
        rows.append(("on the remote", f"{len(told['published'])} of them; `edge-sleep sync prune {named} --yes` withdraws them"))
    text = output.columns(rows)
    return text + ("\nbackups and other machines' copies still have it; they are not reached from here" if told["done"] else
                   "\nnothing was changed: add --yes to do it")
