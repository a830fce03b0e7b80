"""Does the gate tell collapse from speech, and does salience with it agree with a teacher? On SAGE's transcripts.

    EDGE_SLEEP_SAGE_CORPUS=DIR python -m edge_sleep.benchmarks.data_judgement
    EDGE_SLEEP_SAGE_CORPUS=DIR python -m edge_sleep.benchmarks.data_judgement --everything     (minutes)

Collapse: whole sessions, labelled by rule from derived/autonomous_session_forensics.csv. Collapsed: more than half of
the text from the base's fine-tuning corpus, or at least 5 of its questions verbatim, or at most half of the answers
different. Healthy: under 2 % of that text, none of its questions, no answer twice, none flagged upstream. Each session
is judged by `ingest` in a home that holds all the others (`others`), those before it (`in order`) and none (`alone`);
with --everything the others are every transcript that shares no exchange with it.

Score: the area under the ROC curve (AUC) of total salience where the gate keeps an answer, 0 where it refuses it,
against the training track's own include and exclude. The labels are hidden from the scorer. Beside it upstream's
scorer, written anew from its description (a fresh one for every session, as there). The last line is one JSON document.
"""
from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from edge_sleep.benchmarks.upstream_scorer import UpstreamScorer

from edge_sleep.config import Companion, Quality, Salience
from edge_sleep.data import weights
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.experience import Session
from edge_sleep.data.ingest import ingest, take
from edge_sleep.data.salience import Scorer
from edge_sleep.data.session import read_paths
from edge_sleep.evaluate.day import wilson

CORPUS = "reference/base_finetune_corpus_epistemic_pragmatism_25.json"
_RESAMPLES = 2000


def auc(pairs: Sequence[tuple[float, bool]]) -> float:
    scores, labels = zip(*pairs, strict=True)
    return weights.auc(np.array(scores), np.array(labels))


