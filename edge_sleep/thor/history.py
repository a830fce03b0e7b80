"""What a worker has done and what waits for it, from its ledger and the mailbox: `worker --status`, whatever its engine is."""
from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from edge_sleep.errors import RemoteRefused
from edge_sleep.thor import ledger
from edge_sleep.thor.mailbox import Mailbox
from edge_sleep.thor.queue import Turn, Waiting

FAILED = (ledger.DECLINED, ledger.LOST)
_LATEST = 10
_HOUR, _DAY = 3600.0, 86400.0


def waiting(mailbox: Mailbox, records: Mapping[str, Mapping[str, Any]]) -> list[Waiting]:
    """The jobs of a mailbox that this worker may do, and neither has nor had. Looks only: what does not hold is left out."""
    found = []
    over = frozenset(job for job, record in records.items() if record["state"] != ledger.GIVEN_BACK)
    for name in mailbox.jobs(over):
        try:
            offer = mailbox.waiting(name)
            if mailbox.keys.own.id in {one.id for one in offer.workers} and mailbox.seen(offer).closed is None:
                found.append(Waiting(name, offer.home.id, offer.morning))
        except RemoteRefused:
            continue
    return found


def summary(records: Iterable[Mapping[str, Any]], turns: Sequence[Turn], names: Mapping[str, str],
            now: datetime) -> dict[str, Any]:
    """Queue, throughput, failures and each companion's history. names: of machines by their ids. In seconds; null: not known."""
    records = list(records)
    delivered = [one for one in records if one["state"] == ledger.DELIVERED]
    ended = [(one, since) for one in records if (since := _since(one.get("ended") or one.get("returned"), now)) is not None]
    lately = {name: sum(one["state"] == ledger.DELIVERED and since <= seconds for one, since in ended)
              for name, seconds in (("last_hour", _HOUR), ("last_day", _DAY))}
    worked = [one["worked_seconds"] for one in delivered if one.get("worked_seconds") is not None]
    failures = sorted((one for one in records if one["state"] in FAILED), key=lambda one: one.get("ended") or "", reverse=True)
    return {
        "queue": {"waiting": len(turns), "working": sum(one["state"] == ledger.WORKING for one in records),
                  "companions": len({turn.home for turn in turns}),
                  "next": [{"job": turn.job, "home": turn.home, "round": turn.round, "until_morning_seconds": turn.until_morning}
                           for turn in turns[:_LATEST]]},
        "throughput": {**lately, "delivered": len(delivered), "job_seconds_p50": statistics.median(worked) if worked else None,
                       "worked_seconds": round(sum(one.get("worked_seconds") or 0.0 for one in records), 1)},
        "failures": {"count": len(failures), "tries": sum(max(0, one.get("attempts") or 0) > 1 for one in records),
                     "latest": [{key: one.get(key) for key in ("job", "home", "state", "reason", "ended")}
                                for one in failures[:_LATEST]]},
        "companions": _companions(records, turns, names)}


def _companions(records: Sequence[Mapping[str, Any]], turns: Sequence[Turn], names: Mapping[str, str]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def of(home: str) -> dict[str, Any]:
        return found.setdefault(home, {"home": home, "name": names.get(home), "waiting": 0, "working": 0, "delivered": 0,
                                       "failed": 0, "given_back": 0, "worked_seconds": 0.0, "last": None})

    for turn in turns:
        of(turn.home)["waiting"] += 1
    keys = {ledger.WORKING: "working", ledger.DELIVERED: "delivered", ledger.GIVEN_BACK: "given_back"}
    for one in records:
        if one["home"] is not None:
            entry = of(one["home"])
            entry[keys.get(one["state"], "failed")] += 1
            entry["worked_seconds"] = round(entry["worked_seconds"] + (one.get("worked_seconds") or 0.0), 1)
            entry["last"] = max(filter(None, (entry["last"], one.get("ended") or one.get("taken"))), default=None)
    return sorted(found.values(), key=lambda entry: (-entry["waiting"], entry["home"]))


def _since(stamp: str | None, now: datetime) -> float | None:
    return None if stamp is None else (now - datetime.fromisoformat(stamp)).total_seconds()


def told(found: Mapping[str, Any]) -> str:
    """For people."""
    queue, through, failures = found["queue"], found["throughput"], found["failures"]
    half = through["job_seconds_p50"]
    lines = [f"queue: {queue['waiting']} job(s) of {queue['companions']} companion(s) wait, {queue['working']} at work",
             f"done: {through['last_hour']} in the last hour, {through['last_day']} in a day, {through['delivered']} in all"
             + ("" if half is None else f"; half of them within {half:.0f} s"),
             f"failures: {failures['count']}; {failures['tries']} job(s) took more than one lease"]
    lines += [f"  {one['ended'] or 'unknown time'} job {one['job'][:12]}: {one['state']}; {one['reason']}"
              for one in failures["latest"]]
    if found.get("mailbox_problem"):
        lines.insert(0, f"the mailbox cannot be read, so what waits is not known: {found['mailbox_problem']}")
    if (cluster := found.get("cluster")) is not None:
        lines += [cluster["problem"]] if cluster.get("problem") else [
            f"cluster: {len(cluster['nodes'])} node(s)", *(
                f"  {node['host']} ({node['id'][:8]}): {node['cpus']:g} CPU, {node['gpus']:g} GPU, "
                f"{node['memory_bytes'] / 2**30:.1f} GiB" for node in cluster["nodes"])]
    lines += [f"  {one['name'] or one['home']}: {one['waiting']} waiting, {one['working']} at work, {one['delivered']} done, "
              f"{one['failed']} failed, {one['worked_seconds']:.0f} s worked" for one in found["companions"]]
    return "\n".join(lines)
