"""How fast an artefact speaks on this machine, beside the judged form: measured when it is made, and kept in its manifest."""
from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from edge_sleep.device.detect import Device
from edge_sleep.device.environment import cores, processor
from edge_sleep.export.artefact import Made
from edge_sleep.serve.runtime import Options, Runtime

_TOKENS, _CALLS = 48, 12


@dataclass(frozen=True)
class Speed:
    """Tokens a second of greedy decoding after a short prompt, the prompt's own time left out; judged: of the 4-bit base with the
    adapter on it, measured beside. where: the machine; runtime: package and version."""

    tokens_per_second: float
    judged: float
    where: str
    runtime: str

    def as_json(self) -> dict:
        return asdict(self)


def where(device: Device) -> str:
    """This kind of machine. Two boards of one model are one: so may a restored home keep what was measured."""
    return f"{processor()}, {cores()} cores, {device.torch_name}"


def of(made: Made, here: str) -> Speed | None:
    """What was measured of an artefact, where it was measured here and its runtime is installed as it was then."""
    from edge_sleep.serve.exported import KINDS

    kept, kind = made.document.get("speed"), KINDS.get(made.document["kind"])
    if kept is None or kind is None or kept["where"] != here or kind.version() != kept["runtime"]:
        return None
    return Speed(**kept)


def decoding(live: Runtime, prompt: list[int]) -> float:
    """Tokens a second after the first of each answer, over answers that are together long enough."""
    made, seconds = 0, 0.0
    _answer(live, prompt, 4)               # what is compiled or read at first use
    for _ in range(_CALLS):
        times = _answer(live, prompt, _TOKENS)
        made, seconds = made + len(times) - 1, seconds + times[-1] - times[0]
        if made >= _TOKENS - 1:
            break
    return made / seconds if seconds > 0 else 0.0


def _answer(live: Runtime, prompt: list[int], most: int) -> list[float]:
    times: list[float] = []

    def on_token(_: int) -> bool:
        times.append(time.perf_counter())
        return False

    live.generate(prompt, Options(most), on_token)
    return times
