"""What ingest and selection cost as a home grows: time and memory, without a model, on one core.

    python -m edge_sleep.benchmarks.data_scale --plot scale.png
    python -m edge_sleep.benchmarks.data_scale --exchanges 10000 --rows 50000

Synthetic talk, seeded: sessions of 8 exchanges, answers of 60 words from 20,000 invented words of Zipf's frequencies,
which have more different word pairs than speech has. Each size is ingested in a process of its own; its peak resident
memory counts Python and everything it imported. Selection reads from a store of rows written directly.
The targets are those of 100,000 exchanges and 1,000,000 rows. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.ingest import ingest
from edge_sleep.data.select import select

SECONDS, MEBIBYTES, SELECT_SECONDS = 60.0, 300.0, 2.0
_PER_SESSION, _WORDS, _VOCABULARY = 8, 60, 20_000


def write_talk(path: Path, exchanges: int, seed: int = 1) -> None:
    """JSONL of sessions, one a line."""
    rng = random.Random(seed)
    syllables = [consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in ("a", "e", "i", "o", "u", "ai", "ou")]
    vocabulary = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(_VOCABULARY)]
    weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(_VOCABULARY)))

    def sentence(length: int, end: str) -> str:
        return " ".join(rng.choices(vocabulary, cum_weights=weights, k=length)).capitalize() + end

    with open(path, "w", encoding="utf-8") as stream:
        for number in range(exchanges // _PER_SESSION):
            talk = []
            for _ in range(_PER_SESSION):
                lengths = [rng.randint(6, 20) for _ in range(_WORDS // 13 + 1)]
                talk += [{"speaker": "Claude", "text": sentence(rng.randint(6, 16), "?")},
                         {"speaker": "SAGE", "text": " ".join(sentence(length, ".") for length in lengths)}]
            stream.write(json.dumps({"session": number, "conversation": talk}) + "\n")


def measure(path: Path) -> dict:
    """Ingest `path` into a new home: wall and processor seconds, peak resident MiB, size of the database."""
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "experience.db"
        wall, processor = time.monotonic(), time.process_time()
        with Buffer(store) as buffer:
            report = ingest([path], buffer, companion=config.companion, quality=config.quality, salience=config.salience)
        return {"exchanges": report["new"], "kept": report["experiences"], "wall_seconds": time.monotonic() - wall,
                "processor_seconds": time.process_time() - processor,
                "peak_mebibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "database_mebibytes": store.stat().st_size / 2**20}


def fill(store: Path, rows: int, seed: int = 1) -> None:
    """A store of kept rows with normally distributed totals, written past ingest."""
    rng = random.Random(seed)
    with Buffer(store) as buffer, buffer.transaction():
        buffer._connection.executemany(
            "INSERT INTO sessions VALUES (?, 'synthetic', 'messages', NULL, NULL, NULL, '{}', '', NULL)",
            ((f"{number:016x}",) for number in range(rows // _PER_SESSION + 1)))
        buffer._connection.executemany(
            """INSERT INTO experiences (id, session, turn, prompt, response, prompt_key, surprise, novelty, arousal, reward,
               conflict, total, status) VALUES (?, ?, 1, ?, ?, ?, 0, 0, 0, 0, 0, ?, 'kept')""",
            ((f"{row:016x}", f"{row // _PER_SESSION:016x}", f"prompt {row % 5000}", f"answer {row}", row % 5000,
              min(1.0, max(0.0, rng.gauss(0.5, 0.08)))) for row in range(rows)))


def selection(rows: int) -> dict:
    """Wall and processor seconds of one selection, by the defaults of `data`."""
    data = Config().data
    with tempfile.TemporaryDirectory() as folder:
        fill(store := Path(folder) / "experience.db", rows)
        with Buffer(store) as buffer:
            wall, processor = time.monotonic(), time.process_time()
            chosen = select(buffer, max_selected=data.max_selected, per_prompt=data.per_prompt,
                            held_out_share=data.held_out, seed=1)
            return {"rows": rows, "wall_seconds": time.monotonic() - wall, "processor_seconds": time.process_time() - processor,
                    "selected": len(chosen.new), "held_out": chosen.reasons["held_out"]}


def plot(points: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5))
    sizes = [point["exchanges"] for point in points]
    left.plot(sizes, [point["processor_seconds"] for point in points], "o-", label="measured")
    last = points[-1]
    left.plot([0, last["exchanges"]], [0, last["processor_seconds"]], "--", color="grey", label="linear")
    left.set(xlabel="exchanges", ylabel="processor seconds", title="ingest without a model")
    left.legend()
    right.plot(sizes, [point["peak_mebibytes"] for point in points], "o-")
    right.axhline(MEBIBYTES, linestyle="--", color="grey")
    right.set(xlabel="exchanges", ylabel="peak resident MiB", ylim=(0, None), title="memory")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exchanges", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG, PDF or SVG; needs matplotlib (the extra `bench`)")
    parser.add_argument("--only", type=Path, metavar="JSONL", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only)))
        return
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for part in (8, 4, 2, 1):
            write_talk(talk := Path(folder) / "talk.jsonl", arguments.exchanges // part)
            command = [sys.executable, "-m", "edge_sleep.benchmarks.data_scale", "--only", str(talk)]
            points.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
            print("{exchanges:7} exchanges {wall_seconds:7.1f} s wall {processor_seconds:7.1f} s processor"
                  " {peak_mebibytes:6.0f} MiB peak, database {database_mebibytes:6.0f} MiB".format(**points[-1]), flush=True)
    first, last = (point["processor_seconds"] / point["exchanges"] for point in (points[0], points[-1]))
    growth = last / first
    chosen = selection(arguments.rows)
    print(f"cost of an exchange in the largest home by that in the smallest: {growth:.2f} (1 is linear)")
    print("{rows:7} rows: {wall_seconds:.2f} s wall, {processor_seconds:.2f} s processor for {selected} chosen".format(**chosen))
    if arguments.plot:
        plot(points, arguments.plot)
    print(json.dumps({"ingest": points, "growth": growth, "selection": chosen,
                      "targets": {"seconds": SECONDS, "mebibytes": MEBIBYTES, "select_seconds": SELECT_SECONDS}}))


if __name__ == "__main__":
    main()
