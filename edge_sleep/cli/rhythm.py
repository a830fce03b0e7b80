"""What `status` and `watch` say of the rhythm: phase, metabolic state, when the next night may begin, and why not now."""
from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_sleep.cli.context import Common
    from edge_sleep.schedule.rhythm import Look, Settings
    from edge_sleep.system.home import Home

Rows = list[tuple[Any, ...]]
_LATELY_SECONDS = 1800.0                   # a timer looks every quarter of an hour, and holds no lock in between


def examine(home: Home, common: Common) -> dict[str, Any]:
    """The part of `status` about the rhythm. Reads only; raises ConfigError, ModelError, and what a damaged store raises."""
    from edge_sleep.cli import context
    from edge_sleep.schedule import alarms, book, metabolic, rhythm
    from edge_sleep.schedule.machine import observed
    from edge_sleep.system import lock
    from edge_sleep.system.clock import Clock
    config = context.configure(home, common)
    settings = rhythm.Settings.of(config)
    kept, wrong = book.read(home.rhythm)
    now = book.Moment.of(Clock())
    look = rhythm.consider(kept, now, settings, observed(home, config))
    lately = kept.at is not None and kept.at.boot == now.boot and now.since_boot - kept.at.since_boot < _LATELY_SECONDS
    state = metabolic.read(home).as_json()
    if state["state"] in ("WAKE", "REST"):             # nobody may be watching the hour
        state["state"] = "REST" if look.phase.dark or look.phase.value == "dusk" else "WAKE"
    return {**as_json(look, settings), "metabolic": state, "watched": lately or lock.is_held(home.watch_lock),
            "alarms": [asdict(alarm) for alarm in alarms.standing(look.book, alarms.Voice.of(config.schedule))], "problem": wrong}


def as_json(look: Look, settings: Settings) -> dict[str, Any]:
    coming = look.next_begin(settings)
    return {"phase": look.phase.value, "night": {
        "yes": look.decision.yes, "reasons": [asdict(reason) for reason in look.decision.reasons],
        "next": None if coming is None else coming.astimezone(settings.zone).isoformat(timespec="seconds")}}


def rows(document: dict[str, Any]) -> Rows:
    """The lines of `status`."""
    night, state = document["night"], document["metabolic"]
    why = f": {state['reason']}" if state["state"] in ("DREAM", "CRISIS", "FOCUS") else ""
    told: Rows = [("phase", document["phase"].replace("_", " ")), ("state", f"{state['state']}{why}")]
    against = [reason["text"] for reason in night["reasons"] if not reason["holds"]]
    by = "" if document["watched"] else " (nobody watches: `edge-sleep timer status`)"
    if night["next"] is None:
        told.append(("next night", f"not known{by}"))
    else:
        told.append(("next night", f"may begin {'now' if night['yes'] else 'from ' + night['next'][:16].replace('T', ' ')}{by}"))
    told += [("" if place else "not now", text) for place, text in enumerate(against)]
    return told + [("alarm", alarm["text"]) for alarm in document["alarms"]]

