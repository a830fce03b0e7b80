"""What else was tried, where the night ran, and the way back."""
from __future__ import annotations

from typing import Any

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.account import facts
from edge_sleep.evaluate.page.markup import Raw, el, fold, section, table
from edge_sleep.evaluate.page.morning import Morning

_DEVICES = {"gpu": "GPU", "cpu": "CPU"}
_VERSIONS = ("edge_sleep", "python", "torch", "transformers", "peft", "bitsandbytes", "accelerate", "safetensors", "tokenizers",
             "system", "machine", "cores")


def candidates(morning: Morning) -> Raw | None:
    train = morning.record.get("train") or {}
    tried = [entry for entry in train.get("candidates") or [] if isinstance(entry, dict)]
    if not tried:
        return None
    rows = []
    for entry in tried:
        marks = entry.get("select") or {}
        rows.append((entry.get("name"), words.plain(entry.get("outcome") or "stopped"), words.amount(marks.get("score"), 3),
                     _recall(marks), words.amount(entry.get("loss_last"), 3), entry.get("why") or entry.get("reason") or ""))
    return section("Candidates", el("p", f"Chosen: {train.get('why_chosen') or 'none yet'}."),
                   table("candidates", ("Candidate", "Outcome", "Score", "Recall", "Loss", "Why"), rows, prose=True))


def _recall(select: dict) -> str:
    recall = select.get("recall") or {}
    return f"{words.amount(recall.get('after'))} (n\u00a0{words.whole(recall.get('n'))})" if recall.get("n") else words.UNMEASURED


def environment(morning: Morning) -> Raw:
    record = morning.record
    found, plan = record.get("environment") or {}, record.get("plan") or {}
    telemetry = found.get("telemetry") or {}
    rows = [("Device", found.get("device") or words.UNMEASURED),
            ("Telemetry", f"{telemetry.get('source') or 'none'}: {telemetry.get('reason') or 'nothing was said of it'}"),
            ("Limits", telemetry.get("limits") or words.UNMEASURED),
            ("Base", _base(record.get("base") or {})),
            ("Parent", record.get("parent") or "the base itself"),
            ("Candidate", record.get("candidate") or "none")]
    if remote := record.get("remote"):
        worker = remote.get("worker") or {}
        shipped, returned = remote.get("shipped"), remote.get("returned")
        rows.append(("Trained by", f"{worker.get('name')} ({worker.get('id')}), shipped {words.day(shipped)} "
                     f"{words.time_of_day(shipped)}, back {words.time_of_day(returned)}; verified here: "
                     f"{', '.join(remote.get('verified') or [])}"))
    if power := found.get("power"):
        rows.append(("Power settings", "; ".join(_setting(change) for change in power)))
    order = [(_DEVICES.get(str(entry.get("device")), words.plain(entry.get("device"))),
              "taken" if entry.get("taken") else "not taken", entry.get("reason") or "")
             for entry in found.get("device_order") or [] if isinstance(entry, dict)]
    versions = [(words.plain(name), found[name]) for name in _VERSIONS if found.get(name) is not None]
    reasons = [el("li", words.cut(reason, 400), dir="auto") for reason in (plan.get("reasons") or [])[:40]]
    return section("Where it ran", facts(rows),
                   table("devices considered", ("Device", "Taken", "Why"), order, prose=True) if order else None,
                   fold("What the plan decided, and why", el("ul", reasons)) if reasons else None,
                   fold("Versions", facts(versions)) if versions else None)


def _base(base: dict) -> str:
    sha256 = str(base.get("sha256") or "")[:12]
    return f"{base.get('source')}{f' ({sha256})' if sha256 else ''}" if base.get("source") else words.UNMEASURED


def _setting(change: Any) -> str:
    if not isinstance(change, dict):
        return str(change)
    return ", ".join(f"{words.plain(name)} {value}" for name, value in change.items())


def way_back(morning: Morning) -> Raw:
    record = morning.record
    outcome = record.get("outcome")
    if outcome == "promoted":
        parent = record.get("parent") or "base"
        said = "before this night" if record.get("parent") else "as the base is, before it learned anything"
        here = el("code", f"edge-sleep rollback {record.get('candidate')}")
        return section("The way back", el("p", f"Your companion as it was {said}:"), _command(f"edge-sleep rollback {parent}"),
                       el("p", "It is one command, nothing is deleted, and ", here, " comes back here.", class_="quiet"))
    if outcome in ("stopped_time", "stopped_heat", "preempted"):
        return section("The way back", el("p", "Nothing has changed yet, so nothing can be taken back. To go on:"),
                       _command("edge-sleep night"))
    return section("The way back", el("p", "Nothing has changed tonight, so nothing can be taken back. To an earlier one:"),
                   _command("edge-sleep rollback"))


def _command(line: str) -> Raw:
    return el("pre", el("code", line))
