"""Several candidates in one night: each trained in its own folder, asked the `select` questions, one of them chosen.

state/variants/<k>/ holds what train_candidate needs and makes, then trained.json, then answers.json; choice.json stands
before the winner is moved to where a night of one candidate has its own. A start goes on at the first that is missing.
"""
from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_sleep.checkpoint import manifest
from edge_sleep.config import Config
from edge_sleep.data.experience import Example
from edge_sleep.device.shortage import give_back
from edge_sleep.errors import DoesNotFit, ModelError, Outcome, Preempted, TooHot
from edge_sleep.evaluate import character, choice, gate, judge, marking
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.recital import Lessons
from edge_sleep.stages import questions
from edge_sleep.stages.context import Night
from edge_sleep.system.files import read_json, read_sealed, storage_errors, write_json, write_sealed
from edge_sleep.train import candidates
from edge_sleep.train import state as training_state
from edge_sleep.train.candidates import Variant
from edge_sleep.train.planner import Plan

TRAINED, ANSWERS, CHOICE = "trained.json", "answers.json", "choice.json"
# What stopped a training by name, else what it measured.
Trained = tuple[Outcome, str] | dict[str, dict]
Trainer = Callable[[Config, list[Example], Path, Plan], Trained]


def of_night(night: Night) -> list[Variant]:
    return candidates.variants(night.config, night.candidates, night.parent is not None)


def prepare(night: Night, compose: Callable[[Config], list[Example]]) -> None:
    """Write every variant's lesson. Before the night's plan: what a later start finds in the home may have grown."""
    for index, variant in enumerate(of_night(night)[1:], 1):
        same = not any(key.startswith("replay.") or key == "train.epochs" for key in variant.settings)
        training_state.write_examples(_folder(night, index), night.examples if same else compose(variant.config))


def _folder(night: Night, index: int) -> Path:
    return night.state / "variants" / str(index)


def run(night: Night, plans: Sequence[Plan], train_one: Trainer,
        reserve_for: Callable[[float], float]) -> tuple[Outcome, str] | None:
    """Train, ask and choose; the winner's adapter is then `state`/candidate. Returns what stopped the night, if anything did.

    The configured settings come first, and their fate is the night's. Of the others, those that do not fit the time left,
    or fail, are named in the record, and the night goes on without them.
    """
    made = of_night(night)
    if not (night.state / CHOICE).is_file():
        select = judge.interleave(questions.compose(night)[0])
        entries: list[dict[str, Any]] = []
        night.record["train"]["candidates"] = entries        # a night that is stopped names those it has finished
        for index, variant in enumerate(made):
            entries.append({"name": variant.name, "settings": variant.settings, "reason": variant.reason, "outcome": None})
            stopped = _train(night, index, variant, entries, plans[index], train_one, reserve_for)
            if stopped is None and entries[-1]["outcome"] == "finished" and len(made) > 1:
                reserve_for(entries[-1]["load_seconds"])
                stopped = _ask(night, index, entries[-1], select)
            if stopped is not None:
                return stopped
            night.events("candidate", number=index + 1, of=len(made), name=variant.name, outcome=entries[-1]["outcome"])
        _choose(night, entries, select)
    hand_over(night)
    return None


def _train(night: Night, index: int, variant: Variant, entries: list[dict], plan: Plan, train_one: Trainer,
           reserve_for: Callable[[float], float]) -> tuple[Outcome, str] | None:
    """Train one candidate, or find that it was trained; its entry says how it went."""
    folder, entry = _folder(night, index), entries[-1]
    if not (folder / TRAINED).is_file():
        if index and (why := _no_room(night, variant, plan, entries, reserve_for)):
            entry |= {"outcome": "left out", "why": why}
            return None
        if not (folder / "plan.json").is_file():
            if not (folder / "examples.jsonl").is_file():
                training_state.write_examples(folder, night.examples)
            write_sealed(folder / "plan.json", read_sealed(night.state / "plan.json", "plan") | {"night": night.id})
        try:
            result = train_one(variant.config, training_state.read_examples(folder), folder, plan)
        except (DoesNotFit, ModelError) as error:
            if not index:
                raise
            result = {"failed": {"why": error.message}}
        give_back()                          # the next candidate's memory: never two models at once
        if isinstance(result, tuple):
            if index and result[0] in (Outcome.STOPPED_TIME, Outcome.STOPPED_HEAT):
                entry |= {"outcome": "left out", "why": result[1]}
                return None
            return result[0], f"candidate {index + 1} ({variant.name}): {result[1]}"
        write_json(folder / TRAINED, result)
        for used in folder.glob("step-*"):
            shutil.rmtree(used)
    trained = read_json(folder / TRAINED, "candidate's training")
    if failed := trained.get("failed"):
        entry |= {"outcome": "failed", "why": failed["why"]}
        return None
    entry |= {"outcome": "finished", "id": read_sealed(folder / "candidate.json", "candidate")["id"],
              "steps": trained["train"]["steps"], "loss_last": trained["train"]["loss_last"],
              "seconds": _seconds(trained), "load_seconds": trained["measured"]["load_seconds"]}
    return None


