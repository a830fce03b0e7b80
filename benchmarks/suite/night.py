"""A whole night of the shape, from transcripts to promotion: time by phase, peak, energy; under the profile's memory."""
from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edge_sleep.benchmarks import memory_night
from edge_sleep.benchmarks.limits import CannotLimit, Group, Unlimited, limited
from edge_sleep.benchmarks.suite.case import Case
from edge_sleep.benchmarks.suite.children import Failed, last_words, suite_code
from edge_sleep.benchmarks.suite.figures import OURS, Figure
from edge_sleep.benchmarks.suite.measures import Found, Say

from edge_sleep.errors import Exit

ROUNDS = 2                    # at most, each in a home of its own
EXCHANGES, LONGEST_WORDS = 6, 120
# Random weights of a few steps may have learned too little to be seen: that night went its whole way all the same.
WHOLE = ("promoted", "no_effect")


def night(case: Case, say: Say) -> Found:
    """Raises Failed where a night did not go its whole way, with that night's own exit code, or where its loss did not fall."""
    found = Found()
    group, reason = _group(case)
    if reason is not None:
        found.not_run.append({"measure": "night under a memory limit", "reason": reason})
    figures: dict[str, Figure] = {}

    def note(name: str, value: float | None) -> None:
        if value is not None:
            figures.setdefault(name, Figure(name, OURS)).values.append(value)

    rows = []
    for number in range(min(ROUNDS, case.rounds)):
        row = _one(case, group)
        rows.append(row)
        say(f"night {number + 1}: {row['outcome']} in {row['seconds']:.3g} s"
            + (f", peak {row['peak_bytes'] / 2**20:.0f} of {(case.memory_bytes or 0) >> 20} MiB" if row["peak_bytes"] else ""))
        note("night_seconds", row["seconds"])
        phases: dict[str, float] = {}
        for phase in row["phases"] or ():
            phases[phase["name"]] = phases.get(phase["name"], 0.0) + phase["seconds"]
        for phase, seconds in phases.items():
            if (name := f"night_{phase}_seconds") in _KNOWN:
                note(name, seconds)
        note("night_peak_bytes", row["peak_bytes"] or row["rss_peak_bytes"])
        note("night_joules", row["measured"].get("energy_joules"))
    if "night_joules" not in figures:
        found.not_run.append({"measure": "night_joules", "reason": "no telemetry told watts in that night"})
    found.figures = list(figures.values())
    found.details = {"limit_bytes": case.memory_bytes if reason is None else None, "sets": [*memory_night.SETS, *case.sets],
                     "nights": rows}
    return found


_KNOWN = frozenset(f"night_{phase}_seconds" for phase in ("ingest", "select", "plan", "train", "judge", "promote", "export"))


def _group(case: Case) -> tuple[int | None, str | None]:
    """(the limit that a night runs under, why there is none)."""
    if case.memory_bytes is None:
        return None, "the profile's budgets name no memory for a night; --memory does"
    try:
        with limited(case.memory_bytes):
            return case.memory_bytes, None
    except CannotLimit as error:
        return None, str(error)


def _one(case: Case, limit: int | None) -> dict:
    folder = Path(tempfile.mkdtemp(prefix="night-", dir=case.work))
    entered: AbstractContextManager[Group | Unlimited] = limited(limit) if limit is not None else nullcontext(Unlimited())
    try:
        sessions = memory_night.transcript(folder, 1, EXCHANGES, LONGEST_WORDS)
        with entered as group, tempfile.TemporaryFile("w+") as said:
            row = memory_night.night(group, folder / "home", str(case.folder), sessions, [*memory_night.SETS, *case.sets], "55m",
                                     errors=said)
            last = last_words(said)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    check(row, last)
    return row


def check(row: dict, last: str) -> None:
    """Raises Failed unless this night can be timed. last: its last words, for one that left no record."""
    if row["outcome"] not in WHOLE:
        raise Failed(f"a night ended {row['outcome'] or 'without a record'}: {row['reason'] or last}" + (
            f" ({row['kills']} killed at the limit)" if row["kills"] else ""), suite_code(row["exit_code"]))
    first, after = (row["train"][name] for name in ("loss_first", "loss_last"))
    if not after < first:
        raise Failed(f"a night's loss went from {first} to {after}: nothing was learned", Exit.DEVICE)


