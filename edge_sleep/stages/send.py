"""What the night accepted is queued, and sent if that goes quickly. Whatever a network does, the night has ended as it ended.

Sending is a process of its own, so that a network that hangs can be left at any instant: what it had begun, the next push ends.
"""
from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

from edge_sleep.errors import EdgeSleepError, Exit
from edge_sleep.model.settings import set_value
from edge_sleep.stages.context import Night, interrupted
from edge_sleep.sync import backoff, outbox, roles
from edge_sleep.system import children

_SECONDS = 60.0                        # what a night gives a network; the rest is sent between nights
_LOOK_SECONDS = 0.1


def wanted(night: Night) -> bool:
    settings = night.config.sync
    return roles.traffic(settings.remote, settings.role, settings.auto_upload, settings.auto_download).sends


def send(night: Night) -> str:
    """Queue, then try to send; what came of it is in the record's `sync`. Returns `sent`, or why it waits; raises nothing."""
    told: dict = {"queued": [], "waiting": None, "problem": None}
    night.record["sync"] = told
    try:
        told["queued"] = outbox.queue_current(night.home, night.clock)
        told["problem"] = _push(night)
        told["waiting"] = len(outbox.waiting(night.home))
    except (EdgeSleepError, OSError) as error:
        told["problem"] = getattr(error, "message", str(error))
    night.events("sync", **told)
    return "waits" if told["problem"] else "sent"


def _push(night: Night) -> str | None:
    """Why not everything is sent; None where it is."""
    failed = backoff.read(outbox.backoff_file(night.home))
    if failed is not None and failed.left_seconds(night.clock) > 0:
        return f"not tried: the remote failed before ({failed.why})"
    if (why := interrupted(night)) is not None:
        return f"not tried: {why}"
    sync = night.config.sync.model_dump()
    sets = [part for key in ("remote", "timeout", "bandwidth_bytes") if sync[key] is not None
            for part in ("--set", set_value(f"sync.{key}", f"{sync[key]:g}s" if key == "timeout" else sync[key]))]
    process = subprocess.Popen([sys.executable, "-m", "edge_sleep", "sync", "push", "--home", str(night.home.root), *sets],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True, env=children.environment())
    until = night.clock.monotonic() + _SECONDS
    try:
        while (why := interrupted(night)) is None and night.clock.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                return _said(night, process.wait(_LOOK_SECONDS))
        return f"broken off: {why}" if why else f"broken off after {_SECONDS:.0f} s; the rest is sent between nights"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(night: Night, code: int) -> str | None:
    if code == Exit.OK:
        return None
    failed = backoff.read(outbox.backoff_file(night.home))
    return failed.why if code == Exit.SYNC and failed else f"`edge-sleep sync push` ended with {code}"
