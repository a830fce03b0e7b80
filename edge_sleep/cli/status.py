"""`edge-sleep status`: where things stand."""
from __future__ import annotations

import shutil
from typing import Any

from edge_sleep.cli import output, report, rhythm
from edge_sleep.cli.context import Common, HomeOption, JsonOption, ProfileOption, SetOption
from edge_sleep.errors import EdgeSleepError, IntegrityError, Outcome
from edge_sleep.system import lock
from edge_sleep.system import record as records
from edge_sleep.system.home import Home


def command(home: HomeOption = None, profile: ProfileOption = None, sets: SetOption = None,
            as_json: JsonOption = False) -> None:
    """Show the last night, the current adapter, what waits to be learned, who has the device, when the next night may begin.

    Example: edge-sleep status
    """
    common = Common.of(home, profile, sets, as_json)
    document = examine(common.place())
    if document["exists"]:
        try:
            document["rhythm"] = rhythm.examine(common.place(), common)
        except EdgeSleepError as error:
            document["problems"].append(error.message.replace("\n", " "))
    output.answer(document, as_text(document), as_json)


def examine(home: Home) -> dict:
    """The JSON document of `status`. Reads only: a home that is not there stays so."""
    if not home.exists():
        return {"home": str(home.root), "exists": False, "problems": [], "current": None, "last_night": None,
                "interrupted": None, "experiences": None, "locks": {"night": None, "session": None}, "disk": None, "outbox": None,
                "rhythm": None}
    from edge_sleep.checkpoint import store
    problems: list[str] = []
    counts = None
    if home.experiences.is_file():
        from edge_sleep.data.buffer import Buffer
        with Buffer(home.experiences) as buffer:
            counts = buffer.counts()
    try:
        current = store.current(home)
    except IntegrityError as error:
        current = None
        problems.append(error.message)
    problems += _not_back(home)
    return {"home": str(home.root), "exists": True, "problems": problems, "current": current,
            "last_night": _last_night(home, problems), "interrupted": interrupted(home), "experiences": counts,
            "locks": {"night": lock.holder(home.night_lock), "session": lock.holder(home.session_lock)},
            "disk": {"used_bytes": _used(home), "free_bytes": shutil.disk_usage(home.root).free},
            "outbox": _outbox(home), "rhythm": None}


def _outbox(home: Home) -> dict:
    """What waits for a remote, and why the last try failed."""
    from edge_sleep.sync import backoff, outbox
    failed = backoff.read(outbox.backoff_file(home))
    return {"waiting": len(outbox.waiting(home)), "failed": failed and failed.why}


def _not_back(home: Home) -> list[str]:
    """What a night that is gone stopped, or set, and nobody has put back: while one runs, that is as it should be."""
    from edge_sleep.device.neighbours.lease import left_over
    if lock.is_held(home.night_lock):
        return []
    stopped = [f"{one} is still stopped; `edge-sleep watch` and the next night try again" for one in
               (left_over(home.neighbours_intent) if home.neighbours_intent.exists() else ())]
    return stopped + ([f"power settings of a night are still set ({home.power_intent}); the next start tries again"]
                      if home.power_intent.exists() else [])


def _last_night(home: Home, problems: list[str]) -> dict | None:
    file = report.find(home, None)
    if file is None:
        return None
    try:
        record = records.read(file)
    except IntegrityError as error:
        problems.append(error.message)
        return None
    return {key: record.get(key) for key in ("night", "outcome", "reason", "exit_code", "started", "ended")}


def interrupted(home: Home) -> dict | None:
    """The last night where it stopped or died, and whether it left a plan that the next one goes on from."""
    nights = sorted(folder for folder in home.nights.iterdir() if folder.is_dir()) if home.nights.is_dir() else []
    if not nights or lock.is_held(home.night_lock):
        return None
    last = nights[-1]
    files = [file for file in (last / "state").rglob("*") if file.is_file()]
    outcome = None
    if (last / "record.json").is_file():
        try:
            outcome = records.read(last / "record.json")["outcome"]
        except IntegrityError:
            outcome = None
        if outcome not in {item.value for item in Outcome if item.resumable} and not files:
            return None
    return {"night": last.name, "outcome": outcome, "resumable": (last / "state" / "plan.json").is_file(),
            "state_bytes": sum(file.stat().st_size for file in files)}


def _used(home: Home) -> int:
    total = 0
    for file in home.root.rglob("*"):
        try:
            total += file.lstat().st_size if file.is_file() else 0
        except FileNotFoundError:  # a running night replaces files
            continue
    return total


def _counted(counts: dict | None) -> str:
    if not counts:
        return "none"
    return ", ".join(f"{value} {key}" for key, value in counts.items() if isinstance(value, int))


def as_text(document: dict) -> str:
    if not document["exists"]:
        return f"no home at {document['home']} yet; `edge-sleep night` makes one"
    last, stopped = document["last_night"], document["interrupted"]
    adapter = ((document["current"] or {}).get("adapter") or {}).get("id")
    rows: list[tuple[Any, ...]] = [
        ("home", document["home"]),
        ("last night", f"{last['night']}: {last['outcome']}; {last['reason']}" if last else "none yet"),
        ("current", adapter or "the base as it is")]
    if stopped:
        holds = f"{output.size(stopped['state_bytes'])} of plan and training state; the next night goes on from it" \
            if stopped["resumable"] else "no training state; the next night starts over"
        rows.append(("interrupted", f"{stopped['night']} ({stopped['outcome'] or 'died'}): {holds}"))
    counts = document["experiences"]
    rows.append(("experiences", _counted(counts)))
    for name, holder in document["locks"].items():
        rows.append((f"{name} lock", f"{holder.get('what')} (pid {holder.get('pid')})" if holder else "free"))
    rows.append(("disk", f"{output.size(document['disk']['used_bytes'])} used, "
                         f"{output.size(document['disk']['free_bytes'])} free"))
    if (waits := document["outbox"])["waiting"]:
        rows.append(("outbox", f"{waits['waiting']} wait to be sent" + (f": {waits['failed']}" if waits["failed"] else "")))
    rows += rhythm.rows(document["rhythm"]) if document["rhythm"] else []
    rows += [("problem", problem) for problem in document["problems"]]
    return output.columns(rows)
