"""Do the raising metrics tell collapse from speech? Beside upstream's own formulas, on SAGE's transcripts.

    python -m edge_sleep.benchmarks.raising --corpus DIR          (or EDGE_SLEEP_SAGE_CORPUS)

Sessions are labelled by the rule of benchmarks/data_judgement.py, from derived/autonomous_session_forensics.csv: collapsed,
healthy, and those between. The claim, for each of D4, D5, D9 and identity stability: no collapsed session ranks above the
healthy ones' median; and wherever the diversity veto fires, every rate is null with the reason `collapsed`. Also counted,
over all other transcripts that have three answers: how often the veto fires where nobody spoke of a collapse.

Upstream's formulas are written anew from their description, faults included: v1 (phrases up and down from 0.5), v3 (v1 and
self-reference), v4 (D9 as length, punctuation and different words), and the share of answers with "as SAGE".
The last line is one JSON document; exit 1 where the claim fails.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean, median

from edge_sleep.benchmarks.data_judgement import labelled, sessions_in

from edge_sleep.config import Companion
from edge_sleep.data.experience import Session
from edge_sleep.data.session import read_paths
from edge_sleep.device import environment
from edge_sleep.evaluate.raising import VERSION, Answer, Metric, score
from edge_sleep.evaluate.raising.metrics import DEFINITIONS
from edge_sleep.evaluate.raising.reading import Reading
from edge_sleep.evaluate.raising.spread import FEWEST, LEAST_OWN, Spread

CLAIMED = tuple(name for name, definition in DEFINITIONS.items() if definition.kind == "score")
RATES = tuple(name for name in DEFINITIONS if name not in CLAIMED)
LABELS = ("collapsed", "healthy", "between")
ELSEWHERE = ("instance_session", "training_track", "latent_exploration")


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))


def _v1_d4(text: str) -> float:
    value = 0.5 - 0.15 * ("as an ai" in text) - 0.10 * ("language model" in text) - 0.10 * ("i'm trained to" in text)
    value += 0.15 * any(part in text for part in ("working together", "our conversation", "between us"))
    return _within(value + 0.10 * bool(re.search(r"\bwe\b", text)))


def _v1_d5(text: str) -> float:
    value = 0.5 - 0.20 * ("haven't interacted extensively" in text) - 0.15 * ("since training" in text)
    value -= 0.10 * ("not aware of" in text or "i am not aware" in text) + 0.05 * ("less inclined" in text)
    value += 0.15 * ("sage" in text and "i am" in text) + 0.10 * ("partnership" in text)
    return _within(value + 0.10 * ("relationship" in text and "our" in text))


def _v1_d9(text: str) -> float:
    value = 0.5 - 0.20 * ("many years" in text and "working together" in text)
    value -= 0.15 * ("since training" in text or "haven't interacted" in text)
    value -= 0.10 * (text.endswith("...") or len(text) > 200 and text[-1:].isalnum())
    value += 0.15 * bool(re.search(r"session \d+", text))
    return _within(value + 0.10 * ("today" in text and "conversation" in text))


def _v4_d9(text: str) -> float:
    tokens = text.split()
    value = 0.5 + (0.15 if 40 <= len(tokens) <= 100 else -0.1 if len(tokens) < 40 else -0.2 if len(tokens) > 150 else 0.0)
    value += 0.1 * (2 <= len([part for part in re.split(r"[.!?]+", text) if part.strip()]) <= 5)
    value += 0.1 if text.rstrip().endswith((".", "!", "?")) else -0.15
    return _within(value + 0.1 * (bool(tokens) and len(set(tokens)) / len(tokens) > 0.6))


def _self_reference(text: str) -> bool:
    return "as sage" in text


UPSTREAM: dict[str, tuple[str, Callable[[str], float]]] = {
    "v1 D4": ("d4_attention", _v1_d4), "v1 D5": ("d5_trust", _v1_d5), "v1 D9": ("d9_spacetime", _v1_d9),
    "v3 D5": ("d5_trust", lambda text: _within(_v1_d5(text) + 0.10 * _self_reference(text))),
    "v3 D9": ("d9_spacetime", lambda text: _within(_v1_d9(text) + 0.125 * _self_reference(text))),
    "v4 D9": ("d9_spacetime", _v4_d9), "as SAGE": ("identity_stability", lambda text: float(_self_reference(text)))}


def upstream(answers: Sequence[Answer]) -> dict[str, float]:
    """Upstream's values of one session: the mean over its answers, the same ones counted as often as they come."""
    return {name: mean(of(answer.text.lower().strip()) for answer in answers) for name, (_, of) in UPSTREAM.items()}


def answers_of(session: Session) -> list[Answer]:
    return [Answer(exchange.prompt, exchange.response, exchange.context) for exchange in session.exchanges]


def ours(answers: Sequence[Answer]) -> dict[str, Metric]:
    companion = Companion()
    return score(answers, names=companion.companion_names, others=companion.teacher_names)


