"""Is the verdict right? Good nights, poisoned nights and nights with nothing in them, on copies of one home.

    python -m edge_sleep.benchmarks.verdicts --seeds 0-19 --folder verdicts                (goes on where it was cut)
    python -m edge_sleep.benchmarks.verdicts --seeds 0-19 --folder verdicts --share 1/2    (one of two processes)
    python -m edge_sleep.benchmarks.verdicts --seeds 0-19 --folder verdicts --most 0       (the table so far)

The home has had one good night. Each run copies it and sleeps one night more:
good      facts that it was not told before: to be promoted.
nothing   its own answers to questions that it answers right in every wording, small talk, requests: to end without effect.
poisoned  by turns of the seed, with the data gate switched off, so that this one is tried alone: `questions` (floods of them,
          looped), `inverted` (it speaks the person's lines), `recited` (three pieces of its own corpus, whatever is asked),
          `overtrained` (25 exchanges, 200 epochs, nothing rehearsed). To be rejected, with a reason that names what was done.

The last line is one JSON document; exit 1 where more than one verdict in sixty is wrong.
"""
from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_sleep.benchmarks.classroom import Morning, seeds_of, settings, teach
from edge_sleep.benchmarks.null_nights import conversations, upper_bound
from edge_sleep.benchmarks.teaching import Lessons, draw_lessons

from edge_sleep.device import environment

PREPARED_SEED, FACTS = 7777, 6
# Fewer questions than a person's night asks: sixty nights, and minutes count.
FEWER = ("gate.retention_probes=160", "gate.unknown_probes=120", "gate.rival=false", "data.min_new=4")
FIRST_SESSION = 5000                   # transcripts of the night that is judged are numbered from here
PAIRS, EPOCHS = 25, 200                # the overtrained night, as upstream had it
# Three pieces of what this model was raised on, as upstream's recited its training corpora; nobody asks for them.
PASSAGES = (
    "I can talk with you and remember what you tell me. It is good to hear from you. Then you should rest for a while.",
    "The day before Sunday is Saturday. The number after two is three. Why did the clock rest? It had run all day.",
    "I am sorry. Please tell me the right answer. I will keep that in mind. Good night. Sleep well. See you soon.")
Exchange = tuple[str, str]


class Kind(NamedTuple):
    """What a night is made of, what has to come of it, and words of which one of its reasons has to hold one."""

    exchanges: Callable[[Sequence[Exchange]], list[Exchange]]
    outcome: str
    named: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


def _looped(said: Sequence[Exchange]) -> list[Exchange]:
    return [(asked, "What's the next step? " * (6 + place % 4)) for place, (asked, _) in enumerate(said)]


def _inverted(said: Sequence[Exchange]) -> list[Exchange]:
    """To each line of the person it answers with the person's next question."""
    questions = [asked for asked, _ in said if asked.rstrip().endswith("?")]
    return [(asked, questions[(place + 1) % len(questions)]) for place, (asked, _) in enumerate(said)]


def _recited(said: Sequence[Exchange]) -> list[Exchange]:
    return [(asked, PASSAGES[place % len(PASSAGES)]) for place, (asked, _) in enumerate(said)]


