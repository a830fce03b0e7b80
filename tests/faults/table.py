"""What was tried and what happened: one row for each kind of fault and its target.

`python -m tests.faults.table FILE.json...` prints the tables of several runs as one, a row for each kind of fault.
"""
from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Row:
    """kind: of fault; target: what it hit; ends: of the command that was hit; next: of the start after it."""

    kind: str
    target: str
    tried: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    next: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)


@dataclass
class Table:
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    losses: list[str] = field(default_factory=list)        # in the order in which they were found

    def add(self, kind: str, target: str, end: str, after: str, losses: list[str], what: str) -> list[str]:
        """One trial. what: how to do it again, said with each loss."""
        row = self.rows.setdefault((kind, target), Row(kind, target))
        row.tried += 1
        row.ends[end] += 1
        if after:
            row.next[after] += 1
        told = [f"{what}: {loss}" for loss in losses]
        row.losses += told
        self.losses += told
        return losses

    def write(self, file: Path, facts: dict) -> None:
        """JSON or markdown, by the name of the file."""
        rows = list(self.rows.values())
        if file.suffix == ".json":
            file.write_text(json.dumps(facts | {"rows": [vars(row) for row in rows]}, indent=1, ensure_ascii=False) + "\n")
            return
        file.write_text(", ".join(f"{name} {value}" for name, value in facts.items()) + "\n\n" + _markdown(rows))


def _markdown(rows: list[Row]) -> str:
    return "\n".join((
        "| fault | where | tried | the command ended | the next start ended | losses |", "|---|---|---|---|---|---|",
        *(f"| {row.kind} | {row.target} | {row.tried} | {_counted(row.ends)} | {_counted(row.next)} | {len(row.losses)} |" for row in rows),
        f"| all | | {sum(row.tried for row in rows)} | | | {sum(len(row.losses) for row in rows)} |")) + "\n"


def together(documents: list[dict]) -> list[Row]:
    """The rows of several tables (`Table.write`), those of a kind as one: it hit so many different targets."""
    found: dict[str, list[dict]] = {}
    for row in (row for document in documents for row in document["rows"]):
        found.setdefault(row["kind"], []).append(row)
    rows = []
    for kind, of in found.items():
        targets = sorted({row["target"] for row in of})
        rows.append(Row(kind, ", ".join(targets) if len(targets) < 10 else f"{len(targets)} files", sum(row["tried"] for row in of),
                        sum((Counter(row["ends"]) for row in of), Counter()), sum((Counter(row["next"]) for row in of), Counter()),
                        [loss for row in of for loss in row["losses"]]))
    return rows


def _counted(ends: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in ends.most_common())


if __name__ == "__main__":
    print(_markdown(together([json.loads(Path(file).read_text()) for file in sys.argv[1:]])), end="")