def bootstrap(groups: Sequence[Sequence[tuple[float, bool]]], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the AUC, whole sessions drawn with replacement: answers of one session are alike."""
    rng = random.Random(seed)
    found = []
    while len(found) < _RESAMPLES:
        drawn = [pair for group in rng.choices(groups, k=len(groups)) for pair in group]
        labels = [label for _, label in drawn]
        if any(labels) and not all(labels):
            found.append(auc(drawn))
    found.sort()
    return found[int(0.025 * _RESAMPLES)], found[int(0.975 * _RESAMPLES) - 1]


def labelled(corpus: Path) -> list[tuple[str, Path, str | None]]:
    """(start, file, collapsed | healthy | None) of each autonomous session, in order of time."""
    found = []
    with open(corpus / "derived/autonomous_session_forensics.csv", newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            turns, unique = int(row["turns"]), int(row["unique_responses"])
            overlap = float(row["overlap6_with_base_corpus_answers"])
            asked = int(row["turns_with_verbatim_base_corpus_question"])
            label = None
            if overlap > 0.5 or asked >= 5 or unique <= turns / 2:
                label = "collapsed"
            elif overlap < 0.02 and asked == 0 and unique == turns and row["responses_flagged_by_their_collapse_filter"] == "0":
                label = "healthy"
            found.append((row["start"], corpus / row["file"], label))
    return sorted(found)


def sessions_in(file: Path) -> list[Session]:
    companion = Companion()
    return read_paths([file], companion.companion_names, companion.teacher_names).sessions


def verdicts(before: Sequence[Path], file: Path, quality: Quality) -> list[str | None]:
    """The reason of refusal of each answer in `file`, None where kept, in a new home that read `before` first."""
    with tempfile.TemporaryDirectory() as folder, Buffer(Path(folder) / "experience.db") as buffer:
        for paths in filter(None, (list(before), [file])):
            ingest(paths, buffer, companion=Companion(), quality=quality, salience=Salience())
        reason = {item.id: item.reason for item in buffer.items("quarantined")}
        return [reason.get(exchange.id) for session in sessions_in(file) for exchange in session.exchanges]


def collapse(corpus: Path, quality: Quality, way: str, everything: Sequence[Path] = ()) -> dict:
    """Counts of refused answers per label, with Wilson intervals and reasons; `way` is others, in order or alone."""
    rows = labelled(corpus)
    files = list(everything) or [file for _, file, _ in rows]
    ids = {file: {exchange.id for session in sessions_in(file) for exchange in session.exchanges}
           for file in {*files, *(file for _, file, _ in rows)}}
    starts = {file: start for start, file, _ in rows}
    counts: dict[str, Counter[str]] = {"collapsed": Counter(), "healthy": Counter()}
    for start, file, label in rows:
        if label is None:
            continue
        others = [other for other in files if not ids[other] & ids[file]]
        if way == "in order":
            others = [other for other in others if starts.get(other, "9") < start]
        for reason in verdicts([] if way == "alone" else others, file, quality):
            counts[label]["answers"] += 1
            if reason is not None:
                counts[label]["refused"] += 1
                counts[label][reason] += 1
    result = {}
    for label, counted in counts.items():
        answers, refused = counted.pop("answers", 0), counted.pop("refused", 0)
        low, high = wilson(refused, answers)
        result[label] = {"refused": refused, "answers": answers, "share": refused / max(1, answers), "low": low, "high": high,
                         "reasons": dict(counted.most_common())}
    return result


def agreement(corpus: Path, quality: Quality) -> dict:
    """AUC against the training track's include and exclude: salience x quality, each alone, and upstream's scorer."""
    groups: dict[str, list[list[tuple[float, bool]]]] = {"salience x quality": [], "salience": [], "quality": [], "upstream": []}
    salience = Salience()
    with tempfile.TemporaryDirectory() as folder, Buffer(Path(folder) / "experience.db") as buffer:
        scorer = Scorer(buffer.memory, salience.weights)
        for file in sorted((corpus / "dev/training_track").glob("*.json")):
            for session in sessions_in(file):
                known = buffer.known([exchange.id for exchange in session.exchanges])
                judged = [exchange for exchange in session.exchanges
                          if exchange.labels.get("evaluation") in ("include", "exclude") and exchange.id not in known]
                # What the teacher wrote down is what is asked for: the scorer must not read it.
                unlabelled = tuple(replace(exchange, labels={key: value for key, value in exchange.labels.items()
                                                             if key == "followed_by"}) for exchange in session.exchanges)
                take(replace(session, exchanges=unlabelled), buffer, scorer, quality, keep=0.0)
                if not judged:
                    continue
                upstream = UpstreamScorer()
                theirs = {exchange.id: upstream.score(exchange.response) for exchange in session.exchanges}
                items = {item.id: item for item in buffer.by_ids(exchange.id for exchange in judged)}
                rows: dict[str, list[tuple[float, bool]]] = {name: [] for name in groups}
                for exchange in judged:
                    item, label = items[exchange.id], exchange.labels["evaluation"] == "include"
                    kept = float(item.status != "quarantined")
                    for name, score in (("salience x quality", item.salience["total"] * kept), ("quality", kept),
                                        ("salience", item.salience["total"]), ("upstream", theirs[exchange.id])):
                        rows[name].append((score, label))
                for name, made in rows.items():
                    groups[name].append(made)
    result: dict[str, dict] = {}
    for name, listed in groups.items():
        pairs = [pair for group in listed for pair in group]
        low, high = bootstrap(listed)
        result[name] = {"auc": auc(pairs), "low": low, "high": high,
                        "include": sum(label for _, label in pairs), "exclude": sum(not label for _, label in pairs),
                        "sessions": len(listed)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--everything", action="store_true", help="the others are all transcripts, not the autonomous ones")
    arguments = parser.parse_args()
    folder = os.environ.get("EDGE_SLEEP_SAGE_CORPUS", "")
    if not (Path(folder) / "derived").is_dir():
        sys.exit(f"EDGE_SLEEP_SAGE_CORPUS names no folder with derived/ and dev/ (found {folder!r})")
    corpus = Path(folder)
    everything = sorted((corpus / "dev").rglob("*.json*")) if arguments.everything else []
    report: dict[str, dict] = {"collapse": {}}
    for name, quality in (("no corpus", Quality()), ("corpus named", Quality(known_corpora=(str(corpus / CORPUS),)))):
        for way in ("others", "in order", "alone"):
            found = collapse(corpus, quality, way, everything if way == "others" else ())
            report["collapse"][f"{name}, {way}"] = found
            for label, row in found.items():
                print(f"{name:12} {way:9} {label:9} {row['refused']:3}/{row['answers']:3} = {row['share']:.3f}"
                      f" [{row['low']:.3f}, {row['high']:.3f}]  {row['reasons']}")
    report["auc"] = agreement(corpus, Quality())
    for name, row in report["auc"].items():
        print(f"AUC {name:19} {row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  {row['include']} include,"
              f" {row['exclude']} exclude, {row['sessions']} sessions")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