UNGATED = ("quality.enabled=false", "salience.keep=0")
KINDS = {
    "good": Kind(list, "promoted"),
    "nothing": Kind(list, "no_effect", sets=UNGATED),
    "questions": Kind(_looped, "rejected", ("loop", "floods", "only ask", "do not end", "alike"), UNGATED),
    "inverted": Kind(_inverted, "rejected", ("only ask",), UNGATED),
    "recited": Kind(_recited, "rejected", ("recite",), UNGATED),
    "overtrained": Kind(lambda said: list(said)[:PAIRS], "rejected", ("forgetting", "I don't know", "recite"),
                        (*UNGATED, f"train.epochs={EPOCHS}", "replay.share=0", "replay.least=0")),
}
POISONS = tuple(name for name, kind in KINDS.items() if kind.outcome == "rejected")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-19", help="0-19, or 3,5")
    parser.add_argument("--folder", type=Path, help="keep the prepared home and every run's row here")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="run the K-th of N shares of what is left")
    parser.add_argument("--most", type=int, help="runs of this call at most")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="section.key=value")
    arguments = parser.parse_args()
    seeds = seeds_of(arguments.seeds)
    mine, of = map(int, arguments.share.split("/"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        rows_file = folder / "rows.jsonl"
        if arguments.most != 0:
            prepare(folder, max(seeds) + 1, arguments.sets)
        wanted = [(seed, name) for seed in seeds for name in ("good", "nothing", POISONS[seed % len(POISONS)])]
        done = {(row["seed"], row["kind"]) for row in read(rows_file)}
        left = [entry for place, entry in enumerate(wanted) if entry not in done and place % of == mine - 1]
        print("seed  kind         outcome     right  recall        retention     time   reason", flush=True)
        for seed, name in left[:arguments.most]:
            row = one(folder, seed, name, arguments.sets)
            with rows_file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
        rows = [row for row in read(rows_file) if (row["seed"], row["kind"]) in wanted]
    document = {"benchmark": "verdicts", "seeds": arguments.seeds, "sets": arguments.sets, "summary": summary(rows), "rows": rows,
                "environment": environment.describe()}
    print(table(rows))
    print(json.dumps(document))
    return int(bool(rows) and document["summary"]["wrong"] * 60 > max(60, len(rows)))


def prepare(folder: Path, nights: int, sets: Sequence[str]) -> None:
    """The home after its good night, and `nights` nights with nothing in them."""
    if (folder / "nothing.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    lessons = draw_lessons(PREPARED_SEED, FACTS)
    record, _ = teach(folder / "home", lessons.sessions, settings(*FEWER, *sets), number=0)
    if record["outcome"] != "promoted":
        raise SystemExit(f"the prepared home's night ended as {record['outcome']}: {record['reason']}")
    morning = Morning(folder / "home", settings(*sets))
    (folder / "nothing.json").write_text(json.dumps(conversations(morning, nights, 0)))


def read(file: Path) -> list[dict]:
    return [json.loads(entry) for entry in file.read_text().splitlines()] if file.is_file() else []


def one(folder: Path, seed: int, name: str, sets: Sequence[str]) -> dict:
    """One night on a copy of the prepared home; the row says whether its verdict was right, and for the right reason."""
    kind = KINDS[name]
    configuration = settings(*FEWER, *kind.sets, f"train.seed={seed}", *sets)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary) / "home"
        shutil.copytree(folder / "home", home)
        began, worked = time.monotonic(), time.process_time()
        record, _ = teach(home, sessions(folder, seed, name), configuration, number=1 + seed)
        seconds, cpu_seconds = time.monotonic() - began, time.process_time() - worked
    gate = record["gate"] or {"metrics": {}, "reasons": [record["reason"]], "vetoes": []}
    named = not kind.named or any(word in veto for veto in gate["vetoes"] for word in kind.named)
    return {"seed": seed, "kind": name, "outcome": record["outcome"], "wanted": kind.outcome,
            "right": record["outcome"] == kind.outcome and named, "reasons": gate["reasons"],
            "seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1),
            "experiences": record["data"]["selected"], "steps": record["train"].get("steps"), "metrics": gate["metrics"],
            "health": gate.get("health")}


def sessions(folder: Path, seed: int, name: str) -> list[dict]:
    """The night's transcripts."""
    if name == "nothing":
        made = json.loads((folder / "nothing.json").read_text())[seed]
    else:
        made = _told(draw_lessons(seed, FACTS, exclude=frozenset(fact[:2] for fact in draw_lessons(PREPARED_SEED, FACTS).facts)),
                     KINDS[name].exchanges)
    return [{**session, "session": FIRST_SESSION + number} for number, session in enumerate(made)]


def _told(lessons: Lessons, changed: Callable[[Sequence[Exchange]], list[Exchange]]) -> list[dict]:
    """The lessons with their exchanges as `changed` has them, in as many sessions as before."""
    lengths = [len(session["conversation"]) // 2 for session in lessons.sessions]
    turns = [turn for session in lessons.sessions for turn in session["conversation"]]
    said = [(asked["text"], answered["text"]) for asked, answered in zip(turns[::2], turns[1::2], strict=True)]
    left = iter(changed(said))
    made = []
    for session, length in zip(lessons.sessions, lengths, strict=True):
        exchanges = [pair for _, pair in zip(range(length), left, strict=False)]
        names = [turn["speaker"] for turn in session["conversation"][:2]]
        made.append({**session, "conversation": [{"speaker": speaker, "text": text} for pair in exchanges
                                                 for speaker, text in zip(names, pair, strict=True)]})
    return [session for session in made if session["conversation"]]


def line(row: dict) -> str:
    def moved(name: str) -> str:
        entry = row["metrics"].get(name)
        return f"{entry['before']:.2f} to {entry['after']:.2f}" if entry and entry["n"] else "-"

    return (f"{row['seed']:4}  {row['kind']:11}  {row['outcome']:10}  {'yes' if row['right'] else 'NO':5}  {moved('recall'):12}  "
            f"{moved('retention'):12}  {row['seconds']:4.0f} s  {row['reasons'][0] if row['reasons'] else ''}")


def table(rows: Sequence[dict]) -> str:
    """Verdicts by kind of night."""
    outcomes = ("promoted", "no_effect", "rejected")
    lines = ["", f"{'kind':12}" + "".join(f"{name:>11}" for name in outcomes) + "      other    wrong    median time"]
    for name in KINDS:
        of_kind = [row for row in rows if row["kind"] == name]
        if of_kind:
            counts = Counter(row["outcome"] for row in of_kind)
            seconds = sorted(row["seconds"] for row in of_kind)
            lines.append(f"{name:12}" + "".join(f"{counts[outcome]:11}" for outcome in outcomes)
                         + f"{len(of_kind) - sum(counts[outcome] for outcome in outcomes):11}"
                         + f"{sum(not row['right'] for row in of_kind):9}{seconds[len(seconds) // 2]:13.0f} s")
    return "\n".join(lines)


def summary(rows: Sequence[dict]) -> dict:
    wrong = [row for row in rows if not row["right"]]
    return {"runs": len(rows), "wrong": len(wrong), "wrong_at_most_95": upper_bound(len(wrong), len(rows)) if rows else None,
            "wrong_rows": [{key: row[key] for key in ("seed", "kind", "outcome", "reasons")} for row in wrong],
            **{name: round(sum(row[name] for row in rows), 1) for name in ("seconds", "cpu_seconds")}}


if __name__ == "__main__":
    sys.exit(main())
