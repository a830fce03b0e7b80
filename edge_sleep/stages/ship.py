"""A night that is trained elsewhere: decided, packed, sent.

What is sent lies in jobs/<id>/ before anybody sees it, so whatever is cut, a later start goes on (stages/result.py).
"""
from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from edge_sleep.checkpoint import manifest
from edge_sleep.device import environment, memory
from edge_sleep.device.doctor.torch_probes import check_nf4
from edge_sleep.errors import Outcome
from edge_sleep.model import shape
from edge_sleep.stages import choose, learn, result
from edge_sleep.stages.context import Ended, Night
from edge_sleep.system.files import TEMPORARY, read_json, read_sealed, storage_errors, write_bytes, write_json, write_sealed
from edge_sleep.thor import ledger
from edge_sleep.thor import ship as policy
from edge_sleep.thor.ship import Cause, Decision, Here, There
from edge_sleep.train import anatomy, planner
from edge_sleep.train import state as training_state

if TYPE_CHECKING:
    from edge_sleep.seal.keys import Keys

_STOPS = {Outcome.STOPPED_TIME: Cause.TIME, Outcome.STOPPED_HEAT: Cause.HEAT, Outcome.DOES_NOT_FIT: Cause.MEMORY}


def staged(night: Night) -> bool:
    """Whether there is a candidate to judge, or a verdict to carry out, wherever it was trained."""
    return (night.state / "verdict.json").is_file() or (night.state / "candidate" / manifest.NAME).is_file()


def decide(night: Night, plan: planner.Plan, stopped: Ended | None = None) -> Decision:
    """Where tonight is trained, told in the record. stopped: training had begun here, and this ended it."""
    there = _there(night, stopped is not None)
    here = _here(night, plan, stopped)
    decision = policy.decide(here, there)
    if decision.where == "here" and stopped is None and not decision.against and (why := _no_backward(night)) is not None:
        decision = policy.decide(replace(here, no_backward=why), there)
    if there.mailbox or night.request.ship:
        night.record["plan"]["reasons"] += [str(line) for line in decision.reasons]
        for entry in night.record["environment"]["device_order"]:
            if entry["device"] == "another machine":
                entry |= {"taken": decision.where == "remote", "reason": str(decision) or "this machine can do it"}
        night.events("ship", where=decision.where, reason=str(decision), against=list(decision.against))
    if decision.where == "remote":
        night.record["plan"]["where"] = "remote"
    return decision


def send(night: Night, plan: planner.Plan, decision: Decision) -> Ended | None:
    """Seal tonight for the paired machines and put it into the mailbox. Returns what the night ends with; None: it goes on.

    Where the mailbox cannot be reached, night.not_shipped says so, and the job waits in the home.
    """
    if ledger.away(night.home, night.id) is not None:
        return None                                # packed, and the mailbox was not to be reached a moment ago
    with night.recorder.phase("ship") as entry:
        record = _packed(night, plan, decision)
        ended = result.bring_on(night, record)
        entry["outcome"] = "done" if ended is None else ended[0].value
        return ended


def why_nowhere(night: Night, plan: planner.Plan, decision: Decision) -> str:
    """What ends a night that neither this machine nor another trains."""
    why = plan.choices[0]["reason"] if plan.where == "none" else next(
        line.reason for line in decision.reasons if line.name == Cause.BACKWARD.value)
    if night.not_shipped:
        return f"{why}; {night.not_shipped}"
    return f"{why}; not shipped: {'; '.join(decision.against)}" if night.config.thor.mailbox else why


def midway(night: Night, plan: planner.Plan, outcome: Outcome, reason: str) -> Ended | None:
    """Training stopped here with steps left: send it on from where it is, or end as it stopped."""
    if outcome not in _STOPS:
        return outcome, reason
    decision = decide(night, plan, (outcome, reason))
    if decision.where != "remote":
        told = bool(night.config.thor.mailbox) and night.config.thor.ship != "never"
        return outcome, f"{reason}; not shipped: {'; '.join(decision.against)}" if told else reason
    ended = send(night, plan, decision)
    if ended is None and not staged(night):
        return outcome, f"{reason}; {night.not_shipped}"
    return ended


def _here(night: Night, plan: planner.Plan, stopped: Ended | None) -> Here:
    config, device = night.config, night.device
    standing = planner.HOST_BYTES[device.kind] + anatomy.standing_bytes(
        shape.read(night.place.folder), dtype=device.compute_dtype, rank=config.lora.rank, targets=config.lora.targets,
        int8_embedding=night.base.int8_embedding)
    ahead = night.pace.expected()
    return replace(
        learn.here(config, plan), standing_bytes=standing, total_bytes=memory.total_bytes(),
        hottest_celsius=night.pace.max_celsius, ceiling_celsius=night.pace.limits.ceiling,
        duty=None if ahead is None else ahead.duty,
        stopped=None if stopped is None else (_STOPS[stopped[0]], stopped[1]))


