"""Nights with nothing to learn: several candidates each, and none may be promoted.

    python -m edge_sleep.benchmarks.null_nights --nights 20 --candidates 8
    python -m edge_sleep.benchmarks.null_nights --nights 20 --candidates 8 --rows rows.jsonl     (goes on where it was cut)

In every conversation the companion says what the seedling says by itself, its own greedy answers: to questions about its
world that it answers right in every wording that is tried, to small talk, and to requests that are beyond it, where it
says something or other and is not sure of it. Each night asks other things. Whatever wins such a night won by luck, and
the more candidates there are, the luckier the best of them looks. The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from math import comb
from pathlib import Path

from edge_sleep.benchmarks.classroom import Morning, settings, teach

from edge_sleep.config import Config
from edge_sleep.data.augment.rewording import probe_rewordings
from edge_sleep.data.experience import Message
from edge_sleep.device import environment
from edge_sleep.evaluate import probes, scoring
from edge_sleep.seedling.grammar import draw_question
from edge_sleep.seedling.talk import TALK
from edge_sleep.seedling.world import BY_KEY, FACTS

# Small nights, so that twenty times eight trainings take minutes; what they say needs no salience to be learned.
SMALL = ("data.min_new=4", "data.augment=3", "salience.keep=0", "quality.enabled=false", "replay.least=24", "replay.share=0.5",
         "train.epochs=4", "gate.retention_probes=160", "gate.unknown_probes=120", "budget.time=1h")
FACTS_A_NIGHT, TALKS_A_NIGHT, OPEN_A_NIGHT = 10, 3, 4


def conversations(morning: Morning, nights: int, seed: int) -> list[list[dict]]:
    """For each night one transcript; no fact is asked in two nights. Everything the companion says is its own answer."""
    rng = random.Random(f"null {seed}")
    pairs = sorted(FACTS)
    rng.shuffle(pairs)
    asked = [(draw_question(rng, attribute, BY_KEY[key].forms()), FACTS[key, attribute]) for key, attribute in pairs]
    asked = [(text, value) for text, value in asked if probe_rewordings(text, 1)]
    # A question that is answered right in one wording only would be something to learn.
    ways = [[text, *probe_rewordings(text, 3)] for text, _ in asked]
    said = iter(answers(morning, [text for group in ways for text in group]))
    told = [[next(said) for _ in group] for group in ways]
    known = [(text, group[0]) for (text, value), group in zip(asked, told, strict=True)
             if all(scoring.holds_phrase(answer, value) for answer in group)]
    if len(known) < nights * FACTS_A_NIGHT:
        raise SystemExit(f"{nights} nights need {nights * FACTS_A_NIGHT} known questions, there are {len(known)}: ask for fewer")
    talk = [rng.choice(wordings).capitalize() for wordings, _ in TALK]
    requests = sorted({probe.messages[-1]["content"] for probe in probes.pool("retention", probes.RESOURCES)
                       if not probe_rewordings(probe.messages[-1]["content"], 1)})
    replies = dict(zip([*talk, *requests], answers(morning, [*talk, *requests]), strict=True))
    print(f"{len(known)} of {len(asked)} questions are answered right in every wording; {len(talk)} of small talk, "
          f"{len(requests)} requests", flush=True)
    made = []
    for night in range(nights):
        others = [*rng.sample(talk, TALKS_A_NIGHT), *rng.sample(requests, OPEN_A_NIGHT)]
        chosen = known[night * FACTS_A_NIGHT:(night + 1) * FACTS_A_NIGHT] + [(text, replies[text]) for text in others]
        rng.shuffle(chosen)
        made.append([{"session": 1000 * (night + 1) + number, "conversation": [
            {"speaker": "Claude", "text": question}, {"speaker": "SAGE", "text": answer}]}
            for number, (question, answer) in enumerate(chosen)])
    return made


def answers(morning: Morning, questions: list[str]) -> list[str]:
    asked: list[list[Message]] = [[{"role": "user", "content": text}] for text in questions]
    return morning.answers(asked)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, help="keep every night's row here; nights that are in it are not run again")
    parser.add_argument("--most", type=int, help="nights to run in this call (with --rows)")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="section.key=value")
    arguments = parser.parse_args()
    sets = [*SMALL, f"train.candidates={arguments.candidates}", *arguments.sets]
    configuration = settings(*sets)
    kept = arguments.rows.read_text().splitlines() if arguments.rows and arguments.rows.is_file() else []
    rows = [json.loads(line) for line in kept]
    with tempfile.TemporaryDirectory() as folder:
        nights = conversations(Morning(Path(folder) / "none", configuration), arguments.nights, arguments.seed)
        left = [number for number in range(arguments.nights) if number not in {row["night"] for row in rows}]
        print("night  outcome    own before  recall before, after (n)  taught, nats    chosen         time   reason", flush=True)
        for number in left[:arguments.most]:
            rows.append(one(Path(folder) / f"home-{number}", number, nights[number], configuration))
            if arguments.rows:
                with arguments.rows.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
    print(json.dumps({"benchmark": "null_nights", "candidates": arguments.candidates, "seed": arguments.seed, "sets": sets,
                      "summary": summary(rows), "rows": rows, "environment": environment.describe()}))


def one(home: Path, number: int, sessions: list[dict], configuration: Config) -> dict:
    """One null night in a home of its own."""
    began = time.monotonic()
    record, _ = teach(home, sessions, configuration)
    train, metrics = record["train"], record["gate"]["metrics"]
    tried = train.get("candidates") or []
    row = {"night": number, "outcome": record["outcome"], "reason": record["reason"],
           "seconds": round(time.monotonic() - began, 1), "experiences": record["data"]["selected"], "metrics": metrics,
           "chosen": train.get("chosen", 0), "why_chosen": train.get("why_chosen"),
           "candidates": [{key: entry.get(key) for key in ("name", "outcome", "why", "loss_last", "select")} for entry in tried]}
    recall, taught, own = metrics["recall"], metrics["nll_taught"], metrics["own"]
    print(f"{number:5}  {row['outcome']:10} {own['before']:.2f} ({own['n']:2})   {recall['before']:.2f}, {recall['after']:.2f} "
          f"({recall['n']:2})         {taught['before']:.3f} to {taught['after']:.3f}  "
          f"{tried[row['chosen']]['name'] if tried else 'the only one':13}  {row['seconds']:.0f} s   {record['reason']}",
          flush=True)
    return row


def summary(rows: list[dict]) -> dict:
    promoted = sum(row["outcome"] == "promoted" for row in rows)
    finished = sum(entry["outcome"] in ("chosen", "not chosen") for row in rows for entry in row["candidates"])
    best = [max(entry["select"]["score"] for entry in row["candidates"]) - row["candidates"][0]["select"]["score"]
            for row in rows if row["candidates"] and all(entry["select"] for entry in row["candidates"])]
    return {"nights": len(rows), "promoted": promoted, "rate_at_most_95": upper_bound(promoted, len(rows)) if rows else None,
            "outcomes": dict(Counter(row["outcome"] for row in rows)), "candidates_trained": finished,
            "other_than_configured": sum(row["chosen"] != 0 for row in rows),
            "best_above_configured_mean": sum(best) / len(best) if best else None,
            "seconds": round(sum(row["seconds"] for row in rows), 1)}


def upper_bound(hits: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate (Clopper and Pearson 1934), found by bisection on the binomial sum."""
    low, high = hits / trials, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        at_most = sum(comb(trials, k) * rate**k * (1 - rate)**(trials - k) for k in range(hits + 1))
        low, high = (rate, high) if at_most > 1 - confidence else (low, rate)
    return high


if __name__ == "__main__":
    main()
