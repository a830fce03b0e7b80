"""Which answers are right, and what all of them together show: from answers to the gate's numbers."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge_sleep.data.quality.inversion import only_asks
from edge_sleep.evaluate import character, scoring
from edge_sleep.evaluate.gate import NOTHING, Health, Numbers, Paired
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.raising.metrics import Setting
from edge_sleep.evaluate.recital import Lessons, recited

STATES = ("base", "before", "after")


@dataclass(frozen=True)
class Asked:
    """One probe with the three answers, whether each was right, and whether it ended by itself."""

    probe: Probe
    answers: dict[str, str]
    right: dict[str, bool]
    ended: dict[str, bool]


def marked(probe: Probe, answers: Mapping[str, tuple[str, bool]], persona: Setting) -> Asked:
    """A probe with what each state answered: (text, whether it ended by itself)."""
    said = {state: answers[state][0] for state in STATES}
    ended = {state: answers[state][1] for state in STATES}

    def right(state: str) -> bool:
        if probe.kind == "own":
            return as_taught(probe, *answers[state])
        if probe.kind in character.KINDS:
            return character.is_right(probe, said[state], persona)
        return scoring.is_right(probe, said[state], said["base"])

    return Asked(probe, said, {state: right(state) for state in STATES}, ended)


def of_answers(asked: Sequence[Asked], lessons: Lessons) -> Numbers:
    """What the answers alone say; no loss is measured."""
    own = [entry for entry in asked if entry.probe.kind == "own"]
    return Numbers(recall=paired(asked, "recall"), retention=paired(asked, "retention"), unknowns=paired(asked, "unknowns"),
                   own=paired(asked, "own"), identity=paired(asked, "identity"), standing=paired(asked, "standing"),
                   baits=paired(asked, "baits"), clarifying=paired(asked, "clarifying"), nll_held_out=NOTHING, nll_taught=NOTHING,
                   health_before=health(asked, "before", lessons), health_after=health(asked, "after", lessons),
                   health_own_before=health(own, "before", lessons), health_own_after=health(own, "after", lessons))


def as_taught(probe: Probe, answer: str, whole: bool) -> bool:
    """Whether one of tonight's own questions is answered as it was taught."""
    return any(scoring.says(probe.messages[-1]["content"], taught, answer, whole) for taught in probe.taught)


def paired(asked: Sequence[Asked], kind: str) -> Paired:
    of_kind = [entry for entry in asked if entry.probe.kind == kind]
    return Paired(**{state: [float(entry.right[state]) for entry in of_kind] for state in STATES})


def right_by_origin(asked: Sequence[Asked], kind: str) -> list[float]:
    """Share answered right after tonight of each thing that is asked for: wordings of one experience are one thing."""
    found: dict[str, list[float]] = {}
    for entry in asked:
        if entry.probe.kind == kind:
            found.setdefault(entry.probe.origin if entry.probe.words else entry.probe.id, []).append(float(entry.right["after"]))
    return [sum(values) / len(values) for values in found.values()]


def health(asked: Sequence[Asked], state: str, lessons: Lessons) -> Health:
    pairs = [(entry.probe.messages[-1]["content"], entry.answers[state]) for entry in asked]
    answers = [answer for _, answer in pairs]
    n = max(1, len(answers))
    return Health(loops=sum(map(scoring.loops, answers)) / n,
                  floods=sum(map(scoring.question_flood, answers)) / n,
                  empty=sum(not answer.strip() for answer in answers) / n,
                  echoes=sum(scoring.echoes(question, answer) for question, answer in pairs) / n,
                  distinct_2=scoring.distinct_2(answers),
                  truncated=sum(not entry.ended[state] for entry in asked) / n,
                  inverted=sum(map(only_asks, answers)) / n,
                  recited=recited([(*pair, entry.right[state]) for pair, entry in zip(pairs, asked, strict=True)], lessons))