def _there(night: Night, begun: bool) -> There:
    asked, configured = night.config.thor.ship, bool(night.config.thor.mailbox)
    paired, unusable = learn.paired_machines(night.home) if configured and asked != "never" else (0, None)
    sent = ledger.of_night(night.home, night.id)
    declined = [one["reason"] for one in sent if one["state"] == ledger.CANCELLED and one["declined"]]
    return There("always" if night.request.ship and asked != "never" else asked, configured, paired, unusable,
                 sum(one["state"] == ledger.REFUSED for one in sent), declined[-1] if declined else None,
                 any(one["overdue"] for one in sent), begun and night.candidates > 1)


def _keys(night: Night) -> Keys:
    from edge_sleep.seal.keys import Keys

    return Keys.open(night.home.keys, clock=night.clock)


def _no_backward(night: Night) -> str | None:
    """Why no 4-bit layer runs backward on this CPU, tried in another process once a boot; a GPU was tried when it was chosen."""
    if night.device.kind != "cpu":
        return None
    known, boot = night.home.cache / "backward.json", night.clock.boot()
    found = read_json(known, "probe") if known.is_file() else {}
    if not boot or found.get("boot") != boot:
        check = check_nf4(True)
        found = {"boot": boot, "why": None if check.status == "ok" else check.found}
        write_json(known, found)
    return found["why"]


def _packed(night: Night, plan: planner.Plan, decision: Decision) -> dict:
    """The job, sealed in its folder, with its record: from here on it is known to every later start."""
    from edge_sleep.seal import envelope
    from edge_sleep.thor import bundle, job

    _alone(night)
    keys, config, state = _keys(night), night.config, night.state
    reached = training_state.latest(state)
    if config.train.patience and not (state / bundle.HELD_OUT).is_file():
        training_state.write_examples(state, learn.held_out_examples(night), bundle.HELD_OUT)
    files = bundle.files_of_a_night(state, night.parent_folder, reached)
    planned = read_sealed(state / "plan.json", "plan")
    # How it had begun here; what begins elsewhere is made to fit there.
    fit = asdict(plan.fit) if reached is None else read_sealed(state / "training.json", "training settings")
    asked = job.make(
        home=keys.own.id, night=night.id, parent=night.parent, experiences=tuple(planned["experiences"]),
        base=job.BaseOf.model_validate(night.base.entry() | {"quantisation": night.base.quantisation,
                                                             "compute_dtype": night.base.compute_dtype}),
        settings=job.Settings(lora=config.lora, train=config.train, system_prompt=config.companion.system_prompt,
                              max_tokens=config.data.max_tokens),
        fit=job.FitOf(**fit), training_seconds=plan.training_seconds, budget_seconds=config.thor.patience,
        deadline=(night.clock.now() + timedelta(seconds=config.thor.patience)).isoformat(timespec="milliseconds"),
        resume_step=None if reached is None else int(reached.name.removeprefix("step-")), files=job.listed(files),
        versions=environment.versions())
    folder, to = ledger.folder(night.home, asked.id), keys.peers
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / bundle.JOB, job.written(asked))
    plain = folder / f"{TEMPORARY}bundle.zip"
    try:
        bundle.pack(asked, files, plain)
        envelope.seal(plain, folder / "bundle.sealed", keys, to, f"job:{asked.id}")
    finally:
        plain.unlink(missing_ok=True)
    record = ledger.blank("edge", asked.id, ledger.PACKED) | {
        "night": night.id, "home": keys.own.id, "base": night.base.sha256, "parent": night.parent,
        "data_sha256": planned["data_sha256"], "key": planned["key"], "resumed_from": asked.resume_step, "declined": False,
        "overdue": False, "reasons": [str(line) for line in decision.reasons],
        "reason": str(decision), "workers": [one.id for one in to], "bytes": (folder / "bundle.sealed").stat().st_size,
        "packed": night.clock.stamp()}
    ledger.write(night.home, record)
    night.events("packed", job=asked.id, bytes=record["bytes"], resumed_from=asked.resume_step)
    return record


def _alone(night: Night) -> None:
    """Of several candidates the configured one is sent; the night is planned as one of it."""
    if night.candidates == 1:
        return
    night.candidates = 1
    night.record["key"] = choose.attempt(night)
    planned = read_sealed(night.state / "plan.json", "plan")
    write_sealed(night.state / "plan.json", planned | {"candidates": 1, "key": night.record["key"]})
    shutil.rmtree(night.state / "variants", ignore_errors=True)
