"""Does a night teach? Facts drawn by seed, a night on the seedling, questions in words it never trained on.

    python -m edge_sleep.benchmarks.recall --seeds 0-9
    python -m edge_sleep.benchmarks.recall --seeds 0-2 --permuted     (answers deranged: the truth must not rise)
    python -m edge_sleep.benchmarks.recall --seeds 0 --set train.preset=gentle
    python -m edge_sleep.benchmarks.recall --seeds 0 --set replay.share=0    (forgetting, seen and named)

`new` questions use wordings that even the base's pretraining never saw. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from edge_sleep.benchmarks.classroom import Morning, by_the_rule, mean, seeds_of, settings, teach
from edge_sleep.benchmarks.teaching import draw_lessons

from edge_sleep.device import environment
from edge_sleep.evaluate.gate import paired_interval


def one(seed: int, facts: int, sets: list[str], permuted: bool) -> dict:
    """One seed: lessons, night, morning. Shares in [0, 1], seconds of the night."""
    lessons = draw_lessons(seed, facts)
    if permuted:
        lessons = lessons.permuted()
    configuration = settings(f"train.seed={seed}", "data.held_out=0", *sets)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        record, wordings = teach(Path(folder) / "home", lessons.sessions, configuration)
        seconds = time.monotonic() - began
        morning = Morning(Path(folder) / "home", configuration)
        questions = by_the_rule(lessons.questions, wordings)
        controls = by_the_rule(lessons.controls, wordings)
        result = {"seed": seed, "outcome": record["outcome"], "exit_code": record["exit_code"], "seconds": round(seconds, 1),
                  "training_seconds": next(phase["seconds"] for phase in record["phases"] if phase["name"] == "train"),
                  "facts": len({tuple(entry["fact"]) for entry in questions}),
                  "reasons": record["gate"]["reasons"], "gate": record["gate"]["metrics"]}
        for name, group in (("new", [entry for entry in questions if entry["wording"] == "new"]),
                            ("seen", [entry for entry in questions if entry["wording"] == "seen"]), ("control", controls)):
            result[name] = {"n": len(group), "before": mean(morning.recall(group, base=True)),
                            "after": mean(morning.recall(group))}
        for kind in ("retention", "unknowns"):
            base, now = morning.pool(kind, wordings)
            low, high = paired_interval([float(right) for right in base], [float(right) for right in now])
            result[kind] = {"n": len(now), "base": mean(base), "after": mean(now), "low": low, "high": high}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-9", help="0-9, or 3,5")
    parser.add_argument("--facts", type=int, default=24)
    parser.add_argument("--permuted", action="store_true")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="section.key=value")
    arguments = parser.parse_args()
    rows = []
    print("seed  outcome    new  (before, n)        seen  control  retention        unknowns, 95 % of change   night, training")
    for seed in seeds_of(arguments.seeds):
        row = one(seed, arguments.facts, arguments.sets, arguments.permuted)
        rows.append(row)
        print(f"{seed:4}  {row['outcome']:9}  {row['new']['after']:.3f} ({row['new']['before']:.3f}, {row['new']['n']:3} on "
              f"{row['facts']})  {row['seen']['after']:.3f}   {row['control']['after']:.3f}   {row['retention']['base']:.3f} to "
              f"{row['retention']['after']:.3f}   {row['unknowns']['base']:.3f} to {row['unknowns']['after']:.3f} "
              f"{row['unknowns']['low']:+.3f}..{row['unknowns']['high']:+.3f}   {row['seconds']:.0f} s, "
              f"{row['training_seconds']:.0f} s", flush=True)
        if row["outcome"] != "promoted":
            print("      " + "; ".join(row["reasons"]), flush=True)
    after = [row["new"]["after"] for row in rows]
    summary = {"recall_new": {"median": statistics.median(after), "min": min(after), "max": max(after)},
               "recall_new_before_max": max(row["new"]["before"] for row in rows),
               "control_max": max(row["control"]["after"] for row in rows),
               "retention_ratio_min": min(row["retention"]["after"] / row["retention"]["base"] for row in rows),
               "unknowns_low_min": min(row["unknowns"]["low"] for row in rows)}
    print(json.dumps({"benchmark": "recall", "permuted": arguments.permuted, "sets": arguments.sets, "summary": summary,
                      "rows": rows, "environment": environment.describe()}))


if __name__ == "__main__":
    main()
