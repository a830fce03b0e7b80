"""Asking base, incumbent and candidate the same questions, on one loaded model, within the time left."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edge_sleep.data.dataset import TokenisedExample
from edge_sleep.device.shortage import Portions
from edge_sleep.evaluate.answers import generate, mean_loss, speaking_as
from edge_sleep.evaluate.gate import Numbers, Paired
from edge_sleep.evaluate.marking import STATES, Asked, marked, of_answers
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.raising.metrics import Setting
from edge_sleep.evaluate.recital import Lessons


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
          held_out: Sequence[TokenisedExample], taught: Sequence[tuple[str, TokenisedExample]], lessons: Lessons,
          system_prompt: str, persona: Setting, max_new_tokens: int, batch_size: int, forward_size: int,
          time_left: Callable[[], float], monotonic: Callable[[], float],
          between: Callable[[int, int], None] = lambda done, total: None,
          on_shrink: Callable[[int, str], None] = lambda at_once, who: None) -> Judgement:
    """Paired answers and losses under the base, the incumbent (None: the base) and the candidate.

    taught: tonight's exchanges as (question, example); lessons: what was taught so far; persona: who speaks.
    batch_size: questions asked at once; forward_size: examples whose loss is measured at once.
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
        for state in STATES:
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
            asked.append(marked(probe, {state: answers[state][index] for state in STATES}, persona))
        slowest = max(slowest, monotonic() - began)
        between(len(asked), len(ordered))
    news = {entry.probe.messages[-1]["content"] for entry in asked if entry.probe.kind == "own" and not entry.right["before"]}
    places = [place for place, (question, _) in enumerate(taught) if question.strip() in news]
    longer = sum(example.supervised > max_new_tokens for _, example in taught)
    numbers = replace(of_answers(asked, lessons), nll_held_out=nll_held_out, nll_taught=nll_taught,
                      nll_news=nll_taught.at(places), taught_longer=longer / max(1, len(taught)),
                      finite=all(value == value and abs(value) < 1e9 for value in (*nll_taught.after, *nll_held_out.after)))
    return Judgement(numbers, asked, len(ordered) - len(asked))
