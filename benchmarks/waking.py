"""How soon a night gives way: from a conversation's lock request until the night's process, and with it its memory, is gone.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.waking /tmp/shape --tries 50

Real nights (`edge-sleep night`) of copies of one prepared home; each is asked at a random instant of its phase, seeded: load (by
weight), train (by micro-batch), judge (by token), export (a process of its own). Beside it stands what one uninterrupted night
measured: how long its phase works between two looks whether somebody wants the device. After some of the tries in training
the night is gone on with, and its adapter's id, the hash of its weights, compared with the uninterrupted one's. The last line is
one JSON document.
"""
from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sleep.device import environment, profile
from edge_sleep.errors import Exit
from edge_sleep.export.artefact import versions
from edge_sleep.seedling import SESSIONS
from edge_sleep.system import children, lock
from edge_sleep.system.events import read_events
from edge_sleep.system.files import read_sealed
from edge_sleep.system.home import Home

PHASES = ("load", "train", "judge", "export")
ALLOWED_SECONDS = 2.0                                  # and one unit of work
_PATIENCE_SECONDS = 600.0
# A night of minutes on a model of random weights: what it learns and how it is judged is not the question here.
SETS = ("data.min_new=4", "data.max_selected=24", "data.augment=0", "replay.least=0", "train.epochs=3", "train.micro_batch=2",
        "train.grad_accum_steps=4", "train.learning_rate=2e-3", "lora.rank=8", "gate.batch=8", "gate.recall_probes=8",
        "gate.retention_probes=8", "gate.own_probes=8", "gate.unknown_probes=8", "gate.character_probes=2", "gate.min_effect=0",
        "gate.rival=false", "gate.max_new_tokens=16",
        "gate.retention_vs_before=0", "gate.retention_vs_base=0", "gate.unknowns_drop=1", "gate.character_drop=1", "gate.loops=1",
        "gate.inverted=1", "gate.recited=1", "gate.distinct=0", "gate.news=0", "budget.time=4h", "thermal.source=none",
        "export.passages=8")


@dataclass(frozen=True)
class Bench:
    """Where the copies lie, and what their nights are told."""

    folder: Path
    sets: tuple[str, ...]

    def copy(self, of: str, to: str) -> Home:
        """A copy of a prepared home. The cache, which is the quantised base, is one for all."""
        there = self.folder / to
        shutil.rmtree(there, ignore_errors=True)
        shutil.copytree(self.folder / of, there, symlinks=True)
        return Home(there)

    def empty(self, name: str) -> Home:
        (self.folder / "cache").mkdir()
        (self.folder / name).mkdir()
        (self.folder / name / "cache").symlink_to(self.folder / "cache")
        return Home(self.folder / name)

    def start(self, home: Home) -> Night:
        options = [part for item in self.sets for part in ("--set", item)]
        seen = len(events_of(home))
        command = [sys.executable, "-m", "edge_sleep", "night", "--home", str(home.root), "--sessions", str(SESSIONS), *options]
        with open(self.folder / "nights.log", "ab") as told:
            return Night(home, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=told, stderr=told,
                                                env=children.environment()), seen)


def events_of(home: Home) -> list[dict]:
    nights = sorted(home.nights.iterdir()) if home.nights.is_dir() else []
    return read_events(nights[-1] / "events.jsonl") if nights else []


Match = Callable[[dict], bool]


def begins(name: str) -> Match:
    return lambda event: event["event"] == "phase" and event["name"] == name and event["state"] == "begin"


def is_event(name: str) -> Match:
    return lambda event: event["event"] == name


# What begins a phase, and what ends it; loading and training are one phase of the record.
BEGINS: dict[str, Match] = {"load": begins("train"), "train": is_event("objective"), "judge": begins("judge"),
                            "export": begins("export")}


def ends(phase: str) -> Match:
    if phase == "load":
        return BEGINS["train"]
    return lambda event: event["event"] == "phase" and event["name"] == phase and event["state"] == "end"


