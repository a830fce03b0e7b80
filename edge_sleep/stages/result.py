"""What becomes of a job that was packed: sent, looked for, verified and staged where this machine's own candidate would be; or
taken back. Gate and promotion are this machine's.
"""
from __future__ import annotations

import os
import shutil
from datetime import datetime
from typing import TYPE_CHECKING

from edge_sleep.errors import EdgeSleepError, Outcome, RemoteRefused, SyncError, UsageError
from edge_sleep.stages.context import Ended, Night, interrupted
from edge_sleep.system.files import read_sealed, storage_errors
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger
from edge_sleep.thor.hint import next_morning

if TYPE_CHECKING:
    from edge_sleep.thor.mailbox import Answer, Mailbox

RECEIVED, ASIDE = "received", "refused"
_LOOK_SECONDS = 5.0                                # between two looks of a night that waits for its result


def come_back(night: Night) -> Ended | None:
    """Look what became of a job of this night. Returns what the night ends with; None: it goes on, with a result that came.

    Raises RemoteRefused where what came is not to be believed: it is kept aside, the job taken back, and the night is unfinished.
    """
    let_go(night)
    record = ledger.away(night.home, night.id)
    if record is None:
        return None
    with night.recorder.phase("remote") as entry:
        ended = bring_on(night, record)
        entry["outcome"] = "done" if ended is None else ended[0].value
        return ended


def let_go(night: Night) -> None:
    """Take back what no night waits for any more, and say what could not be said when jobs ended."""
    if night.request.dry_run:
        return
    for record in [one for one in ledger.records(night.home, "edge") if one["state"] in ledger.AWAY]:
        planned = night.home.night(record["night"]) / "state" / "plan.json"
        if not planned.is_file() or read_sealed(planned, "plan")["key"] != record["key"]:
            _close(night, record, ledger.CANCELLED, "base, incumbent, words or settings changed since it was packed", "cancel")
    _say_what_is_left(night)


def tell(night: Night) -> None:
    """Into the record, if tonight was trained elsewhere."""
    record = ledger.returned(night.home, night.id)
    if record is None:
        return
    night.record["plan"] |= {"where": "remote"}
    night.record["plan"]["reasons"] += record["reasons"]
    for part in ("train", "measured", "data"):
        night.record[part] |= record[part] or {}
    night.record["remote"] = {key: record[key] for key in ("job", "worker", "shipped", "returned", "attempts", "resumed_from",
                                                           "verified")}


def stay(night: Night) -> None:
    """Tonight is trained here after all: what was packed for another machine and never sent is let go."""
    record = ledger.away(night.home, night.id)
    if record is not None:
        _close(night, record, ledger.CANCELLED, "trained here instead", None)


def open_mailbox(night: Night) -> Mailbox:
    """Raises SyncError, UsageError where it cannot be used."""
    from edge_sleep.thor.mailbox import Mailbox

    return Mailbox.open(night.home, night.config, night.clock)


def bring_on(night: Night, record: dict) -> Ended | None:
    """Bring one job as far as it goes now."""
    thor = night.config.thor
    if not thor.mailbox or thor.ship == "never":
        why = "thor.ship is never" if thor.mailbox else "thor.mailbox names none"
        _close(night, record, ledger.CANCELLED, f"taken back: {why} any more", "cancel" if record["shipped"] else None)
        return None
    try:
        mailbox = open_mailbox(night)
        if lost := set(record["workers"]) - {one.id for one in mailbox.keys.peers}:
            _close(night, record, ledger.CANCELLED, f"{', '.join(sorted(lost))} is no longer paired", "cancel", mailbox)
            return None
        if record["state"] == ledger.PACKED:
            _offer(night, record, mailbox)
    except (SyncError, UsageError) as error:
        if _overdue(night, record):
            return None
        if record["state"] == ledger.PACKED:
            night.not_shipped = f"not shipped yet, the job waits in {ledger.folder(night.home, record['job'])}: {error.message}"
            night.events("ship", job=record["job"], state="waits", reason=error.message)
            return None
        return Outcome.SHIPPED, f"{_since(night, record)}; the mailbox cannot be reached: {error.message}"
    except RemoteRefused as error:                 # somebody else has put something under the name of this job
        _close(night, record, ledger.REFUSED, error.message, None)
        raise
    return _wait(night, record, mailbox)


def _offer(night: Night, record: dict, mailbox: Mailbox) -> None:
    folder = ledger.folder(night.home, record["job"])
    to = [mailbox.keys.trusts(identity) for identity in record["workers"]]
    mailbox.offer(record["job"], folder / "bundle.sealed", to, folder / "bundle.sending",
                  next_morning(night.config.schedule, night.clock.now()))
    record |= {"state": ledger.SENT, "shipped": night.clock.stamp()}
    ledger.write(night.home, record)
    night.events("ship", job=record["job"], state="sent", bytes=record["bytes"], to=[one.id for one in to])


def _wait(night: Night, record: dict, mailbox: Mailbox) -> Ended | None:
    """Look for the result, as long as thor.wait and the night's time allow."""
    from edge_sleep.thor.mailbox import ROOT

    kept = night.config.budget.reserve * night.config.budget.time
    until = night.clock.monotonic() + min(night.config.thor.wait, max(0.0, night.contract.remaining() - kept))
    while True:
        try:
            answer = mailbox.answer(record["job"], record["workers"])
            if answer is not None:
                _stage(night, record, mailbox, answer)
                return None
            declined = mailbox.declined(record["job"], record["workers"])
            if len(declined) == len(record["workers"]):
                why = "; ".join(f"{mailbox.keys.trusts(one).name}: {reason}" for one, reason in declined.items())
                record["declined"] = True
                _close(night, record, ledger.CANCELLED, why, "cancel", mailbox)
                return None
            if _overdue(night, record, mailbox):
                return None
            told = _since(night, record) + _working(mailbox, record)
        except RemoteRefused as error:
            _refuse(night, record, mailbox, error)
            raise
        except SyncError as error:
            if _overdue(night, record):
                return None
            told = f"{_since(night, record)}; the mailbox cannot be reached: {error.message}"
        left = until - night.clock.monotonic()
        if left <= 0 or interrupted(night) is not None:
            return Outcome.SHIPPED, told
        night.events("remote", job=record["job"], waiting_seconds=round(left), reason=told)
        try:
            mailbox.remote.wait(f"{ROOT}/{record['job']}/", min(left, _LOOK_SECONDS))
        except SyncError:
            night.clock.sleep(min(left, 1.0))


