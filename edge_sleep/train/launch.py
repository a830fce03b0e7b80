"""One training over several processes, on a GPU each: accelerate starts them, this process watches.

They are a world of their own: what goes wrong in one, a GPU's driver or the kernel's memory killer, ends them all and leaves
this process whole, with the last step that was saved. `folder`/team holds what they are told (asked.json), what happened
(events.jsonl), what came of it (result.json), what each took (peak-RANK.json), and a word to stop (stop).

    python -m edge_sleep.train.launch PARENT FOLDER PROCESSES
"""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sleep import errors
from edge_sleep.errors import DeviceError, EdgeSleepError
from edge_sleep.system import children
from edge_sleep.system.files import read_json, storage_errors, write_bytes, write_json

if TYPE_CHECKING:
    from edge_sleep.config import Config
    from edge_sleep.device.detect import Device
    from edge_sleep.model.base import Base
    from edge_sleep.system.events import EventLog
    from edge_sleep.train.budget import Contract
    from edge_sleep.train.planner import Plan
    from edge_sleep.train.session import TrainingResult

TEAM, ASKED, EVENTS, RESULT, STOP, LOG = "team", "asked.json", "events.jsonl", "result.json", "stop", "log"
LAUNCHER = "EDGE_SLEEP_LAUNCHER"                   # its pid, for the processes that must not outlive it
_LOOK_SECONDS = 0.2
_END_SECONDS = 30.0                                # for the processes to end once process 0 has said what came of it
_LAST_SECONDS = 120.0                              # that a step may still take after it was asked to stop, or its time is over
# As torchrun says it of each process that failed.
_FAILED = re.compile(r"rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)


def train_over(processes: int, base: Base, device: Device, config: Config, parent: Path | None, folder: Path, plan: Plan,
               contract: Contract, events: EventLog, interrupted: Callable[[], str | None]) -> TrainingResult:
    """As train.session.train_candidate, of `folder`/examples.jsonl, shared by so many processes; nothing is kept for judging.

    Heat and power are minded by process 0. Raises what it raised; DeviceError where a process ended without a word: the state of
    the last step that was saved is there.
    """
    from edge_sleep.train import state
    from edge_sleep.train.session import TrainingResult, TrainingStop

    team = folder / TEAM
    with storage_errors(team):
        shutil.rmtree(team, ignore_errors=True)
        team.mkdir(parents=True)
    write_json(team / ASKED, {
        "base": {**asdict(base), "place": {"source": base.place.source, "folder": str(base.place.folder)},
                 "cache": None if base.cache is None else str(base.cache)},
        # Of the clock there is nothing to say to a training, and times of day do not read as they are written.
        "device": asdict(device), "config": config.model_dump(mode="json", exclude={"schedule"}), "plan": asdict(plan),
        "parent": None if parent is None else str(parent), "seconds": contract.for_training()})
    heard, why, until = _Heard(team / EVENTS, events), None, None
    with _launched(team, processes) as process:
        while process.poll() is None and (until is None or contract.clock.monotonic() < until):
            heard.more()
            if until is None and (team / RESULT).is_file():
                until = contract.clock.monotonic() + _END_SECONDS
            if why is None and until is None and (why := interrupted() or _over(contract)) is not None:
                write_bytes(team / STOP, why.encode())
                until = contract.clock.monotonic() + _LAST_SECONDS
            contract.clock.sleep(_LOOK_SECONDS)
    heard.more()
    if peaks := [read_json(file, "a process's peak") for file in sorted(team.glob("peak-*.json"))]:
        events("processes", **{name: [peak[name] for peak in peaks] for name in peaks[0]})
    reached = None if (saved := state.latest(folder)) is None else saved.name
    if (team / RESULT).is_file():
        return _result(read_json(team / RESULT, "what a team of processes said"))
    if why is not None:
        return TrainingResult(TrainingStop.INTERRUPTED, f"{why}; {processes} processes did not come to the end of a step within "
                              f"{_LAST_SECONDS:.0f} s and were ended, {reached or 'no step'} is saved", {}, {})
    raise DeviceError(f"{_who(team / LOG)} of {processes} that shared this training; {reached or 'no step'} is saved",
                      "the team's log has their last words; a process that ended by signal 9 mostly had no memory left")


def _over(contract: Contract) -> str | None:
    """Process 0 stops by itself in time; this is for one that cannot."""
    return "the time is over" if contract.for_training() < -_LAST_SECONDS else None


def _result(said: dict[str, Any]) -> TrainingResult:
    from edge_sleep.train.session import TrainingResult, TrainingStop

    if "error" in said:
        kind = getattr(errors, said["error"]["kind"], EdgeSleepError)
        error = kind.__new__(kind)                 # some classes make their message of other parts
        EdgeSleepError.__init__(error, said["error"]["message"], said["error"]["do"])
        raise error
    return TrainingResult(**{**said, "stop": TrainingStop(said["stop"])})


def _who(log: Path) -> str:
    """Which process failed first, by torchrun's own account."""
    text = log.read_text(errors="replace") if log.is_file() else ""
    root = text[text.rfind("Root Cause"):] if "Root Cause" in text else ""
    found = _FAILED.search(root)
    if found is None:
        last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
        return f"accelerate ended without a result ({last[:200]})"
    rank, code = int(found[1]), int(found[2])
    how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
    return f"process {rank} {how}"


class _Heard:
    """What process 0 has written since, handed on with the times of this process."""

    def __init__(self, file: Path, events: EventLog):
        self.file, self.events = file, events
        self._at = 0

    def more(self) -> None:
        if not self.file.is_file():
            return
        with open(self.file, "rb") as stream:
            stream.seek(self._at)
            content = stream.read()
        whole = content[:content.rfind(b"\n") + 1]     # a line may be half written
        self._at += len(whole)
        for line in whole.splitlines():
            entry = json.loads(line)
            self.events(entry.pop("event"), **{key: value for key, value in entry.items() if key != "at"})


@contextmanager
def _launched(team: Path, processes: int) -> Iterator[subprocess.Popen]:
    """The launcher; it and all it started are gone afterwards: they end with it (`children.end_with`)."""
    command = [sys.executable, "-m", "edge_sleep.train.launch", str(os.getpid()), str(team.parent), str(processes)]
    with open(team / LOG, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                   env=children.environment())
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    parent, folder, processes = sys.argv[1:]
    children.end_with(int(parent))
    os.environ[LAUNCHER] = str(os.getpid())
    from accelerate.commands.launch import main as launch

    # torchrun behind --multi_gpu starts and watches processes; whether they compute on GPUs is theirs to say (train/team.py).
    sys.argv = ["accelerate launch", "--multi_gpu", "--num_processes", processes, "--num_machines", "1",
                "--mixed_precision", "no", "--dynamo_backend", "no", "--gpu_ids", "all", "--main_process_port", "0",
                "-m", "edge_sleep.train.member", folder]
    launch()


if __name__ == "__main__":
    main()
