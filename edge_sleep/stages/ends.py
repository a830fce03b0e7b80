"""How a night begins again and how it ends: what stays on disk, what the record says."""
from __future__ import annotations

import shutil
from contextlib import suppress

from edge_sleep.checkpoint import store
from edge_sleep.device import memory
from edge_sleep.errors import Exit, Outcome, StorageError
from edge_sleep.evaluate import report
from edge_sleep.evaluate.page import render
from edge_sleep.stages import pacing
from edge_sleep.stages.context import Night
from edge_sleep.system.files import write_bytes
from edge_sleep.system.home import Home
from edge_sleep.thor import ledger

_TRY_AGAIN = (Exit.STORAGE, Exit.DEVICE, Exit.USAGE, Exit.SYNC, Exit.REMOTE_REFUSED)


def unfinished(home: Home) -> str | None:
    """The newest night that was cut or stopped with its state on disk."""
    for folder in sorted(home.nights.iterdir(), reverse=True):
        if (folder / "state" / "plan.json").is_file():
            return folder.name
        if (folder / "state").is_dir():
            shutil.rmtree(folder / "state")      # cut before its plan was whole: nothing to go on from
    return None


def end(night: Night, outcome: Outcome, reason: str) -> dict:
    night.record["measured"]["rss_peak_bytes"] = memory.rss_peak_bytes()
    pacing.note(night)
    night.record["plan"]["budget_seconds"] = night.contract.total_seconds
    exit_code = 128 + night.signals.received if night.signals.received and outcome is Outcome.PREEMPTED else None
    record = night.recorder.close(outcome, reason, exit_code)
    write_bytes(night.folder / "report.txt", report.as_text(record).encode())
    _page(night)
    if not outcome.resumable and ledger.away(night.home, night.id) is None:      # what a job waits for comes back to it
        shutil.rmtree(night.state, ignore_errors=True)
    return record


def give_up(night: Night, outcome: Outcome, reason: str, exit_code: int) -> None:
    """Record a night that broke. Its state stays where trying again can help: a full disk, a damaged pointer, a sensor that
    cannot be read, a setting that contradicts another, a result that was refused. It stays, too, once its candidate is current:
    what is not marked as taught yet would be taught again, on top of it."""
    pacing.note(night)
    night.record["plan"]["budget_seconds"] = night.contract.total_seconds
    night.recorder.close(outcome, reason, exit_code)
    _page(night)
    if outcome is Outcome.FAILED and exit_code not in _TRY_AGAIN and not _is_current(night):
        shutil.rmtree(night.state, ignore_errors=True)


def _is_current(night: Night) -> bool:
    pointer = store.read_damaged(night.home)
    return pointer is not None and pointer["night"] == night.id


def _page(night: Night) -> None:
    """The morning page. The record is closed: whatever goes wrong here changes nothing of the night."""
    try:
        render.write(night.home, night.record)
    except Exception as error:
        with suppress(StorageError):
            night.events("page", written=False, reason=f"{type(error).__name__}: {error}")


def dry(night: Night) -> dict:
    """What would have happened. What was read in stays; no night is left behind."""
    record = night.record | {"outcome": Outcome.NOTHING_TO_DO.value, "exit_code": 0, "ended": night.clock.stamp(),
                             "reason": "dry run: nothing was trained"}
    shutil.rmtree(night.folder)
    return record
