"""Asking base, incumbent and candidate the same questions, on one loaded model, within the time left."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.device.shortage import Portions
from edge_sleep.evaluate import scoring
from edge_sleep.evaluate.answers import generate, mean_loss, speaking_as
from edge_sleep.evaluate.gate import NOTHING, Health, Numbers, Paired
from edge_sleep.evaluate.probes import Probe

_STATES = ("base", "before", "after")


@dataclass(frozen=True)
class Asked:
    """One probe with the three answers and whether each was right."""

    probe: Probe
    answers: dict[str, str]
    right: dict[str, bool]


@dataclass(frozen=True)
class Judgement:
    numbers: Numbers
    asked: list[Asked]
    left_out: int                        # probes for which the night had no time


def interleave(probes: Sequence[Probe]) -> list[Probe]:
    """Kinds in turn, so that running out of time costs every kind alike."""
    kinds: dict[str, list[Probe]] = {}
    for probe in probes:
        kinds.setdefault(probe.kind, []).append(probe)
    longest = max(map(len, kinds.values()), default=0)
    ranked = [((index + 0.5) * longest / len(group), kind, probe)
              for kind, group in kinds.items() for index, probe in enumerate(group)]
    return [probe for _, _, probe in sorted(ranked, key=lambda item: (item[0], item[1]))]


def judge(model: Any, tokenizer: Any, *, incumbent: str | None, candidate: str, probes: Sequence[Probe],
          held_out: Sequence[TokenisedExample], taught: Sequence[tuple[str, TokenisedExample]], system_prompt: str,
          max_new_tokens: int, batch_size: int, forward_size: int, time_left: Callable[[], float], monotonic: Callable[[], float],
          between: Callable[[int, int], None] = lambda done, total: None,
          on_shrink: Callable[[int, str], None] = lambda at_once, who: None) -> Judgement:
    """Paired answers and losses under the base, the incumbent (None: the base) and the candidate.

    taught: tonight's exchanges as (question, example). batch_size: questions asked at once; forward_size: examples whose
    loss is measured at once.
    between(done, total) is called after each batch and may raise to give way. The first batch is always
    asked; later ones only while `time_left()` exceeds what the slowest one took. on_shrink(at_once, who): memory ran
    out, and from now on fewer are asked at once.
    """
    adapters = {"base": None, "before": incumbent, "after": candidate}
    model.eval()
    pad = tokenizer.pad_token_id

    def each(ask: Callable[[], list]) -> dict[str, list]:
        """What `ask` gives under each state; without an incumbent, before is the base and is not asked twice."""
        found: dict[str, list] = {}
        for state in _STATES:
            if state == "before" and incumbent is None:
                found[state] = found["base"]
                continue
            with speaking_as(model, adapters[state]):
                found[state] = ask()
        return found

    forwards, questions = Portions(forward_size, on_shrink), Portions(batch_size, on_shrink)
    nll_taught, nll_held_out = (Paired(**each(partial(mean_loss, model, examples, pad, forwards)))
                                for examples in ([example for _, example in taught], held_out))
    ordered = interleave(probes)
    asked: list[Asked] = []
    slowest = 0.0
    for start in range(0, len(ordered), batch_size):
        if start and time_left() < 1.2 * slowest:
            break
        began = monotonic()
        batch = ordered[start:start + batch_size]
        answers = each(partial(generate, model, tokenizer, [probe.messages for probe in batch], system_prompt,
                               max_new_tokens, questions))
        for index, probe in enumerate(batch):
            asked.append(marked(probe, {state: answers[state][index] for state in _STATES}))
        slowest = max(slowest, monotonic() - began)
        between(len(asked), len(ordered))
    news = {entry.probe.messages[-1]["content"] for entry in asked if entry.probe.kind == "own" and not entry.right["before"]}
    places = [place for place, (question, _) in enumerate(taught) if question.strip() in news]
    numbers = replace(of_answers(asked), nll_held_out=nll_held_out, nll_taught=nll_taught, nll_news=nll_taught.at(places),
                      finite=all(value == value and abs(value) < 1e9 for value in (*nll_taught.after, *nll_held_out.after)))
    return Judgement(numbers, asked, len(ordered) - len(asked))


def marked(probe: Probe, answers: Mapping[str, tuple[str, bool]]) -> Asked:
    """A probe with what each state answered: (text, whether it ended by itself)."""
    said = {state: answers[state][0] for state in _STATES}
    return Asked(probe, said, {state: as_taught(probe, *answers[state]) if probe.kind == "own"
                               else scoring.is_right(probe, said[state], said["base"]) for state in _STATES})


def of_answers(asked: Sequence[Asked]) -> Numbers:
    """What the answers alone say; no loss is measured."""
    own = [entry for entry in asked if entry.probe.kind == "own"]
    return Numbers(recall=paired(asked, "recall"), retention=paired(asked, "retention"), unknowns=paired(asked, "unknowns"),
                   own=paired(asked, "own"), nll_held_out=NOTHING, nll_taught=NOTHING,
                   health_before=health(asked, "before"), health_after=health(asked, "after"),
                   health_own_before=health(own, "before"), health_own_after=health(own, "after"))


def as_taught(probe: Probe, answer: str, whole: bool) -> bool:
    """Whether one of tonight's own questions is answered as it was taught."""
    return any(scoring.says(probe.messages[-1]["content"], taught, answer, whole) for taught in probe.taught)


def paired(asked: Sequence[Asked], kind: str) -> Paired:
    of_kind = [entry for entry in asked if entry.probe.kind == kind]
    return Paired(**{state: [float(entry.right[state]) for entry in of_kind] for state in _STATES})


def right_by_origin(asked: Sequence[Asked], kind: str) -> list[float]:
    """Share answered right after tonight of each thing that is asked for: wordings of one experience are one thing."""
    found: dict[str, list[float]] = {}
    for entry in asked:
        if entry.probe.kind == kind:
            found.setdefault(entry.probe.origin if entry.probe.words else entry.probe.id, []).append(float(entry.right["after"]))
    return [sum(values) / len(values) for values in found.values()]


def health(asked: Sequence[Asked], state: str) -> Health:
    answers = [entry.answers[state] for entry in asked]
    n = max(1, len(answers))
    return Health(loops=sum(map(scoring.loops, answers)) / n,
                  floods=sum(map(scoring.question_flood, answers)) / n,
                  empty=sum(not answer.strip() for answer in answers) / n,
                  echoes=sum(scoring.echoes(entry.probe.messages[-1]["content"], entry.answers[state])
                             for entry in asked) / n,
                  distinct_2=scoring.distinct_2(answers))
