"""Judging the candidate, and carrying out the verdict."""
from __future__ import annotations

from edge_sleep.checkpoint import manifest, store
from edge_sleep.data.buffer import Buffer
from edge_sleep.data.examples import conversation
from edge_sleep.data.experience import Example
from edge_sleep.data.quality import QuarantineReason
from edge_sleep.data.retrieve import Memories
from edge_sleep.errors import Outcome
from edge_sleep.evaluate import exam, gate
from edge_sleep.model.head import LOSSES_AT_ONCE
from edge_sleep.stages import contest, questions
from edge_sleep.stages.context import Night
from edge_sleep.system.files import read_sealed, write_sealed
from edge_sleep.system.record import read_records
from edge_sleep.train.attempt import Attempt


def judge(night: Night, buffer: Buffer) -> None:
    """Ask base, incumbent and candidate; write the verdict before anything is moved."""
    from edge_sleep.evaluate.court import hear

    select, confirm = questions.compose(night)
    night.pace.begin()
    own = {probe.messages[-1]["content"] for probe in confirm if probe.kind == "own"}
    asked_first = sorted(night.experiences, key=lambda item: item.prompt.strip() not in own)
    taught, held_out = ([Example(conversation(item.prompt, item.response, item.context if in_context else ()), 1.0, "new",
                                 item.id, not item.trimmed) for item in group[:64]]
                        for group, in_context in ((asked_first, False), (night.held_out, night.config.data.context > 0)))
    trained_with = night.record["train"].get("micro_batch") or LOSSES_AT_ONCE
    with Attempt(night.state / "judging-attempt.json", night.config.gate.batch) as attempt:
        def shrunk(at_once: int, why: str) -> None:
            night.events("shrunk", asked_at_once=at_once, reason=why)

        if attempt.reason:
            shrunk(attempt.size, attempt.reason)
        hearing = hear(night.base, night.device, night.config, night.parent_folder, night.state / "candidate", confirm, taught,
                       held_out, at_once=attempt.size, forward_size=min(LOSSES_AT_ONCE, trained_with, attempt.size),
                       time_left=night.contract.remaining, clock=night.clock,
                       between=lambda done, total: questions.give_way(night, done, total),
                       look=lambda: questions.step_aside(night),
                       on_shrink=lambda at_once, who: shrunk(at_once, f"out of memory: {who}"),
                       lessons=questions.lessons(night, buffer),
                       memories=Memories(buffer.items("kept")) if night.config.gate.rival else None)
    verdict = gate.decide(hearing.judgement.numbers, night.config.gate)
    outcome = exam.document(verdict, hearing.judgement, select, confirm, night.config.companion) | {"rival": hearing.rival}
    night.events("verdict", verdict=verdict.outcome.value, reasons=verdict.reasons)
    write_sealed(night.state / "verdict.json", {"gate": outcome, "effect": hearing.effect,
                                              "chat_template": hearing.chat_template})


def settle(night: Night, buffer: Buffer) -> tuple[Outcome, str]:
    """Carry out the verdict. Every step may be repeated after a power cut; current.json is the promotion."""
    document = read_sealed(night.state / "verdict.json", "verdict")
    night.record["gate"] = document["gate"]
    contest.recorded(night)
    outcome = Outcome(document["gate"]["verdict"])
    reason = "\n".join(document["gate"]["reasons"])
    candidate = read_sealed(night.state / "candidate.json", "candidate")
    night.record["candidate"] = candidate["id"]
    if outcome is Outcome.REJECTED:
        _set_aside(night, buffer)
    if outcome is not Outcome.PROMOTED:
        return outcome, reason
    final = night.home.adapter(candidate["id"])
    if not final.is_dir():
        manifest.publish(night.state / "candidate", final, document["effect"])
    store.promote(night.home, candidate["id"], base=night.base.entry(), chat_template=document["chat_template"],
                  system_prompt=night.config.companion.system_prompt, night=night.id, clock=night.clock)
    buffer.mark_trained(night.id, candidate["id"], [item.id for item in night.experiences])
    return outcome, reason


def _set_aside(night: Night, buffer: Buffer) -> None:
    """Quarantine what was part of two rejected nights: one bad day must not cost every night that follows."""
    before = {identity for old in read_records(night.home.nights)
              if old["outcome"] == Outcome.REJECTED.value and old["night"] != night.id
              for identity in old["data"].get("experiences") or []}
    twice = [item.id for item in night.experiences if item.id in before]
    for identity in twice:
        buffer.quarantine(identity, QuarantineReason.REJECTED_TWICE.value)
    if twice:
        night.events("set_aside", experiences=twice, reason="part of two rejected nights; `experiences release` overrules")