def _seconds(trained: dict) -> float:
    """What the steps took, over all starts of the night."""
    speed = trained["measured"]["tokens_per_second"]
    return round(trained["data"]["tokens"] / speed, 3) if speed else 0.0


def _ask(night: Night, index: int, entry: dict, select: list[Probe]) -> tuple[Outcome, str] | None:
    """Ask a trained candidate the select questions, once."""
    folder = _folder(night, index)
    if not (folder / ANSWERS).is_file():
        try:
            answers, seconds = questions.ask(night, folder / "candidate", select, with_others=not index)
        except (Preempted, TooHot) as error:
            return error.outcome, error.message
        give_back()
        if answers is None:
            entry |= {"outcome": "left out" if index else "finished", "why": "no time was left for the select questions"}
            return None
        write_json(folder / ANSWERS, {"seconds": seconds, "answers": answers})
    entry["select_seconds"] = read_json(folder / ANSWERS, "candidate's answers")["seconds"]
    return None


def _no_room(night: Night, variant: Variant, plan: Plan, entries: list[dict],
             reserve_for: Callable[[float], float]) -> str | None:
    """Why this candidate is not begun: memory, or the time that is left before the gate's reserve."""
    if plan.where == "none":
        return f"memory: {plan.choices[0]['reason']}"
    first = entries[0]
    if "why" in first:
        return first["why"]
    reserve_for(first["load_seconds"])
    asking = [entry["select_seconds"] for entry in entries if "select_seconds" in entry][-1]    # the first asks the base as well
    needed = candidates.cost(variant, first["load_seconds"], first["seconds"], asking)
    left = night.contract.for_training()
    if candidates.fitting([needed], left):
        return None
    return f"needs about {needed:.0f} s, {max(0.0, left):.0f} s are left before the gate's time"


def _choose(night: Night, entries: list[dict], select: list[Probe]) -> None:
    """Mark the finished ones on the select questions, write which one it is and why."""
    finished = [index for index, entry in enumerate(entries) if entry["outcome"] == "finished"]
    answers: dict[str, dict] = {}
    persona = character.setting(night.config.companion)
    taught = Lessons((item.prompt, item.response) for item in night.experiences)
    standings = []
    for index in finished if len(finished) > 1 else []:
        answers |= read_json(_folder(night, index) / ANSWERS, "candidate's answers")["answers"]     # the first has the base's too
        asked = [marking.marked(probe, {state: tuple(said[probe.id]) for state, said in answers.items()}, persona)
                 for probe in select if probe.id in answers["after"]]
        numbers = marking.of_answers(asked, taught)
        standings.append(choice.Standing(entries[index]["name"],
                                         {kind: marking.right_by_origin(asked, kind) for kind in choice.WEIGHTS},
                                         gate.vetoes_of(numbers, night.config.gate)))
        entries[index]["select"] = {
            **{kind: {key: getattr(numbers, kind).summary()[key] for key in ("before", "after", "n")} for kind in choice.WEIGHTS},
            "score": choice.score(standings[-1].right), "vetoes": list(standings[-1].vetoes)}
    chosen = choice.choose(standings) if standings else choice.Choice(0, choice.ALONE)
    winner = finished[chosen.index]
    for index in finished:
        entries[index]["outcome"] = "chosen" if index == winner else "not chosen"
    night.events("chosen", number=winner + 1, name=entries[winner]["name"], reason=chosen.reason)
    write_json(night.state / CHOICE, {"chosen": winner, "reason": chosen.reason, "candidates": entries,
                                      "trained": read_json(_folder(night, winner) / TRAINED, "candidate's training")})


def hand_over(night: Night) -> None:
    """Move the chosen adapter to the place of a night's only one; may be repeated after a power cut."""
    document = read_json(night.state / CHOICE, "choice of the candidate")
    source, final = _folder(night, document["chosen"]), night.state / "candidate"
    with storage_errors(night.state):
        if not (final / manifest.NAME).is_file():
            write_sealed(night.state / "candidate.json", read_sealed(source / "candidate.json", "candidate"))
            os.replace(source / "candidate", final)


def recorded(night: Night) -> None:
    """The record's part of a night with several candidates: what was tried, what was chosen and why."""
    if not (night.state / CHOICE).is_file():
        return
    document = read_json(night.state / CHOICE, "choice of the candidate")
    for part in ("train", "measured", "data"):
        night.record[part] |= document["trained"][part]
    night.record["train"] |= {"candidates": document["candidates"], "chosen": document["chosen"],
                              "why_chosen": document["reason"]}
