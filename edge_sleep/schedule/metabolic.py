"""The metabolic state as a whole: what is published (system/state.py has the table), seen with the locks and the hour.

    >>> from edge_sleep.schedule import metabolic
    >>> metabolic.read("~/companion").state          # State.WAKE, FOCUS, REST, DREAM, CRISIS
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from edge_sleep.errors import IntegrityError
from edge_sleep.schedule.circadian import Phase
from edge_sleep.system import lock
from edge_sleep.system.clock import Clock
from edge_sleep.system.files import read_json
from edge_sleep.system.home import Home
from edge_sleep.system.state import TRANSITIONS, Event, Metabolic, State, publish, published

__all__ = ["TRANSITIONS", "Event", "Metabolic", "State", "from_upstream", "read", "upstream", "watch_over"]

HEAT_CLEARS_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Seen:
    """What a watcher sees beside the file."""

    phase: Phase
    session: bool                      # a conversation holds its lock
    night: bool                        # a night holds its lock


def read(home: Home | Path | str) -> Metabolic:
    """What the companion of a home is doing. A few file operations: a conversation loop can ask before every answer."""
    place = home if isinstance(home, Home) else Home(Path(home).expanduser().absolute())
    found = published(place)
    if found.state in (State.WAKE, State.REST) and (holder := lock.holder(place.session_lock)) is not None:
        what = f"{holder.get('what', 'a conversation')} has the device"
        return Metabolic(State.FOCUS, None, what, None, None, holder.get("pid"))
    return found


def steps(now: Metabolic, seen: Seen, at: datetime) -> Iterator[tuple[Event, str]]:
    """The events that what is seen stands for, with their reasons, in the order in which they count."""
    dark = seen.phase in (Phase.DUSK, Phase.NIGHT, Phase.DEEP_NIGHT)
    if now.state is State.DREAM and not seen.night:
        yield Event.NIGHT_ENDS, "the night is gone"
    if now.state is State.CRISIS and not seen.night and _passed(now, seen, at):
        yield Event.CLEAR, f"the {now.cause or 'crisis'} has passed"
    if now.state is State.FOCUS and not seen.session:
        yield Event.SESSION_ENDS, "the conversation is over"
    if seen.session and not seen.night:
        yield Event.SESSION_BEGINS, "a conversation has the device"
    yield (Event.DARK if dark else Event.LIGHT), f"it is {seen.phase.value.replace('_', ' ')}"


def _passed(now: Metabolic, seen: Seen, at: datetime) -> bool:
    """Heat goes within the hour, what took the memory with the day; damage stays until a night gets past it."""
    since = now.since_time()
    if now.cause == "heat":
        return since is None or abs(at - since) > HEAT_CLEARS_AFTER
    return now.cause == "memory" and not seen.phase.dark


def watch_over(home: Home, seen: Seen, clock: Clock) -> Metabolic:
    """Publish what is seen. Raises StorageError."""
    now = published(home)
    for event, reason in steps(now, seen, clock.now()):
        now = publish(home, event, reason, "the watcher", clock)
    return now


# SAGE's daemon leaves one JSON document when it shuts down: `daemon_state.json` in an instance, `daemon_state_<machine>.json`
# before there were instances.
def upstream(folder: Path) -> Path | None:
    """The newest such file in a folder."""
    found = [file for file in folder.glob("daemon_state*.json") if file.is_file()]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def from_upstream(file: Path) -> Metabolic:
    """SAGE's `daemon_state*.json` as a state of ours. Raises IntegrityError where it is none."""
    document: Any = read_json(file, "state of SAGE's daemon")
    try:
        state = State(str(document["metabolic_state"]).upper())
    except (LookupError, TypeError, ValueError) as error:
        raise IntegrityError(f"{file} does not say which state the daemon was in: metabolic_state is one of "
                             f"{', '.join(state.value.lower() for state in State)}", "name another file") from error
    stopped, machine = document.get("last_shutdown"), document.get("machine") or "an unnamed machine"
    since = None
    if isinstance(stopped, (int, float)) and not isinstance(stopped, bool) and 0 < stopped < 1e11:
        since = datetime.fromtimestamp(stopped, timezone.utc).isoformat(timespec="seconds")
    return Metabolic(state, since, f"SAGE's daemon stopped in it, on {machine}", None, "SAGE")