def _since(night: Night, record: dict) -> str:
    waited = (night.clock.now() - datetime.fromisoformat(record["shipped"])).total_seconds()
    return (f"{record['reason']}; shipped as job {record['job'][:12]}, it waits for {waited / 3600:.1f} h of "
            f"{night.config.thor.patience / 3600:.1f} h")


def _working(mailbox: Mailbox, record: dict) -> str:
    """What the worker says of itself, for people."""
    from edge_sleep.thor.mailbox import Offer

    workers = tuple(mailbox.keys.trusts(one) for one in record["workers"])
    progress = mailbox.progress(Offer(record["job"], "", 0, mailbox.keys.own, workers))
    if progress is None or not progress.holder:
        return "; no worker has taken it yet"
    name = mailbox.keys.trusts(progress.holder).name
    return f"; {name} works on it" + (f", step {progress.step} of {progress.steps}" if progress.step is not None else "")


def _overdue(night: Night, record: dict, mailbox: Mailbox | None = None) -> bool:
    """Take the job back where it has waited for longer than thor.patience."""
    waited = (night.clock.now() - datetime.fromisoformat(record["shipped"] or record["packed"])).total_seconds()
    if waited < night.config.thor.patience:
        return False
    record["overdue"] = True
    _close(night, record, ledger.CANCELLED, f"no result came within {night.config.thor.patience / 3600:.1f} h",
           "cancel" if record["shipped"] else None, mailbox)
    return True


def _stage(night: Night, record: dict, mailbox: Mailbox, answer: Answer) -> None:
    """Fetch, unseal, verify, then put the candidate where this machine's own would be. Raises RemoteRefused."""
    from edge_sleep.seal import envelope
    from edge_sleep.thor import bundle, job, verify
    from edge_sleep.thor.mailbox import RESULT_LIMIT_BYTES

    folder = ledger.folder(night.home, record["job"])
    asked = job.read((folder / bundle.JOB).read_bytes(), job.Job, f"job {record['job']}")
    received = folder / RECEIVED
    shutil.rmtree(received, ignore_errors=True)
    received.mkdir()
    sealed, plain, content = received / "result.sealed", received / "result.zip", received / "content"
    mailbox.fetch(record["job"], answer.blob, answer.size_bytes, RESULT_LIMIT_BYTES, sealed)
    signer = envelope.unseal(sealed, plain, mailbox.keys, f"result:{record['job']}", RESULT_LIMIT_BYTES)
    if signer.id != answer.worker.id:
        raise RemoteRefused(f"the result of job {record['job']} is sealed by machine {signer.id}, and said to be of another")
    came = bundle.unpack_result(plain, content)
    checks = verify.check(came, content, asked, signer.id, night.parent_folder, night.base.place.folder)
    verify.stage(came, content, night.state)
    record |= {"worker": {"id": signer.id, "name": signer.name}, "attempts": answer.lease, "candidate": came.candidate,
               "train": came.train.model_dump(mode="json"), "measured": dict(came.measured),
               "data": came.data.model_dump(mode="json"), "verified": checks, "returned": night.clock.stamp()}
    _close(night, record, ledger.RETURNED, f"trained by {signer.name}; {len(checks)} checks held", "taken", mailbox)
    shutil.rmtree(received)
    (folder / "bundle.sealed").unlink(missing_ok=True)


def _refuse(night: Night, record: dict, mailbox: Mailbox, error: RemoteRefused) -> None:
    """Keep aside what is not to be believed, and take the job back."""
    folder = ledger.folder(night.home, record["job"])
    refused = folder / ASIDE
    with storage_errors(refused):
        shutil.rmtree(refused, ignore_errors=True)
        if (folder / RECEIVED).is_dir():
            os.replace(folder / "received", refused)
    _close(night, record, ledger.REFUSED, error.message, "cancel", mailbox)


def _close(night: Night, record: dict, state: str, reason: str, say: str | None, mailbox: Mailbox | None = None) -> None:
    """The end of a job here. What is still to be said of it in the mailbox is said now, or by a later start."""
    record |= {"state": state, "reason": reason, "to_say": say}
    ledger.write(night.home, record)
    night.events("remote", job=record["job"], state=state, reason=reason)
    if say is not None and mailbox is not None:
        _say(night.home, record, mailbox)


def _say(home: Home, record: dict, mailbox: Mailbox) -> None:
    try:
        if record["to_say"] == "taken":
            mailbox.taken(record["job"])
        else:
            mailbox.cancel(record["job"], record["reason"])
    except EdgeSleepError:
        return                                     # the next start says it
    record["to_say"] = None
    ledger.write(home, record)


def _say_what_is_left(night: Night) -> None:
    left = [one for one in ledger.records(night.home, "edge") if one["to_say"] is not None]
    if not left or not night.config.thor.mailbox:
        return
    try:
        mailbox = open_mailbox(night)
    except (SyncError, UsageError):
        return
    for record in left:
        _say(night.home, record, mailbox)
