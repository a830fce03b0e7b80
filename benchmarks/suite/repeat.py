"""Whether the same table came out twice: two results, figure by figure and ratio by ratio, within their noise or not."""
from __future__ import annotations

from typing import Any

from edge_sleep.benchmarks.suite.figures import KINDS, written
from edge_sleep.benchmarks.suite.statistics import Summary, same

from edge_sleep.errors import UsageError

_SAME = ("shape", "batch", "dtype", "sets")
_FIELDS = tuple(Summary.__dataclass_fields__)


def told_apart(one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    """For each figure and ratio that both have: its two values, and whether they are the same within their noise; None where
    one of them was measured once, and differs: then nothing is known of its noise.

    Raises UsageError where the two did not measure the same thing.
    """
    odd = [key for key in _SAME if one[key] != other[key]]
    if one["device"]["name"] != other["device"]["name"]:
        odd.append("device")
    if odd:
        raise UsageError(f"two results that differ in {', '.join(odd)} are not one table twice",
                         "compare two runs of one command")
    rows = []
    for part, key in (("figures", "who"), ("ratios", "against")):
        second = {(row["figure"], row[key]): row for row in other[part]}
        for row in one[part]:
            again = second.get((row["figure"], row[key]))
            if again is None:
                continue
            first_, second_ = (Summary(**{name: found[name] for name in _FIELDS}) for found in (row, again))
            unit = row.get("unit")
            words = f"{KINDS[row['figure']].words}, {row[key]}" if unit else \
                f"{KINDS[row['figure']].words}: times better than {row[key]}"
            rows.append({"figure": row["figure"], key: row[key], "ratio": unit is None, "words": words,
                         "first": _shown(first_, unit), "second": _shown(second_, unit), "same": _verdict(first_, second_),
                         "apart": abs(first_.median - second_.median) / max(abs(first_.median), abs(second_.median), 1e-12)})
    return rows


def _verdict(one: Summary, other: Summary) -> bool | None:
    agree = same(one, other)
    return agree if agree or min(one.n, other.n) > 1 else None


def state(row: dict[str, Any]) -> str:
    """Of one line, for people."""
    return {True: "same", False: "APART", None: "measured once"}[row["same"]] + ("" if row["same"] else f", {row['apart']:.0%}")


def counted(rows: list[dict[str, Any]], what: str = "figures") -> str:
    """How many of the lines that state their noise agree."""
    of = [row for row in rows if row["same"] is not None]
    once = len(rows) - len(of)
    return f"{sum(row['same'] for row in of)} of {len(of)} {what}" + (f" ({once} more measured once)" if once else "")


def _shown(of: Summary, unit: str | None) -> str:
    show = (lambda value: f"{value:.2f}") if unit is None else (lambda value: written(value, unit))
    return show(of.median) + (f" ({show(of.low)} to {show(of.high)})" if of.n > 1 else "")


def as_text(rows: list[dict[str, Any]]) -> str:
    """The two tables side by side, and how many of their lines agree."""
    lines = [f"{row['words'][:72]:72}  {row['first']:32}  {row['second']:32}  {state(row)}" for row in rows]
    counts = [counted([row for row in rows if row["ratio"] is ratio], name)
              for name, ratio in (("ratios", True), ("figures", False))]
    return "\n".join([*lines, "", f"within their noise: {' and '.join(counts)}"])
