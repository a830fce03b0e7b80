"""Tonight's two sets of questions, and asking the `select` one."""
from __future__ import annotations

from pathlib import Path

from edge_sleep.data.augment.rewording import probe_rewordings
from edge_sleep.data.buffer import Buffer
from edge_sleep.errors import Preempted, TooHot
from edge_sleep.evaluate import exam
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.recital import Lessons
from edge_sleep.stages.context import Night, interrupted


def compose(night: Night) -> tuple[list[Probe], list[Probe]]:
    """(select, confirm): disjoint, the same at every start of this night."""
    return exam.compose(night.experiences, base_folder=night.place.folder, settings=night.config.gate, salt=night.id,
                        reword=probe_rewordings, user_files=[Path(name).expanduser() for name in night.config.gate.probes])


def lessons(night: Night, buffer: Buffer) -> Lessons:
    """What was taught in earlier nights, and tonight."""
    return Lessons((item.prompt, item.response) for item in (*buffer.trained(), *night.experiences))


def give_way(night: Night, done: int, total: int) -> None:
    """Say how far it is, and rest as heat and power want it; raises Preempted where somebody wants the device, TooHot."""
    night.events("probe", done=done, total=total)
    halt = night.pace.rest(lambda: interrupted(night) is not None or night.contract.remaining() <= 0)
    step_aside(night)
    if halt is not None:
        raise TooHot(f"{halt.cause.value}: {halt.reason}; the trained candidate is kept and judged next time")


def step_aside(night: Night) -> None:
    """Raises Preempted where somebody wants the device."""
    if why := interrupted(night):
        raise Preempted(f"{why}; the trained candidate is kept and judged next time")


def ask(night: Night, candidate: Path, select: list[Probe], *, with_others: bool) -> tuple[dict[str, dict] | None, float]:
    """(what the candidate answers to every select probe, and base and incumbent where wanted; seconds).

    The answers are by state and probe id, (text, ended by itself) each; None where the time before the gate's reserve ran out.
    """
    from edge_sleep.evaluate.court import question

    others: dict[str, Path | None] = {"base": None, **({"before": night.parent_folder} if night.parent else {})}
    began = night.clock.monotonic()
    said = question(night.base, night.device, night.config, {**(others if with_others else {}), "after": candidate}, select,
                    time_left=night.contract.for_training, clock=night.clock,
                    between=lambda done, total: give_way(night, done, total), look=lambda: step_aside(night))
    seconds = round(night.clock.monotonic() - began, 3)
    if said is None:
        return None, seconds
    answers = {state: {probe.id: answer for probe, answer in zip(select, given, strict=True)} for state, given in said.items()}
    if with_others:
        answers.setdefault("before", answers["base"])    # without an incumbent, before is the base
    return answers, seconds
