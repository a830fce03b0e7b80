"""One loaded base with incumbent and candidate beside each other: judged as it will be served."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from edge_sleep.config import Config
from edge_sleep.data.dataset import TokenisedExample, tokenise_all
from edge_sleep.data.experience import Example, Message
from edge_sleep.data.retrieve import Memories
from edge_sleep.device.detect import Device
from edge_sleep.device.limit import felt
from edge_sleep.device.shortage import Portions
from edge_sleep.evaluate import character
from edge_sleep.evaluate.answers import canary_logits, generate, speaking_as
from edge_sleep.evaluate.judge import Judgement, judge
from edge_sleep.evaluate.probes import Probe
from edge_sleep.evaluate.recital import Lessons
from edge_sleep.evaluate.rival import MEMORIES, compete
from edge_sleep.model import adapter
from edge_sleep.model.base import Base, LoadedBase, context_length, load
from edge_sleep.model.forwards import looking_inside
from edge_sleep.system.clock import Clock
from edge_sleep.system.imports import looking

Item = TypeVar("Item")
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Hearing:
    judgement: Judgement
    effect: dict                 # what `verify` repeats later
    chat_template: str
    rival: dict | None = None    # evaluate/rival.py


def _seated(base: Base, device: Device, adapters: Mapping[str, Path | None],
            look: Callable[[], None]) -> tuple[LoadedBase, Any]:
    """(The base loaded afresh, the same with these adapters beside each other); None is the base itself."""
    loaded = load(base, device, look)
    model: Any = loaded.model
    first = True
    with looking(look):
        for name, folder in adapters.items():
            if folder is None:
                continue
            if first:
                model, first = adapter.attach_saved(model, folder, trainable=False, name=name), False
            else:
                adapter.check(folder)
                model.load_adapter(str(folder), adapter_name=name, is_trainable=False)
    model.eval()
    return loaded, model


def question(base: Base, device: Device, config: Config, adapters: Mapping[str, Path | None], probes: Sequence[Probe], *,
             time_left: Callable[[], float], clock: Clock, between: Callable[[int, int], None],
             look: Callable[[], None] = lambda: None) -> dict[str, list[tuple[str, bool]]] | None:
    """What the model says under each of `adapters` (None: the base itself) to every probe: (text, ended by itself).

    None where the time ran out before all were asked. between(done, total) may raise to give way; so may look(), called
    from weight to weight while the base is loaded, and inside every forward.
    """
    loaded, model = _seated(base, device, adapters, look)
    said: dict[str, list[tuple[str, bool]]] = {name: [] for name in adapters}

    def ask(batch: Sequence[Probe]) -> None:
        conversations = [probe.messages for probe in batch]
        for name, folder in adapters.items():
            with speaking_as(model, name if folder is not None else None):
                said[name] += generate(model, loaded.tokenizer, conversations, config.companion.system_prompt,
                                       config.gate.max_new_tokens)

    with looking_inside(look):
        return said if _in_time(probes, config.gate.batch, ask, time_left=time_left, clock=clock, between=between) else None


def _in_time(items: Sequence[Item], at_once: int, ask: Callable[[Sequence[Item]], None], *, time_left: Callable[[], float],
             clock: Clock, between: Callable[[int, int], None]) -> bool:
    """Ask batch by batch; False where the time that is left is less than the slowest took, before all were asked."""
    slowest = 0.0
    for start in range(0, len(items), at_once):
        if time_left() < 1.2 * slowest:
            return False
        began = clock.monotonic()
        batch = items[start:start + at_once]
        ask(batch)
        slowest = max(slowest, clock.monotonic() - began)
        between(start + len(batch), len(items))
    return True


def hear(base: Base, device: Device, config: Config, incumbent: Path | None, candidate: Path,
         probes: Sequence[Probe], taught: Sequence[Example], held_out: Sequence[Example], *,
         at_once: int, forward_size: int, time_left: Callable[[], float], clock: Clock, between: Callable[[int, int], None],
         on_shrink: Callable[[int, str], None], lessons: Lessons, memories: Memories | None = None,
         look: Callable[[], None] = lambda: None) -> Hearing:
    """Load the base afresh, attach both adapters, ask every probe of each.

    at_once: questions asked at once; forward_size: examples whose loss is measured at once. on_shrink(at_once, who):
    memory ran out, and from now on fewer are. lessons: what was taught so far. memories: what the rival may look up; None
    asks no rival. between, look: as in `question`.
    """
    loaded, model = _seated(base, device, {BEFORE: incumbent, AFTER: candidate}, look)

    longest = min(config.data.max_tokens, context_length(model) or config.data.max_tokens)

    def tokens(examples: Sequence[Example]) -> list[TokenisedExample]:
        return tokenise_all(loaded.tokenizer, examples, config.companion.system_prompt, longest)[0]

    questions = [(example.messages[-2]["content"], one) for example in taught for one in tokens([example])]
    with felt(device.kind, config.budget.memory_bytes) as limit, looking_inside(look):
        def after_a_batch(done: int, total: int) -> None:
            if limit is not None:
                limit.refresh()
            between(done, total)

        with speaking_as(model, None):
            of_base = canary_logits(model, loaded.tokenizer, config.companion.system_prompt)
        with speaking_as(model, AFTER):
            of_candidate = canary_logits(model, loaded.tokenizer, config.companion.system_prompt)
        judgement = judge(model, loaded.tokenizer, incumbent=BEFORE if incumbent else None, candidate=AFTER,
                          probes=probes, held_out=tokens(held_out), taught=questions,
                          system_prompt=config.companion.system_prompt, persona=character.setting(config.companion),
                          lessons=lessons, max_new_tokens=config.gate.max_new_tokens,
                          batch_size=at_once, forward_size=forward_size, time_left=time_left,
                          monotonic=clock.monotonic, between=after_a_batch, on_shrink=on_shrink)

        def of_the_base(conversations: Sequence[Sequence[Message]]) -> list[tuple[str, bool]] | None:
            said: list[tuple[str, bool]] = []

            def ask(batch: Sequence[Sequence[Message]]) -> None:
                with speaking_as(model, None):
                    said.extend(generate(model, loaded.tokenizer, batch, config.companion.system_prompt,
                                         config.gate.max_new_tokens, Portions(at_once, on_shrink)))

            whole = _in_time(conversations, at_once, ask, time_left=time_left, clock=clock, between=after_a_batch)
            return said if whole else None

        rival = None if memories is None else compete(judgement.asked, lambda asked: memories.top(asked, MEMORIES), of_the_base)
    return Hearing(judgement, {"canary_mean_abs_logit_difference": (of_candidate - of_base).abs().mean().item()},
                   loaded.tokenizer.chat_template, rival)
