"""`python -m tests.faults --seed S [--only KIND,...] [--rounds N] [--table FILE]`: break nights on purpose, and look what is left.

Ends with 1 on a loss. A process of its own with one thread, so that it may fork with torch in it.
"""
from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

KINDS = {"kills": 300, "embedded": 20, "disk": 150, "files": 10**6, "clock": 40, "memory": 48, "two": 20, "network": 16, "jtop": 4, "sigterm": 30}
SHORT = {"kills": 1, "disk": 1, "files": 1}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--rounds", type=int, help="of each kind  [default: " + ", ".join(f"{k} {n}" for k, n in KINDS.items()) + "]")
    parser.add_argument("--short", action="store_true", help="one kill, one full disk, one damaged file, as CI does")
    parser.add_argument("--table", type=Path, action="append", default=[], help="write what happened: .md or .json; may be repeated")
    parser.add_argument("--folder", type=Path, help="work here, and keep the homes of losses")
    asked = parser.parse_args()
    only = asked.only.split(",")
    if unknown := set(only) - set(KINDS):
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}")
    from tests.faults import shim
    shim.preload()                         # starts this process anew with the shim in it, where it can be made
    from tests.faults import ground
    from tests.faults.table import Table

    folder = asked.folder or Path(tempfile.mkdtemp(prefix="edge-sleep-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)                    # permissions are tried as another user
    place = ground.make(folder / f"ground-{os.getpid()}", say)
    table, began = Table(), time.monotonic()

    def write() -> None:
        facts = {"seed": asked.seed, "kinds": "+".join(only), "seconds": round(time.monotonic() - began),
                 "at": datetime.now().astimezone().isoformat(timespec="seconds")}
        for file in asked.table:
            table.write(file, facts)

    running = {}
    for kind in only:
        if number := asked.rounds if asked.rounds is not None else (SHORT if asked.short else KINDS).get(kind):
            module = importlib.import_module(f"tests.faults.{kind}")
            running[kind] = module.rounds(place, random.Random(f"{asked.seed} {kind}"), number, table)
    known = 0
    while running:                         # in turn: a campaign that is broken off has tried some of each
        for kind in list(running):
            if (told := next(running[kind], None)) is None:
                del running[kind]
                continue
            say(f"{kind}: {told}, {time.monotonic() - began:.0f} s")
            for loss in table.losses[known:]:
                say(f"LOSS {loss}")
            known = len(table.losses)
            write()
    write()
    say(f"{sum(row.tried for row in table.rows.values())} tried, {len(table.losses)} lost something, {time.monotonic() - began:.0f} s")
    if not table.losses and asked.folder is None:
        shutil.rmtree(folder)
    return 1 if table.losses else 0


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
