"""The morning's artefacts: what `export.kinds` names, made and compared after the promotion, which they cannot undo.

They are made in a process of their own: it can be ended at any instant, whatever a builder is doing, and its memory is free then.
"""
from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.stages.context import Night, interrupted
from edge_sleep.system import children

_LOOK_SECONDS = 0.1


def export(night: Night) -> str | None:
    """Make each kind of the current adapter; what came of it goes into the record, and a failure ends that kind alone.

    Returns why the night has to give way, where that ended it; what is whole by then stays.
    """
    exports: dict[str, dict] = {}
    night.record["exports"] = exports
    adapter_id = store.incumbent(night.home)
    if adapter_id is None:
        return None
    kinds: list[str] = [*dict.fromkeys(night.config.export.kinds)]
    why = interrupted(night)
    if why is None:
        with _making(night, adapter_id, kinds) as process:
            why = _listen(night, process, exports)
        ended = f"it ended with {process.returncode} before it was made"
    for kind in kinds:
        if kind not in exports:
            exports[kind] = {"problem": f"not made: {why or ended}"}
            night.events("export", kind=kind, **exports[kind])
    return why


def _listen(night: Night, process: subprocess.Popen, exports: dict[str, dict]) -> str | None:
    """Note each kind as it is told, until the process ends or the night has to give way."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    heard = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (why := interrupted(night)) is None:
            if not selector.select(_LOOK_SECONDS):
                continue
            piece = process.stdout.read()
            if not piece:
                break
            *lines, heard = (heard + piece).split(b"\n")
            for line in lines:
                told = json.loads(line)
                exports[kind := told.pop("kind")] = told
                night.events("export", kind=kind, **told)
    return why


@contextmanager
def _making(night: Night, adapter_id: str, kinds: list[str]) -> Iterator[subprocess.Popen]:
    """The process that makes them, as stages/exporting.py is told; it and what it started are gone afterwards."""
    job: dict[str, Any] = {
        "home": str(night.home.root), "adapter": adapter_id, "kinds": kinds, "parent": os.getpid(),
        "base": {**asdict(night.base), "place": {"source": night.base.place.source, "folder": str(night.base.place.folder)},
                 "cache": None if night.base.cache is None else str(night.base.cache)},
        "device": asdict(night.device), "export": night.config.export.model_dump(),
        "system_prompt": night.config.companion.system_prompt, "created": night.clock.stamp()}
    process = subprocess.Popen([sys.executable, "-m", "edge_sleep.stages.exporting"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, bufsize=0, start_new_session=True, env=children.environment())
    assert process.stdin is not None
    try:
        with suppress(BrokenPipeError):                # it ended at once; its exit code says so
            process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        yield process
    finally:
        if process.poll() is None and interrupted(night) is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)                       # it has said all it had to say
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
