"""How long a conversation waits for `edge_sleep.collect`: wall clock and CPU time per exchange, warm.

    python -m edge_sleep.benchmarks.collecting [--exchanges 300] [--before 2000]

The last line is one JSON document. The limit is 10 ms at the median; most of the wall clock beyond the CPU time is the
disk's fsync, so the same is measured for a bare fsync of as many bytes.
"""
from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import edge_sleep

LIMIT_MILLISECONDS = 10.0
_BYTES = 60_000                           # about what one exchange writes to the WAL


def talk(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Exchanges of made-up words with the frequencies of language, 10 words asked and 84 answered."""
    generator = random.Random(seed)
    words = ["".join(generator.choice("bdfgklmnprstvw") + generator.choice("aeiou") for _ in range(generator.randint(1, 4)))
             for _ in range(8000)]
    weights = [1 / (rank + 5) for rank in range(len(words))]
    for _ in range(count):
        said = [" ".join(generator.choices(words, weights, k=14)).capitalize() + "." for _ in range(6)]
        yield " ".join(generator.choices(words, weights, k=10)).capitalize() + "?", " ".join(said)


def spread(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3)
            for name, share in (("p20", 0.2), ("p50", 0.5), ("p80", 0.8), ("p95", 0.95), ("max", 1.0))}


def measure(folder: Path, exchanges: int, before: int) -> dict:
    """Collect into a home that holds `before` exchanges already; checks first that what is collected is there."""
    for number, (prompt, answer) in enumerate(talk(before, seed=1)):
        edge_sleep.collect(folder, prompt, answer, session=f"before {number // 8}")
    made = edge_sleep.collect(folder, "Is it there?", "It is there, with its score and its reasons.", session="check")
    stored = sqlite3.connect(folder / "experience.db").execute(
        "SELECT response FROM experiences WHERE id = ?", (made.id,)).fetchone()
    if stored is None or stored[0] != made.response:
        raise SystemExit("what was collected is not in the home")
    wall, cpu, disk = [], [], []
    with open(folder / "fsync", "wb") as file:
        for number, (prompt, answer) in enumerate(talk(exchanges, seed=2)):
            began, spent = time.perf_counter(), time.process_time()
            edge_sleep.collect(folder, prompt, answer, session=f"measured {number // 8}", phase="creating")
            wall.append((time.perf_counter() - began) * 1e3)
            cpu.append((time.process_time() - spent) * 1e3)
            file.write(bytes(_BYTES))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            disk.append((time.perf_counter() - began) * 1e3)
    return {"exchanges": exchanges, "before": before, "wall_milliseconds": spread(wall), "cpu_milliseconds": spread(cpu),
            "fsync_milliseconds": spread(disk), "limit_milliseconds": LIMIT_MILLISECONDS,
            "share_of_limit": round(spread(wall)["p50"] / LIMIT_MILLISECONDS, 3), "load": os.getloadavg()[0],
            "machine": platform.machine(), "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", type=int, default=300)
    parser.add_argument("--before", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-sleep-") as folder:
        print(json.dumps(measure(Path(folder), given.exchanges, given.before)))


if __name__ == "__main__":
    main()
