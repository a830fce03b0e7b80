"""Whole nights under a hard memory limit: from transcripts to promotion, in a process that the kernel would kill.

    python -m edge_sleep.benchmarks.shapes qwen2.5-0.5b /tmp/shape
    python -m edge_sleep.benchmarks.memory_night /tmp/shape --limits 2048,1536,1536-480

Each limit (MiB) is one night in a cgroup of its own, page cache and kernel memory included, no swap; all of them in one
home: the first quantises the base, the later ones read its cache and continue the adapter. `1536-480` is a night whose
neighbour in the same cgroup takes 480 MiB when the plan is made already: it has to hit the limit and shrink. Random weights
recall nothing, so what a night is judged by is loosened as the tests do, and the loss on what was taught decides; every
setting is printed. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from edge_sleep.benchmarks.limits import Group, Unlimited, limited

from edge_sleep.device import environment
from edge_sleep.system.events import read_events
from edge_sleep.system.home import Home

# A lesson of minutes on two cores. The judge's bounds are loosened: random weights answer at random.
SETS = ("data.min_new=4", "data.augment=0", "data.held_out=0", "data.context=0", "replay.share=0", "replay.least=0",
        "train.epochs=2", "train.micro_batch=4", "train.learning_rate=2e-3", "lora.rank=4", "lora.alpha=8",
        "lora.targets=q_proj,v_proj", "gate.recall_probes=4", "gate.own_probes=2", "gate.retention_probes=4",
        "gate.unknown_probes=4", "gate.character_probes=2", "gate.character_drop=1", "gate.inverted=1", "gate.recited=1",
        "gate.max_new_tokens=4", "gate.retention_vs_before=0", "gate.retention_vs_base=0",
        "gate.unknowns_drop=1", "gate.loops=1", "gate.distinct=0", "quality.enabled=false", "salience.keep=0")
_WORDS = ("heron harbour lamp shelf radio fern garden kettle blue gate spring barn hive ferry fog pier brother net "
          "bread oven cellar attic window rain orchard ladder apple basket river bridge stone path").split()


def transcript(folder: Path, number: int, exchanges: int, longest_words: int) -> Path:
    """A generated conversation: questions of a line, answers from a line up to `longest_words`."""
    chance = random.Random(number)

    def words(count: int) -> str:
        return " ".join(chance.choice(_WORDS) for _ in range(count))

    turns = []
    for index in range(exchanges):
        length = 12 + (longest_words - 12) * index // max(1, exchanges - 1)
        turns += [{"speaker": "Claude", "text": f"What do you know about the {words(3)}?"},
                  {"speaker": "SAGE", "text": f"About the {words(length)}."}]
    file = folder / f"session_{number:03}.json"
    file.write_text(json.dumps({"session": number, "phase": "relating", "start": "2026-01-17T20:00:00", "conversation": turns}))
    return file


NEIGHBOUR = """
import sys
sys.stdin.readline()
held = b"x" * int(sys.argv[1])
sys.stdin.readline()
"""


def night(group: Group | Unlimited, home: Path, model: str, sessions: Path, sets: list[str], budget: str, held_bytes: int = 0,
          errors: IO[str] | None = None) -> dict:
    """One night in `group`; what it took, how it ended, what had to shrink.

    held_bytes: what a neighbour in the group takes as soon as the plan is made. errors: where its progress goes.
    """
    command = [sys.executable, "-m", "edge_sleep", "night", "--home", str(home), "--model", model, "--sessions", str(sessions),
               "--budget", budget, "--json"]
    for item in sets:
        command += ["--set", item]
    before, made = len(events_of(home)), plans(home)
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        heard = sys.stderr if errors is None else errors
        neighbour = group.run([sys.executable, "-c", NEIGHBOUR, str(held_bytes)], stdin=subprocess.PIPE) if held_bytes else None
        process = group.run(command, stdout=said, stderr=heard, text=True)
        while neighbour is not None and process.poll() is None and plans(home) == made:
            time.sleep(0.01)
        if neighbour is not None and neighbour.stdin is not None:
            neighbour.stdin.write(b"\n")
            neighbour.stdin.flush()
        code = process.wait()
        if neighbour is not None:
            neighbour.communicate(b"\n")
        said.seek(0)
        lines = said.read().splitlines()
    events = events_of(home)[before:]          # one night a run, and what was cut is gone on with: the newest come last
    record = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    measured = record.get("measured") or {}
    return {"exit_code": code, "outcome": record.get("outcome"), "reason": record.get("reason") or record.get("error"),
            "seconds": round(time.monotonic() - began, 1), "peak_bytes": group.peak_bytes(), "at_limit": group.at_limit(),
            "kills": group.kills(), "rss_peak_bytes": measured.get("rss_peak_bytes"),
            "planned_bytes": (record.get("plan") or {}).get("peak_bytes"), "train": record.get("train"),
            "loaded": [event["how"] for event in events if event["event"] == "loaded"],
            "plan": (record.get("plan") or {}).get("reasons"),
            "shrunk": [event for event in events if event["event"] == "shrunk"],
            "phases": record.get("phases"), "measured": measured, "adapter": record.get("candidate")}


def events_of(home: Path) -> list[dict]:
    """Every event of every night, oldest night first."""
    return [event for file in sorted(home.glob("nights/*/events.jsonl")) for event in read_events(file)]


def plans(home: Path) -> int:
    return sum(event["event"] == "plan" for event in events_of(home))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="the model")
    parser.add_argument("--limits", default="2048,1536,1536-480",
                        help="MiB of each night, in order; LIMIT-HELD: a neighbour takes HELD of it once the plan is made")
    parser.add_argument("--sessions", type=Path, help="your own transcripts; generated ones where left out")
    parser.add_argument("--exchanges", type=int, default=12, help="generated exchanges a night")
    parser.add_argument("--longest", type=int, default=360, help="words of the longest generated answer")
    parser.add_argument("--home", type=Path, help="keep the home here")
    parser.add_argument("--budget", default="55m")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="section.key=value")
    arguments = parser.parse_args()
    sets = [*SETS, *arguments.sets]
    print("settings:", *sets, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder) / "home"
        for number, part in enumerate(arguments.limits.split(","), start=1):
            limit, held = (int(size or 0) for size in part.partition("-")[::2])
            nights = len(list(Home(home).nights.iterdir())) if Home(home).nights.is_dir() else 0
            sessions = arguments.sessions or transcript(Path(folder), nights + 1, arguments.exchanges, arguments.longest)
            with limited(limit << 20) as group:
                row = {"limit_mebibytes": limit, "neighbour_mebibytes": held} | night(
                    group, home, arguments.folder, sessions, sets, arguments.budget, held << 20)
            rows.append(row)
            print(f"night {number}: limit {limit} MiB ({held} a neighbour's), peak {row['peak_bytes'] / 2**20:.0f} (resident "
                  f"{(row['rss_peak_bytes'] or 0) / 2**20:.0f}, planned {(row['planned_bytes'] or 0) / 2**20:.0f}), "
                  f"{row['kills']} killed, at the limit {row['at_limit']} times; {row['outcome']} "
                  f"(exit {row['exit_code']}) in {row['seconds']:.0f} s; base {', '.join(row['loaded'])}", flush=True)
            for event in row["shrunk"]:
                print("   shrunk:", json.dumps(event), flush=True)
    print(json.dumps({"benchmark": "memory_night", "model": arguments.folder, "sets": sets, "nights": rows,
                      "environment": environment.describe()}))


if __name__ == "__main__":
    main()
