"""What a home says of a job before anybody fetches it, sealed for the workers alone: when its companion's morning begins.

It stands in open.json, in one small box per worker. It orders a queue and decides nothing else; one that does not open is none.
"""
from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from edge_sleep.config import Schedule
from edge_sleep.errors import RemoteRefused
from edge_sleep.seal.keys import Keys
from edge_sleep.seal.machine import Machine, sodium
from edge_sleep.system import foreign
from edge_sleep.system.files import canonical_json

_LIMIT_BYTES = 1024


def next_morning(schedule: Schedule, now: datetime) -> datetime:
    """The first schedule.dawn after `now`, in the companion's zone, to the minute."""
    local = now.astimezone(ZoneInfo(schedule.timezone) if schedule.timezone else None)
    dawn = local.replace(hour=schedule.dawn.hour, minute=schedule.dawn.minute, second=0, microsecond=0)
    return dawn if dawn > local else dawn + timedelta(days=1)


def sealed(morning: datetime, workers: Sequence[Machine]) -> list[dict[str, str]]:
    content = canonical_json({"morning": morning.isoformat(timespec="seconds")})
    return [{"box_key": one.box_key, "box": sodium().crypto_box_seal(content, bytes.fromhex(one.box_key)).hex()}
            for one in workers]


def opened(said: Any, keys: Keys) -> datetime | None:
    """What a hint says to this machine, None where it says nothing that can be used."""
    for entry in said if isinstance(said, list) else []:
        try:
            content = keys.unbox(bytes.fromhex(entry["box"]), entry["box_key"])
            if content is not None:
                found = datetime.fromisoformat(foreign.document(content, "a hint", limit_bytes=_LIMIT_BYTES)["morning"])
                return found if found.tzinfo is not None else None
        except (KeyError, TypeError, ValueError, RemoteRefused):
            continue
    return None