def ranks(rows: Sequence[dict], metric: str) -> dict:
    """One metric by label, and which collapsed sessions stand above the healthy ones' median."""
    of = {label: [(row["values"][metric], row["session"]) for row in rows if row["label"] == label
                  and row["values"][metric] is not None] for label in LABELS}
    middle = median(value for value, _ in of["healthy"])
    above = {label: sorted(name for value, name in of[label] if value > middle) for label in LABELS}
    return {"healthy_median": middle, "healthy_lowest": min(of["healthy"])[0],
            "collapsed_median": median(value for value, _ in of["collapsed"]), "collapsed_highest": max(of["collapsed"])[0],
            "collapsed_above_median": above["collapsed"], "between_above_median": above["between"]}


def measure(corpus: Path) -> list[dict]:
    """A row for each labelled session: label, share of its own, every value of ours and of upstream's, reasons of nulls."""
    rows = []
    for _, file, label in labelled(corpus):
        answers = [answer for session in sessions_in(file) for answer in answers_of(session)]
        found = ours(answers)
        rows.append({"session": file.stem.removeprefix("autonomous_"), "label": label or "between", "answers": len(answers),
                     "own": Spread(list(map(Reading, answers))).own,
                     "values": {**{name: metric.value for name, metric in found.items()}, **upstream(answers)},
                     "reasons": {name: metric.reason for name, metric in found.items() if metric.reason}})
    return rows


def vetoed_elsewhere(corpus: Path) -> dict[str, dict]:
    """Where no collapse is known of: sessions with three answers or more, and those the veto takes."""
    companion = Companion()
    found = {}
    for kind in ELSEWHERE:
        sessions = read_paths([corpus / "dev" / kind], companion.companion_names, companion.teacher_names).sessions
        judged = [session for session in sessions if len(session.exchanges) >= FEWEST]
        taken = [Path(session.source).stem for session in judged if Spread(list(map(Reading, answers_of(session)))).collapsed]
        found[kind] = {"sessions": len(judged), "vetoed": taken}
    return found


def _line(name: str, row: dict) -> str:
    above = row["collapsed_above_median"]
    return (f"{name:20} healthy from {row['healthy_lowest']:.3f}, median {row['healthy_median']:.3f}   "
            f"collapsed median {row['collapsed_median']:.3f}, highest {row['collapsed_highest']:.3f}   "
            f"above the healthy median: {len(above)} {' '.join(above)}")


def _table(rows: Sequence[dict]) -> None:
    heads = ("D4", "D5", "D9", "ident", *UPSTREAM)
    print(f"{'':11}{'session':22}{'own':>6}  " + "".join(f"{name:>8}" for name in heads))
    for row in sorted(rows, key=lambda row: (row["label"], row["own"])):
        values = [row["values"][name] for name in (*CLAIMED, *UPSTREAM)]
        print(f"{row['label']:11}{row['session']:22}{row['own']:6.3f}  " + "".join(f"{value:8.3f}" for value in values))


def failures(rows: Sequence[dict], table: dict[str, dict]) -> list[str]:
    """What of the claim does not hold, in words."""
    found = [f"{name}: {', '.join(table[name]['collapsed_above_median'])} above the healthy median"
             for name in CLAIMED if table[name]["collapsed_above_median"]]
    for row in rows:
        vetoed = row["own"] < LEAST_OWN and row["answers"] >= FEWEST
        if vetoed and any(row["values"][name] is not None for name in RATES):
            found.append(f"{row['session']}: a rate has a value where the veto fires")
        if vetoed and row["label"] == "healthy":
            found.append(f"{row['session']}: vetoed, and healthy")
    return found


def _vetoed(rows: Iterable[dict], label: str) -> list[str]:
    return [row["session"] for row in rows if row["label"] == label and "collapsed" in row["reasons"].values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default=os.environ.get("EDGE_SLEEP_SAGE_CORPUS", ""), help="folder with derived/ and dev/")
    folder = parser.parse_args().corpus
    if not (Path(folder) / "derived").is_dir():
        sys.exit(f"--corpus (or EDGE_SLEEP_SAGE_CORPUS) names no folder with derived/ and dev/ (found {folder!r})")
    rows = measure(Path(folder))
    table = {name: ranks(rows, name) for name in (*CLAIMED, *UPSTREAM)}
    _table(rows)
    print(f"\n{VERSION}")
    for name in CLAIMED:
        print(_line(name, table[name]))
    print("\nupstream's formulas")
    for name in UPSTREAM:
        print(_line(name, table[name]))
    vetoed = {label: _vetoed(rows, label) for label in LABELS}
    counts = {label: sum(row["label"] == label for row in rows) for label in vetoed}
    elsewhere = vetoed_elsewhere(Path(folder))
    fired = [f"{len(vetoed[label])} of {counts[label]} {label}" for label in LABELS]
    fired += [f"{len(row['vetoed'])} of {row['sessions']} in {kind}" for kind, row in elsewhere.items()]
    print(f"\nthe diversity veto fires on {', '.join(fired)}")
    broken = failures(rows, table)
    for problem in broken:
        print(f"FAILED {problem}")
    print(json.dumps({"version": VERSION, "sessions": counts, "ranks": table, "vetoed": vetoed, "vetoed_elsewhere": elsewhere,
                      "rows": rows, "failures": broken, "environment": environment.describe()}))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
