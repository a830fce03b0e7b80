"""What was tried and what happened: one row for each kind of fault and its target."""
from __future__ import annotations

import json
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
        lines = [", ".join(f"{name} {value}" for name, value in facts.items()), "",
                 "| fault | where | tried | the command ended | the next start ended | losses |", "|---|---|---|---|---|---|",
                 *(f"| {row.kind} | {row.target} | {row.tried} | {_counted(row.ends)} | {_counted(row.next)} | {len(row.losses)} |"
                   for row in rows),
                 f"| all | | {sum(row.tried for row in rows)} | | | {len(self.losses)} |"]
        file.write_text("\n".join(lines) + "\n")


def _counted(ends: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in ends.most_common())
