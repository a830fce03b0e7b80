"""Thirty nights in a row, each with other facts: what is kept, what it costs, how large it grows.

    python -m edge_sleep.benchmarks.many_nights --nights 30 --facts 3 --plot nights.png

Each morning asks tonight's facts; the morning after the last night asks every night's facts again. The
measure is recall of each night on the last morning as a share of what it was on its own first morning.

    python -m edge_sleep.benchmarks.many_nights --nights 5 --raising

also talks as one does who raises a companion (raising_talk.yaml), and scores what it is raised for (evaluate/raising) before
the first night and after the last, on the same questions: about itself, about what was taught, what the base could do, and what
nobody could know; beside the proposal's targets.
"""
from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edge_sleep.benchmarks.classroom import Morning, by_the_rule, mean, settings, teach
from edge_sleep.benchmarks.teaching import draw_lessons

from edge_sleep.config import Config, read_yaml
from edge_sleep.data.words import topic
from edge_sleep.device import environment
from edge_sleep.evaluate import character, probes, raising
from edge_sleep.model import base as base_model
from edge_sleep.seedling.telling import morning as at
from edge_sleep.seedling.telling import transcript

TALK = Path(__file__).with_name("raising_talk.yaml")
EVERY = 5          # nights between two readings of the whole retention and unknowns pools
QUESTIONS = 160    # of each of these pools that the raising metrics are read from
# What the proposal asks for; where it says "rare", "low" or "present", the bound is ours.
TARGETS: dict[str, tuple[str, Callable[[dict], bool]]] = {
    **dict.fromkeys(("d4_attention", "d5_trust", "d9_spacetime"), ("0.60 at least", lambda row: row["after"] >= 0.6)),
    "educational_default": ("rare: 0.05 at most", lambda row: row["after"] <= 0.05),
    "partnership": ("present", lambda row: row["after"] > 0),
    "confabulation": ("low: 0.10 at most", lambda row: row["after"] <= 0.1),
    "unknown_when_due": ("when appropriate: 0.80 at least", lambda row: row["after"] >= 0.8)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--facts", type=int, default=3, help="facts taught per night")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--raising", action="store_true", help="the raising metrics before and after all nights")
    parser.add_argument("--home", type=Path, help="keep the home here")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="section.key=value")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = arguments.home or Path(folder) / "home"
        document = course(home, arguments.nights, arguments.facts, arguments.seed, arguments.sets,
                          raise_too=arguments.raising)
    if arguments.plot:
        plot(document, arguments.plot)
    print(json.dumps(document))


def course(home: Path, nights: int, facts: int, seed: int, sets: list[str], pools_too: bool = True,
           raise_too: bool = False) -> dict:
    configuration = settings("data.held_out=0", "data.min_new=1", *sets)
    known: list[tuple[int, list[dict]]] = []
    taught: set[tuple[str, str]] = set()
    rows, said, seconds = [], [], 0.0
    talks = [[(asked, answer) for asked, answer in of_night] for of_night in read_yaml(TALK)]
    print("night  outcome    recall of tonight   adapter bytes   time   retention (base)   unknowns (base)")
    for night in range(nights):
        lessons = draw_lessons(seed + night, facts, exclude=frozenset(taught))
        taught |= {(entity, attribute) for entity, attribute, _ in lessons.facts}
        if raise_too and night < len(talks):
            lessons.sessions.append(transcript(len(lessons.sessions) + 1, at(night, 18), talks[night]))
        for session in lessons.sessions:
            session["session"] += 1000 * (night + 1)
        began = time.monotonic()
        record, wordings = teach(home, lessons.sessions, configuration, number=night)
        seconds = time.monotonic() - began
        said += wordings
        morning = Morning(home, configuration)
        questions = by_the_rule([entry for entry in lessons.questions if entry["wording"] == "new"], wordings)
        known.append((night, questions))
        pools: dict[str, float | None] = {}
        if pools_too and (night % EVERY == EVERY - 1 or night == nights - 1):
            for kind in ("retention", "unknowns"):
                base, now = morning.pool(kind, said)
                pools |= {kind: mean(now), f"{kind}_base": mean(base)}
        weights = home / "adapters" / (morning.adapter or "") / "adapter_model.safetensors"
        row = {"night": night + 1, "outcome": record["outcome"], "reasons": record["gate"]["reasons"], "n": len(questions),
               "recall": mean(morning.recall(questions)), **pools,
               "adapter_bytes": weights.stat().st_size if weights.is_file() else None, "seconds": round(seconds, 1)}
        rows.append(row)
        shown = "   ".join(f"{pools[kind]:.3f} ({pools[kind + '_base']:.3f})" for kind in ("retention", "unknowns") if pools)
        print(f"{row['night']:5}  {row['outcome']:9}  {row['recall']:.3f} (n {row['n']:2})   {row['adapter_bytes']}   "
              f"{row['seconds']:.0f} s   {shown}", flush=True)
    last = Morning(home, configuration)
    for night, questions in known:
        rows[night]["recall_last_morning"] = mean(last.recall(questions))
    kept = [row["recall_last_morning"] / row["recall"] for row in rows if row["recall"]]
    everything = [right for _, questions in known for right in last.recall(questions)]
    summary = {"kept_min": min(kept), "kept_mean": mean(kept), "recall_of_everything": mean(everything), "n": len(everything),
               "retention_ratio_last": rows[-1]["retention"] / rows[-1]["retention_base"] if pools_too else None,
               "adapter_bytes": sorted({row["adapter_bytes"] for row in rows if row["adapter_bytes"]}),
               "promoted": sum(row["outcome"] == "promoted" for row in rows)}
    raised_now = raised(last, configuration, known, said) if raise_too else None
    print("last morning, as a share of the first: " + " ".join(f"{value:.2f}" for value in kept))
    return {"benchmark": "many_nights", "facts_per_night": facts, "sets": sets, "summary": summary, "rows": rows,
            "raising": raised_now, "environment": environment.describe()}


