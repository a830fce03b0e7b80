"""Tonight's questions: recall of what was taught, retention, the right use of "I don't know", and the companion itself."""
from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge_sleep.config import Companion, Gate
from edge_sleep.data.experience import Experience
from edge_sleep.data.words import topic
from edge_sleep.evaluate import character, raising
from edge_sleep.evaluate.gate import Verdict
from edge_sleep.evaluate.judge import Judgement
from edge_sleep.evaluate.marking import Asked
from edge_sleep.evaluate.probes import SELECT_SHARE, Probe, draw, of_experiences, of_own, of_user, pool, split, untaught
from edge_sleep.system.files import canonical_json

SELECT_RECALL = 128                    # recall questions of the choice, about
MOST_WORDINGS = 4                      # of one experience
METRICS = ("recall", "retention", "unknowns", "own", *character.KINDS, "nll_held_out", "nll_taught", "nll_news")


def compose(experiences: Sequence[Experience], *, base_folder: Path, settings: Gate, salt: str,
            reword: Callable[[str, int], list[str]], user_files: Sequence[Path] = ()) -> tuple[list[Probe], list[Probe]]:
    """(select, confirm) probes of one night.

    experiences: what tonight teaches; recall is asked of it, and "I don't know" is not expected of it.
    salt: the night's id, so that each night draws its questions anew.
    """
    taught = [topic(experience.prompt) for experience in experiences]
    asked = draw(of_experiences(experiences, reword), len(experiences), salt)
    recall, spare = asked[:settings.recall_probes], asked[settings.recall_probes:]
    of_owner = of_user(user_files)
    recall += [probe for probe in of_owner if probe.kind == "recall"]
    retention = [probe for probe in of_owner if probe.kind == "retention"]
    retention += pool("retention", base_folder)
    unknowns = untaught(pool("unknowns", base_folder), taught)
    of_itself = [probe for group in character.pool(base_folder).values()
                 for probe in draw(untaught(group, taught), settings.character_probes, salt)]
    select, confirm = split([*recall, *draw(retention, settings.retention_probes, salt),
                             *draw(unknowns, settings.unknown_probes, salt), *of_itself], salt)
    own = draw(of_own(experiences), settings.own_probes, salt)
    # By number, not by lot: the gate must see what is news, however small the night.
    ours = math.ceil(len(own) * (1 - SELECT_SHARE))
    confirm += own[:ours]
    judging = {probe.id for probe in confirm}            # two experiences may ask the same
    # What the gate has no time for, and more wordings of it, make the choice between candidates surer.
    chosen = {probe.origin for probe in (*select, *spare) if probe.words}
    ways = min(MOST_WORDINGS, max(1, SELECT_RECALL // max(1, len(chosen))))
    recall = [probe for probe in of_experiences(experiences, reword, ways) if probe.origin in chosen]
    others = [probe for probe in select if not probe.words]
    choosing = {probe.id: probe for probe in (*draw(recall, len(recall), salt), *others, *own[ours:])}
    return [probe for probe in choosing.values() if probe.id not in judging], confirm


def samples(asked: Sequence[Asked], n: int = 12) -> list[dict]:
    """Answers worth showing: recall first, those that changed before those that did not."""
    ranked = sorted(asked, key=lambda entry: (entry.probe.kind != "recall",
                                              entry.answers["before"] == entry.answers["after"],
                                              not entry.right["after"], entry.probe.id))
    return [{"kind": entry.probe.kind, "question": entry.probe.messages[-1]["content"],
             "before": entry.answers["before"], "after": entry.answers["after"], "right": entry.right["after"]}
            for entry in ranked[:n]]


def described(probes: Sequence[Probe]) -> dict:
    """A set of probes by name: how many of each kind, and a hash of which."""
    kinds = Counter(probe.kind for probe in probes)
    return {"n": len(probes), "kinds": dict(sorted(kinds.items())),
            "sha256": hashlib.sha256(canonical_json(sorted(probe.id for probe in probes))).hexdigest()}


def raised(asked: Sequence[Asked], companion: Companion) -> dict[str, dict]:
    """The raising metrics over the gate's own answers, for base, incumbent and candidate; they inform."""
    answers = {state: [raising.Answer(entry.probe.messages[-1]["content"], entry.answers[state], entry.probe.messages[:-1],
                                      entry.probe.answerable) for entry in asked]
               for state in ("base", "before", "after")}
    return raising.compare(**answers, names=companion.companion_names, others=companion.teacher_names,
                           system_prompt=companion.system_prompt)


def document(verdict: Verdict, judgement: Judgement, select: Sequence[Probe], confirm: Sequence[Probe],
             companion: Companion) -> dict:
    """The record's `gate`: verdict, reasons, how much was asked, every metric with its interval, samples."""
    numbers = judgement.numbers
    return {"verdict": verdict.outcome.value, "vetoes": verdict.vetoes, "reasons": verdict.reasons,
            "probes": {"select": len(select), "confirm": len(judgement.asked), "left_out": judgement.left_out},
            "sets": {"select": described(select), "confirm": described(confirm)},
            "metrics": {name: getattr(numbers, name).summary()
                        for name in METRICS},
            "health": {name: asdict(getattr(numbers, f"health_{name}"))
                       for name in ("before", "after", "own_before", "own_after")},
            "raising": raised(judgement.asked, companion), "samples": samples(judgement.asked)}
