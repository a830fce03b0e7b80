"""One night, every stage in order, on one page.

ingest -> select -> plan -> train -> judge -> gate -> promote or keep -> export -> queue for sync. Where this machine cannot train
it, or was told not to, another does (stages/ship.py), and a later start goes on at judge. What a power cut interrupts, the next
start finishes: state/ holds the plan and the training state, verdict.json a judged candidate.
"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

from edge_sleep.checkpoint import store
from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer
from edge_sleep.device import detect, environment, loans, shortage
from edge_sleep.device.explained import explained
from edge_sleep.device.neighbours.lease import Neighbours
from edge_sleep.device.power.lease import Power
from edge_sleep.errors import DoesNotFit, Outcome, Preempted, StorageError, SyncError, TooHot
from edge_sleep.model import base as base_model
from edge_sleep.model import four_bit
from edge_sleep.stages import choose, ends, export, learn, pacing, result, send, settle, ship
from edge_sleep.stages.context import Ended, Night, Request, interrupted
from edge_sleep.stages.learn import ahead as plan
from edge_sleep.system import state
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import sweep_temporaries
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold
from edge_sleep.system.record import Recorder, night_id
from edge_sleep.system.signals import Signals
from edge_sleep.train import team
from edge_sleep.train.budget import Contract
from edge_sleep.train.pace import unpaced
from edge_sleep.train.planner import Plan

__all__ = ["Request", "plan", "run"]


def run(home: Home, config: Config, request: Request, clock: Clock | None = None,
        listener: Callable[[dict], None] | None = None) -> dict[str, Any]:
    """Run one night (or finish an interrupted one) and return its record.

    Raises EdgeSleepError where the night cannot begin (lock, configuration, home) or something broke on
    the way; in the second case the record, with the outcome, is on disk as well.
    """
    clock = clock or Clock()
    started = clock.monotonic()
    home.make()
    with hold(home.night_lock, "a night"), Signals() as signals:
        sweep_temporaries(home.cache)      # by a night, not by each start: `prune` says what it removes there
        left_over = loans.put_back(home)
        Power(config.power, home.power_intent).check()
        Neighbours(config.neighbours, home.neighbours_intent).check()
        store.rebuild(home)
        found, considered = detect.tried(config.companion.compute_dtype, heard=four_bit.heard)
        device = base_model.settled(home, found)
        place = base_model.resolve(config.companion.model, config.companion.allow_download)
        unfinished = None if request.dry_run else ends.unfinished(home)
        identity = unfinished or night_id(home.nights, clock)
        folder = home.night(identity)
        folder.mkdir(parents=True, exist_ok=True)
        events = EventLog(folder / "events.jsonl", clock, state.telling(home, identity, clock, listener))
        base = learn.declare(home, place, config, device, clock.stamp())
        night = Night(home, config, request, clock, device, place, base,
                      Contract(clock, started, config.budget.time, 0.0), identity, events,
                      Recorder(folder / "record.json", identity, clock, events), signals, unpaced(clock),
                      candidates=config.train.candidates)
        night.record["environment"]["device_order"] = [asdict(one) for one in considered]
        events("night", state="resume" if unfinished else "begin", night=identity, device=device.reason)
        for event, facts in left_over:
            events(event, **facts)
        try:
            # Neighbours come back when the night's memory is free again and its end is on the disk.
            with pacing.of_night(night) as night.pace, \
                    Neighbours(config.neighbours, home.neighbours_intent, events) as neighbours:
                try:
                    ended = _stages(night, neighbours)
                except Exception as error:
                    if neighbours.changes:
                        shortage.let_go(error)
                    raise
                team.dismiss(device.kind == "gpu")
                if neighbours.changes:
                    shortage.give_back()
            if neighbours.changes:
                night.recorder.save()
            return ended
        except Exception as error:
            known = explained(error)
            with suppress(StorageError):
                if known is None:
                    ends.give_up(night, Outcome.FAILED, f"{type(error).__name__}: {error}", int(Outcome.FAILED.exit_code))
                else:
                    ends.give_up(night, known.outcome, known.message, int(known.exit_code))
            if known is None or known is error:
                raise
            raise known from error


def _stages(night: Night, neighbours: Neighbours) -> dict:
    record, phase = night.record, night.recorder.phase
    record["environment"] |= environment.describe() | {"device": night.device.reason, "sees": night.device.kind}
    record["base"] = night.base.entry()
    with Buffer(night.home.experiences) as buffer, ExitStack() as lent:
        with phase("ingest"):
            choose.ingest(night, buffer)
        with phase("select"):
            choose.watch_the_day(night, buffer)
            night.parent = record["parent"] = choose.whole_incumbent(night)
            enough = choose.select(night, buffer)
        if enough is not None:
            result.let_go(night)
            return ends.end(night, Outcome.NOTHING_TO_DO, enough)
        if not night.request.dry_run:
            if (why := interrupted(night)) is not None:        # a conversation may be talking with one of them
                return ends.end(night, Outcome.PREEMPTED, f"{why}; nothing was begun")
            if (away := result.come_back(night)) is not None:
                return ends.end(night, *away)
            neighbours.take()                  # before the plan: what they leave is what it counts on
            record["environment"]["neighbours"] = neighbours.changes
        with phase("plan"):
            plan = learn.plan(night)
        if night.request.dry_run:
            return ends.dry(night) if plan.where != "none" else ends.end(night, Outcome.DOES_NOT_FIT, plan.choices[0]["reason"])
        if not ship.staged(night):
            decision = ship.decide(night, plan)
            if decision.where == "remote" and (sent := ship.send(night, plan, decision)) is not None:
                return ends.end(night, *sent)
            if night.request.ship and not ship.staged(night):
                raise SyncError(night.not_shipped or f"not shipped: {'; '.join(decision.against)}", "`edge-sleep ship --status`")
            if not ship.staged(night) and not decision.stays:
                return ends.end(night, Outcome.DOES_NOT_FIT, ship.why_nowhere(night, plan, decision))
        result.tell(night)
        power = lent.enter_context(Power(night.config.power, night.home.power_intent, night.events))
        record["environment"]["power"] = power.changes

        if not (night.state / "verdict.json").is_file():
            if not ship.staged(night):
                result.stay(night)
                if (stopped := _train(night, plan)) is not None:
                    return ends.end(night, *stopped)
            try:
                with phase("judge"):
                    settle.judge(night, buffer)
            except (Preempted, TooHot) as error:
                return ends.end(night, error.outcome, error.message)
        with phase("promote"):
            outcome, reason = settle.settle(night, buffer)
    if outcome is Outcome.PROMOTED and night.config.export.kinds:
        with phase("export") as entry:
            why = export.export(night)
            entry["outcome"] = Outcome.PREEMPTED.value if why else "done"
        if why:                                # what is promoted stays so; the next start makes what is missing
            return ends.end(night, Outcome.PREEMPTED, f"{why}; the candidate is promoted, its exports are made next time")
    if outcome is Outcome.PROMOTED and send.wanted(night):
        with phase("sync") as entry:
            entry["outcome"] = send.send(night)
    return ends.end(night, outcome, reason)


def _train(night: Night, plan: Plan) -> Ended | None:
    """Train here. What stops it with steps left may go on elsewhere; None: there is a candidate to judge."""
    try:
        with night.recorder.phase("train") as entry:
            stopped = learn.train(night, plan)
            team.dismiss(night.device.kind == "gpu")
            if stopped is not None:
                entry["outcome"] = stopped[0].value
    except DoesNotFit as error:
        ended = ship.midway(night, plan, error.outcome, error.message)
        if ended is not None and ended[0] is error.outcome:
            raise
    else:
        ended = None if stopped is None else ship.midway(night, plan, *stopped)
    result.tell(night)
    return ended
