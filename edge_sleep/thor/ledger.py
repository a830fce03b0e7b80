"""What a home knows of its jobs: jobs/<job id>/record.json, on the machine that sent a job and on the one that did it.

The two tell one story: `SHARED` is what both have, and is the same on both once the result has arrived.
"""
from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_sleep.system.files import read_json, write_json
from edge_sleep.system.home import Home

FORMAT = 1
RECORD = "record.json"
PACKED, SENT, RETURNED, REFUSED, CANCELLED = "packed", "sent", "returned", "refused", "cancelled"      # at the edge
WORKING, DELIVERED, LOST, DECLINED, GIVEN_BACK = "working", "delivered", "lost", "declined", "given back"      # at a worker
AWAY = (PACKED, SENT)
SHARED = ("job", "night", "home", "base", "parent", "data_sha256", "resumed_from", "worker", "attempts", "candidate", "train",
          "data", "measured")


def blank(role: str, job: str, state: str) -> dict[str, Any]:
    """Every field of a job's record; what is not known yet is null."""
    return {"format": FORMAT, "role": role, "state": state, "reason": None, **dict.fromkeys(SHARED), "job": job,
            "reasons": [], "workers": [], "bytes": None, "packed": None, "shipped": None, "returned": None, "verified": [],
            "to_say": None}


def folder(home: Home, job: str) -> Path:
    return home.jobs / job


def read(home: Home, job: str) -> dict[str, Any] | None:
    file = folder(home, job) / RECORD
    return read_json(file, "record of a job") if file.is_file() else None


def write(home: Home, record: dict[str, Any]) -> None:
    write_json(folder(home, record["job"]) / RECORD, record)


def records(home: Home, role: str) -> Iterator[dict[str, Any]]:
    """Those of a role, in the order of their names."""
    for place in sorted(home.jobs.iterdir()) if home.jobs.is_dir() else []:
        if (place / RECORD).is_file() and (found := read_json(place / RECORD, "record of a job"))["role"] == role:
            yield found


def of_night(home: Home, night: str) -> list[dict[str, Any]]:
    """What this home sent for a night, the oldest first."""
    return sorted((one for one in records(home, "edge") if one["night"] == night), key=lambda one: one["packed"])


def away(home: Home, night: str) -> dict[str, Any] | None:
    """The job that a night waits for."""
    return next((one for one in reversed(of_night(home, night)) if one["state"] in AWAY), None)


def forget(home: Home) -> list[str]:
    """After nights lost words: jobs whose night has none of its state any more are taken back, what ended jobs left is removed.

    It is sealed, so nobody could look which words are in it. Returns the jobs of which something may lie in the mailbox.
    """
    on_the_remote = []
    for record in list(records(home, "edge")):
        if record["state"] in AWAY and (home.night(record["night"]) / "state" / "plan.json").is_file():
            continue
        if record["state"] in AWAY:
            said = "cancel" if record["state"] == SENT else None
            write(home, record | {"state": CANCELLED, "reason": "what it would have learned was forgotten", "to_say": said})
        if record["shipped"]:
            on_the_remote.append(record["job"])
        for left in folder(home, record["job"]).iterdir():
            if left.name != RECORD:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return on_the_remote


def returned(home: Home, night: str) -> dict[str, Any] | None:
    """The job whose result a night goes on with."""
    return next((one for one in reversed(of_night(home, night)) if one["state"] == RETURNED), None)
