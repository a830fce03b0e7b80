"""A watcher and a night for the tests of processes. `python standin.py watch HOME OFFSET` is a real watcher with a clock so many
seconds ahead; `python standin.py night HOME SECONDS OFFSET` takes the lock as a night does, and leaves a record; `python standin.py micro HOME
OFFSET MODEL TALK` is a real night of the micro-model. With FAKE_UNITS both stop llm.service while they work."""
from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path


def night(home: Path, seconds: float, offset: float) -> int:
    """The whole life of a night: lock, folder, work, record. Told to end, it says `preempted`."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    lock = os.open(home / "state" / "night.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 17
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"what": "a night", "pid": os.getpid()}).encode(), 0)
    started = _now(offset)
    unfinished = [folder for folder in sorted((home / "nights").iterdir()) if (folder / "plan").is_file()]
    folder = unfinished[-1] if unfinished else home / "nights" / f"{datetime.fromisoformat(started):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan").touch()
    _log(home, f"begin {folder.name}")
    with ExitStack() as lent:
        if "FAKE_UNITS" in os.environ:
            lend(home, lent)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not told:
            time.sleep(0.01)
    code, outcome = (143, "preempted") if told else (0, "promoted")
    record = {"night": folder.name, "outcome": outcome, "reason": "stand-in", "exit_code": code, "started": started,
              "ended": _now(offset)}
    _log(home, f"{outcome} {folder.name}")
    if not told:
        (folder / "plan").unlink()
    (folder / ".tmp").write_text(json.dumps(record))
    os.replace(folder / ".tmp", folder / "record.json")
    return code


def lend(root: Path, lent: ExitStack) -> None:
    """What a night does about its neighbours."""
    from edge_sleep import config
    from edge_sleep.device import loans
    from edge_sleep.device.neighbours.lease import Neighbours
    from edge_sleep.system.home import Home

    home = Home(root)
    loans.put_back(home)
    lent.enter_context(Neighbours(config.Neighbours(units=("llm",)), home.neighbours_intent)).take()


def micro(root: Path, offset: float, model: Path, talk: Path) -> int:
    from edge_sleep import config, night
    from edge_sleep.errors import EdgeSleepError
    from edge_sleep.system.home import Home
    from tests.micro import SETS

    # Each date has one talk: held out, it would leave its night nothing to learn.
    settings = config.load(None, [*SETS, f"companion.model={model}", "neighbours.units=[llm]", "data.held_out=0"])
    try:
        record = night.run(Home(root), settings, night.Request(sessions=(talk,)), ahead(offset))
    except EdgeSleepError as error:
        return int(error.exit_code)
    return record["exit_code"]


def ahead(offset: float):
    from edge_sleep.system.clock import Clock

    class Ahead(Clock):
        def now(self) -> datetime:
            return (datetime.now(timezone.utc) + timedelta(seconds=offset)).astimezone()

        def since_boot(self) -> float:
            return super().since_boot() + offset

    return Ahead()


def _now(offset: float) -> str:
    return (datetime.now(timezone.utc) + timedelta(seconds=offset)).isoformat(timespec="milliseconds")


def _log(home: Path, line: str) -> None:
    descriptor = os.open(home / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def watch(root: Path, offset: float, sets: list[str]) -> int:
    from edge_sleep import config
    from edge_sleep.schedule import watch as watching
    from edge_sleep.schedule.machine import held
    from edge_sleep.schedule.rhythm import Machine
    from edge_sleep.system import lock
    from edge_sleep.system.home import Home

    def machine(home: Home, _: config.Config, count: bool) -> Machine:
        return Machine(20 if count else None, held(home.night_lock, "a night"), held(home.session_lock, "a conversation"))

    watching.LOOK_SECONDS = 0.03
    home = Home(root).make()
    seconds = os.environ.get("STANDIN_SECONDS", "0.3")
    flags = [] if "FAKE_UNITS" in os.environ else ["-S", "-E"]
    command = [sys.executable, *flags, __file__, "night", str(root), seconds, str(offset)]
    if "STANDIN_MICRO" in os.environ:
        command = [sys.executable, __file__, "micro", str(root), str(offset), *os.environ["STANDIN_MICRO"].split()]
    with lock.hold(home.watch_lock, "a watcher"):
        (root / f"ready-{os.getpid()}").touch()           # whoever asked the lock would hold it for an instant
        watcher = watching.Watcher(home, lambda: config.load(None, sets), lambda _: command,
                                   lambda text: print(text, file=sys.stderr, flush=True), ahead(offset), machine=machine)
        return watching.watch(watcher, once="--once" in sys.argv)


if __name__ == "__main__":
    if sys.argv[1] == "night":
        sys.exit(night(Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
    if sys.argv[1] == "micro":
        sys.exit(micro(Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5])))
    sys.exit(watch(Path(sys.argv[2]), float(sys.argv[3]), [item for item in sys.argv[4:] if "=" in item]))
