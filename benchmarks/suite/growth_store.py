"""What grows with a companion's life: talk, counted pairs of words, experiences, nights; and companions at one mailbox.

Processor seconds of this process, the least of three where a point is cheap: what else the machine does only adds.
"""
from __future__ import annotations

import json
import random
import secrets
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sleep.benchmarks import data_scale
from edge_sleep.benchmarks.suite.children import ask
from edge_sleep.benchmarks.suite.points import Curves, Points, main

from edge_sleep.checkpoint import manifest, prune
from edge_sleep.config import Retention
from edge_sleep.data.migrations import migrate
from edge_sleep.data.salience import Text
from edge_sleep.data.sketch import Sketch
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.system.home import Home
from edge_sleep.system.record import blank, read_records

_UNSEEN = 20_000                     # pairs that were never said, asked of the sketch


def least(work: Callable[[], Any], times: int = 3) -> float:
    """Processor seconds of a call."""
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def ingest(sizes: Sequence[int]) -> Points:
    """Exchanges into an empty home: processor seconds, each size a process of its own."""
    points = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            data_scale.write_talk(talk := Path(folder) / "talk.jsonl", size)
            row = ask("data_scale", "--only", talk)
        points.append((float(row["exchanges"]), row["processor_seconds"]))
    return points


def sketch(sizes: Sequence[int]) -> Points:
    """How often the sketch says a pair was said that never was, after so many answers: the mean count."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        data_scale.write_talk(talk := Path(folder) / "talk.jsonl", max(sizes))
        connection = sqlite3.connect(Path(folder) / "experience.db")
        migrate(connection, "a new store")
        counted, done = Sketch(connection), 0
        chance = random.Random(7)
        unseen = [chance.getrandbits(32) for _ in range(_UNSEEN)]
        with open(talk, encoding="utf-8") as lines:
            for line in lines:
                for turn in json.loads(line)["conversation"][1::2]:
                    counted.add(Text.of(turn["text"]).pair_marks)
                    done += 1
                    if done in sizes:
                        points.append((float(done), sum(counted.counts(list(unseen))) / _UNSEEN))
    return points


def select(sizes: Sequence[int]) -> Points:
    """Choosing tonight's lesson from a store of so many experiences."""
    return [(float(size), min(data_scale.selection(size)["processor_seconds"] for _ in range(2))) for size in sizes]


def retention(sizes: Sequence[int]) -> Points:
    """What retention reads and decides in a home whose lineage is so many nights long."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        home, parent = Home(Path(folder) / "home").make(), None
        for number in range(max(sizes)):
            parent = _adapter(home, number, parent)
            if number + 1 in sizes:
                points.append((number + 1.0, least(lambda: prune.decide(home, Retention(), None))))
    return points


def _adapter(home: Home, number: int, parent: str | None) -> str:
    """The folder of an adapter as retention sees it: its manifest is what it reads."""
    name = f"{number:016x}"
    folder = home.adapter(name)
    folder.mkdir()
    when = time.strftime("%Y-%m-%dT03:00:00+00:00", time.gmtime(1_700_000_000 + 86_400 * number))
    document = {"format": manifest.FORMAT, "id": name, "base": {"sha256": "0" * 64, "source": "seedling"}, "parent": parent,
                "night": f"{number:08}-030000", "created": when, "effect": {},
                "files": {file: {"sha256": "0" * 64, "bytes": 1} for file in (manifest.WEIGHTS, "adapter_config.json")},
                "data": {"sha256": "0" * 64, "experiences": [f"{one:016x}" for one in range(30)]}}
    (folder / manifest.NAME).write_text(json.dumps(manifest.sealed(document)))
    return name


def records(sizes: Sequence[int]) -> Points:
    """Reading the records of so many nights, as `status` and a plan do."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        nights = Path(folder)
        for number in range(max(sizes)):
            (nights / f"{number:08}-030000").mkdir()
            record = blank(f"{number:08}-030000", "2026-01-17T20:00:00+00:00")
            record["gate"]["metrics"] = {name: {"base": .1, "before": .2, "after": .9, "low": .1, "high": .8, "n": 135}
                                         for name in ("recall", "own", "retention", "unknowns", "identity", "standing", "baits")}
            (nights / f"{number:08}-030000" / "record.json").write_text(json.dumps(record))
            if number + 1 in sizes:
                points.append((number + 1.0, least(lambda: read_records(nights))))
    return points


def mailbox(sizes: Sequence[int]) -> Points:
    """A worker's look at a folder in which so many companions have left a job: the list that it begins with."""
    from edge_sleep.seal.keys import Keys
    from edge_sleep.system.clock import Clock
    from edge_sleep.thor.mailbox import ROOT, Mailbox

    points = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "box").mkdir()
        box = Mailbox(FolderRemote(Path(folder) / "box"), Keys.open(Path(folder) / "keys", "worker"), Clock())
        for number in range(max(sizes)):
            job = Path(folder) / "box" / ROOT / secrets.token_hex(16)
            job.mkdir(parents=True)
            for name in ("open.json", f"bundle-{'0' * 64}.sealed", "lease-0001.json", "beat-0001.json"):
                (job / name).write_bytes(b"{}")
            if number + 1 in sizes:
                points.append((number + 1.0, least(box.jobs)))
    return points


CURVES: Curves = {
    "ingest": (ingest, (1_000, 2_000, 4_000, 8_000, 16_000)), "sketch": (sketch, (1_000, 2_000, 4_000, 8_000, 16_000)),
    "select": (select, (12_500, 25_000, 50_000, 100_000, 200_000)), "retention": (retention, (30, 100, 300, 1_000, 3_000)),
    "records": (records, (30, 100, 300, 1_000, 3_000)), "mailbox": (mailbox, (10, 30, 100, 300, 1_000))}


if __name__ == "__main__":
    main(CURVES, __doc__)