@dataclass
class Night:
    """A night that runs. seen: events of its home before it."""

    home: Home
    process: subprocess.Popen
    seen: int

    def comes_to(self, match: Match) -> bool:
        """Wait for an event of this very run; False where it ended without."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            over = self.process.poll() is not None
            if any(match(event) for event in events_of(self.home)[self.seen:]):
                return True
            if over:
                return False
            time.sleep(0.005)
        raise SystemExit(f"the night in {self.home.root} did not come that far within {_PATIENCE_SECONDS:.0f} s")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def prepare(bench: Bench, exports: bool) -> dict[str, Any]:
    """Homes at the beginning of each phase, by killing one night there; and what an uninterrupted one of them measures."""
    night = bench.start(bench.empty("begun"))
    require(bench, night.comes_to(is_event("objective")), "training")
    night.kill()
    for saved in night.home.nights.glob("*/state/step-*"):
        shutil.rmtree(saved)
    bench.copy("begun", "whole")
    command = [sys.executable, "-m", "edge_sleep.benchmarks.waking", ".", "--reference", str(bench.folder / "whole"), *bench.sets]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=children.environment())
    if done.returncode:
        raise SystemExit("the uninterrupted night broke; what it said stands above")
    reference = json.loads(done.stdout.splitlines()[-1])
    print(f"uninterrupted: {reference['outcome']}, adapter {reference['adapter']}", flush=True)
    before = "begun"
    for phase in ("judge", *(("export",) if exports and reference["outcome"] == "promoted" else ())):
        bench.copy(before, phase)
        night = bench.start(Home(bench.folder / phase))
        require(bench, night.comes_to(begins(phase)), phase)
        night.kill()
        before = phase
    return reference


def require(bench: Bench, came: bool, what: str) -> None:
    if not came:
        raise SystemExit(f"the night did not come to {what}:\n" + (bench.folder / "nights.log").read_text()[-2000:])


def reference(root: Path, sets: Sequence[str]) -> dict[str, Any]:
    """A whole night in this process: its adapter, and for each phase how long it is and how long it works between two looks.

    Every look whether to give way asks for the session lock; here the time of each is noted.
    """
    from edge_sleep.model.settings import layered
    from edge_sleep.night import Request, run
    from edge_sleep.stages import context

    marks: list[tuple[float, str, str]] = []
    part = [""]
    held = context.holder

    def look(path: Path) -> dict | None:
        stack = traceback.extract_stack(limit=7)[:-2]
        marks.append((time.monotonic(), part[0], " < ".join(frame.name for frame in reversed(stack))))
        return held(path)

    def listen(event: dict) -> None:
        before = part[0]
        if event["event"] == "phase":
            part[0] = "" if event["state"] == "end" else {"train": "load"}.get(event["name"], event["name"])
        elif event["event"] == "objective":
            part[0] = "train"
        if part[0] != before:
            marks.extend((time.monotonic(), name, f"{event['event']} {event.get('name', '')}") for name in (before, part[0]))

    context.holder = look  # type: ignore[assignment]
    home = Home(root)
    config, _ = layered(home, sets, profile.detect()[0])
    record = run(home, config, Request(sessions=(SESSIONS,)), listener=listen)
    found = {}
    for phase in PHASES:
        here = [(at, who) for at, name, who in marks if name == phase]
        times = [at for at, _ in here]
        between = sorted((after[0] - before[0], before[1], after[1]) for before, after in zip(here, here[1:], strict=False))
        gaps = [gap for gap, *_ in between]
        if gaps:
            found[phase] = {"seconds": times[-1] - times[0], "looks": len(times), "unit_p50": statistics.median(gaps),
                            "unit_p95": gaps[int(0.95 * (len(gaps) - 1))], "unit_longest": gaps[-1],
                            "longest_between": between[:-4:-1]}
    return {"outcome": record["outcome"], "adapter": record["candidate"], "phases": found,
            "step_seconds_p50": record["measured"]["step_seconds_p50"], "train": record["train"]}


def ask(bench: Bench, phase: str, seconds: float, chance: random.Random) -> tuple[float, Home] | None:
    """(seconds from the request until the night was gone, its home); None where the phase was over before it could be asked."""
    night = bench.start(bench.copy({"load": "begun", "train": "begun"}.get(phase, phase), "try"))
    if not night.comes_to(BEGINS[phase]):
        raise SystemExit(f"a night ended before {phase}:\n" + (bench.folder / "nights.log").read_text()[-2000:])
    time.sleep(chance.uniform(0, seconds))
    with lock.hold(night.home.session_lock, "the benchmark"):
        began = time.monotonic()
        over = night.process.poll() is not None or any(ends(phase)(event) for event in events_of(night.home)[night.seen:])
        try:
            night.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            night.kill()
        gone = time.monotonic() - began
    return (gone, night.home) if night.process.returncode == Exit.PREEMPTED and not over else None


def resumed(bench: Bench, home: Home) -> str:
    """The id of the adapter that a night comes to which is gone on with."""
    night = bench.start(home)
    require(bench, night.comes_to(begins("judge")), "its adapter")
    night.kill()
    (file,) = home.nights.glob("*/state/candidate.json")
    return read_sealed(file, "candidate")["id"]


def measure(bench: Bench, phases: Sequence[str], tries: int, resumes: int, window: float, seed: int,
            reference: dict) -> list[dict]:
    rows = []
    print(f"{'phase':8} {'p50':>7} {'p95':>7} {'longest':>8}   {'a unit: p50':>11} {'p95':>7} {'longest':>8}   "
          "within 2 s + a unit")
    for phase in phases:
        of, chance = reference["phases"][phase], random.Random(f"{seed} {phase}")
        found, late, equal = [], 0, []
        while len(found) < tries and late < 3 * tries + 10:
            asked = ask(bench, phase, min(window, 0.95 * of["seconds"]), chance)
            if asked is None:
                late += 1
                continue
            found.append(asked[0])
            if phase == "train" and len(equal) < resumes:
                equal.append(resumed(bench, asked[1]) == reference["adapter"])
        if not found:
            print(f"{phase:8} it was over each time before it could be asked", flush=True)
            continue
        found.sort()
        p50, p95 = statistics.median(found), found[min(len(found) - 1, round(0.95 * (len(found) - 1)))]
        within = sum(one <= ALLOWED_SECONDS + of["unit_longest"] for one in found)
        rows.append({"phase": phase, "tries": len(found), "over_before": late, "p50": p50, "p95": p95, "longest": found[-1], **of,
                     "within": within, "bit_equal": f"{sum(equal)} of {len(equal)}" if equal else None})
        print(f"{phase:8} {p50:7.3f} {p95:7.3f} {found[-1]:8.3f}   {of['unit_p50']:11.3f} {of['unit_p95']:7.3f} "
              f"{of['unit_longest']:8.3f}   {within} of {len(found)}"
              + (f"; gone on with, bit-equal weights {sum(equal)} of {len(equal)}" if equal else ""), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder")
    parser.add_argument("--tries", type=int, default=50, help="of each phase")
    parser.add_argument("--resumes", type=int, default=5, help="tries in training whose night is gone on with")
    parser.add_argument("--window", type=float, default=30.0, help="seconds from a phase's beginning in which the instants lie")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--export", default="merged", help="kind of export")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 is the machine's own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, help="folder for the copies of the home  [default: a temporary one]")
    parser.add_argument("--reference", nargs="+", metavar="HOME SET", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reference:
        root, *sets = arguments.reference
        print(json.dumps(reference(Path(root), sets)))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sets = (*SETS, f"companion.model={Path(arguments.model).absolute()}", f"export.kinds=[{arguments.export}]",
            f"train.threads={arguments.threads}")
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        bench = Bench(Path(folder), sets)
        whole = prepare(bench, "export" in arguments.phases)
        phases = [phase for phase in PHASES if phase in arguments.phases and phase in whole["phases"]]
        rows = measure(bench, phases, arguments.tries, arguments.resumes, arguments.window, arguments.seed, whole)
    print(json.dumps({"benchmark": "waking", "model": arguments.model, "tries": arguments.tries, "rows": rows, "whole": whole,
                      "versions": versions("torch"), "environment": environment.describe()}))


if __name__ == "__main__":
    main()