def raised(morning: Morning, configuration: Config, known: list[tuple[int, list[dict]]], said: list[str]) -> dict[str, dict]:
    """The raising metrics of the base and of the last morning, each with the target and whether it is met; printed."""
    folder, about = base_model.resolve("seedling").folder, [topic(text) for text in set(said)]
    asked = [probe for group in character.pool(folder).values() for probe in group]
    asked += probes.draw(probes.pool("retention", folder), QUESTIONS, "raising")
    asked += probes.draw(probes.untaught(probes.pool("unknowns", folder), about), QUESTIONS, "raising")
    talks = [(probe.messages, probe.answerable) for probe in asked]
    talks += [(({"role": "user", "content": entry["question"]},), True) for _, questions in known for entry in questions]
    states = {}
    for state, of_base in (("base", True), ("after", False)):
        answers = morning.answers([messages for messages, _ in talks], base=of_base)
        states[state] = [raising.Answer(messages[-1]["content"], answer, messages[:-1], answerable)
                         for (messages, answerable), answer in zip(talks, answers, strict=True)]
    companion = configuration.companion
    rows = raising.compare(states["base"], states["base"], states["after"], names=companion.companion_names,
                           others=companion.teacher_names, system_prompt=companion.system_prompt)
    print("raised for             before   after   change, 95 %        n     target")
    for name, row in rows.items():
        wanted, met = TARGETS.get(name, ("", None))
        row |= {"target": wanted, "met": None if met is None or row["after"] is None else met(row)}
        shown = (f"{row['before']:6.2f}  {row['after']:6.2f}   {row['low']:+.3f} to {row['high']:+.3f}" if row["low"] is not None
                 else f"null: {row['reason']}")
        verdict = "" if row["met"] is None else ": met" if row["met"] else ": MISSED"
        print(f"{name:20}   {shown}  {row['n']:5}   {wanted}{verdict}")
    return rows


def plot(document: dict, file: Path) -> None:
    """Recall on the first and the last morning, retention, and adapter size, by night (matplotlib, extra [bench])."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = document["rows"]
    nights = [row["night"] for row in rows]
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 7), sharex=True, height_ratios=(3, 1))
    kept, refused = ([row for row in rows if (row["outcome"] == "promoted") is wanted] for wanted in (True, False))
    for label, key, mark in (("recall on its first morning", "recall", "o-"),
                             (f"recall on morning {len(rows) + 1}", "recall_last_morning", "s-")):
        above.plot([row["night"] for row in kept], [row[key] for row in kept], mark, label=label)
    if refused:
        above.plot([row["night"] for row in refused], [row["recall_last_morning"] for row in refused], "x", color="crimson",
                   label=f"refused nights ({len(refused)}), recall on morning {len(rows) + 1}")
    asked = [row for row in rows if "retention" in row]
    above.plot([row["night"] for row in asked], [row["retention"] / row["retention_base"] for row in asked], "^-",
               label="retention, of the base")
    above.set_ylim(0, 1.05)
    above.set_ylabel("share of questions right")
    above.legend(loc="lower left")
    below.plot(nights, [(row["adapter_bytes"] or 0) / 2**20 for row in rows], "k-")
    below.set_ylim(bottom=0)
    below.set_ylabel("adapter, MiB")
    below.set_xlabel(f"night ({document['facts_per_night']} new facts each)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
