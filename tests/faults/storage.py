"""`python -m tests.faults.storage [STRIDE]`: what a night keeps on the disk, failing at every STRIDE-th call that writes, without a model.

A transcript is read into the store, an adapter published and promoted, the record closed. Each call in turn meets each fate of
`disk.FAULTS`, or the process is killed before it. Then the home is opened again: the pointer names a whole adapter, the store holds
the session whole or not at all, and doing it again ends it. Prints one JSON document.
"""
from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

from edge_sleep import config
from edge_sleep.checkpoint import integrity, manifest, store
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.device.explained import explained
from edge_sleep.errors import Exit, Outcome
from edge_sleep.system.clock import ManualClock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import publish_folder
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold
from edge_sleep.system.record import Recorder, read_records
from tests.faults import disk, shim
from tests.fuzz import readers
from tests.killing import ended, forked

NIGHT, NEW = "20260118-230000", "c" * 16
ALL = disk.FAULTS | {"killed": (0, shim.KILL)}


def night(home: Home) -> None:
    """What a night does to the disk; every step may be done again."""
    clock, settings = ManualClock(), config.Config()
    with hold(home.make().night_lock, "a night"):
        events = EventLog(home.night(NIGHT) / "events.jsonl", clock)
        home.night(NIGHT).mkdir(parents=True, exist_ok=True)
        recorder = Recorder(home.night(NIGHT) / "record.json", NIGHT, clock, events)
        with Buffer(home.experiences, clock) as buffer, recorder.phase("ingest"):
            ingest([home.root.parent / "talk.json"], buffer, companion=settings.companion, quality=settings.quality,
                   salience=settings.salience, data=settings.data)
            if not home.adapter(NEW).is_dir():
                staged = home.night(NIGHT) / "candidate"
                staged.mkdir(exist_ok=True)
                (staged / manifest.WEIGHTS).write_bytes(b"weights")
                manifest.write(staged, adapter_id=NEW, base=readers.BASE, parent="b" * 16, night=NIGHT, created=clock.stamp(), data={}, effect={})
                publish_folder(staged, home.adapter(NEW))
            store.promote(home, NEW, base=readers.BASE, chat_template="t", system_prompt="s", night=NIGHT, clock=clock)
            buffer.mark_trained(NIGHT, NEW, [item.id for item in buffer.items()])
        recorder.close(Outcome.PROMOTED, "it learned")


def attempt(home: Home) -> int:
    """The exit code that the command would end with."""
    try:
        night(home)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        return int(known.exit_code)
    return 0


def wrong(home: Home) -> list[str]:
    """What does not hold right after the fault, and after the next start."""
    found = [] if store.incumbent(home) in ("b" * 16, NEW) else [f"current is {store.incumbent(home)}"]
    found += store.last_good(home)[1]
    if home.experiences.is_file() and home.experiences.stat().st_size:
        with closing(sqlite3.connect(home.experiences)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiences'").fetchone():
                count, = connection.execute("SELECT COUNT(*) FROM experiences").fetchone()
                found += [] if count in (0, 2) else [f"{count} of 2 exchanges are stored"]
    night(home)
    found += [] if store.incumbent(home) == NEW else [f"after the next start {store.incumbent(home)} is current"]
    found += integrity.scan(home).problems
    found += [] if [one["outcome"] for one in read_records(home.nights)] == ["promoted"] * 2 else ["a record is not whole"]
    with Buffer(home.experiences) as buffer:
        found += [f"{item.id} is not taught" for item in buffer.untrained()]
    return found + [str(file) for file in home.root.rglob(".tmp-*")]


def main() -> int:
    shim.preload("tests.faults.storage")
    if shim.library() is None:
        print(json.dumps({"skipped": "no C compiler"}))
        return 0
    root = Path(tempfile.mkdtemp(prefix="edge-sleep-storage-"))
    (root / "talk.json").write_text(json.dumps(readers.TALK))
    good = readers._home(root / "good")
    ends, losses, calls = Counter[str](), [], 0
    stride = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    for place, (name, (error, how)) in enumerate(ALL.items()):
        number = 1 + place % stride        # each fate its own calls
        while True:
            shutil.rmtree(root / "home", ignore_errors=True)
            shutil.copytree(good.root, root / "home")
            home, log = Home(root / "home"), root / f"log-{name.replace(' ', '-')}-{number}"

            def struck(home: Home = home, number: int = number, how: int = how, error: int = error, log: Path = log) -> int:
                shim.arm(home.root, number, how, error, log)
                return attempt(home)

            code = ended(forked(struck))
            if not log.read_text():
                break                      # it had fewer calls: it was not hit
            hit = disk.place(log.read_text().partition("\n")[0])
            said = "killed" if code == -signal.SIGKILL else Exit(code).name if code in set(Exit) else f"exit {code}"
            ends[f"{name}: {said}"] += 1
            if code not in (0, Exit.STORAGE, -signal.SIGKILL):
                losses.append(f"{name} at call {number} ({hit}): it ended as {said}")
            shim.arm(home.root, -1, shim.ONCE, 0, root / "none")          # none fails any more
            losses += [f"{name} at call {number} ({hit}): {one}" for one in wrong(home)]
            number, calls = number + stride, calls + 1
    shutil.rmtree(root)
    print(json.dumps({"calls": calls, "ends": ends, "losses": losses}, indent=1))
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
