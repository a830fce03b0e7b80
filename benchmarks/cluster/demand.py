"""What a fleet asks of a cluster: which companion ships a night when, and until when its adapter must be back.

Everything is drawn at once, from one seed; times are seconds since the first midnight in the easternmost zone.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy

DAY, HOUR = 86400.0, 3600.0


@dataclass(frozen=True)
class Fleet:
    """Companions and their rhythm. Hours are local; spreads are standard deviations, kept to twice of them."""

    companions: int
    days: int = 7
    zones: tuple[float, ...] = (0.0,)               # hours to UTC, as many companions in each
    ships: float = 1.0                              # share of nights that are trained elsewhere
    bedtime: float = 23.0
    bedtime_spread: float = 1.0                     # from one companion to another
    morning: float = 7.0
    morning_spread: float = 1.0
    jitter: float = 0.25                            # from one night to another, of both
    judging: float = 0.5                            # hours before the morning that the edge needs to judge what comes back
    size_spread: float = 0.35                       # of the logarithm of a night's work and words
    patience: float = 20.0                          # hours after which a job is taken back (thor.patience)


@dataclass(frozen=True)
class Jobs:
    """Arrays with one entry a job, in the order in which they are shipped."""

    companion: numpy.ndarray                        # number
    shipped: numpy.ndarray                          # when the edge begins to send, seconds
    due: numpy.ndarray                              # when the result must have arrived there for this night, seconds
    until: numpy.ndarray                            # when the job is taken back, seconds
    seconds: numpy.ndarray                          # of work on one GPU
    bundle: numpy.ndarray                           # bytes
    result: numpy.ndarray                           # bytes
    base: numpy.ndarray                             # number of the base it is trained on

    def __len__(self) -> int:
        return len(self.shipped)


def spread(chance: numpy.random.Generator, scale: float, size: int | tuple[int, ...]) -> numpy.ndarray:
    return scale * numpy.clip(chance.standard_normal(size), -2.0, 2.0)


def draw(fleet: Fleet, *, seconds: float, words_bytes: float, adapter_bytes: float, bases: int = 1, seed: int = 0) -> Jobs:
    """The jobs of all nights. seconds, words_bytes: means; adapter_bytes travel there and back and do not vary."""
    chance = numpy.random.default_rng(seed)
    count, nights = fleet.companions, fleet.days
    zone = numpy.asarray(fleet.zones)[numpy.arange(count) % len(fleet.zones)]
    bedtime = fleet.bedtime + spread(chance, fleet.bedtime_spread, count)
    morning = 24.0 + fleet.morning + spread(chance, fleet.morning_spread, count)
    base = chance.integers(bases, size=count)
    each = (nights, count)
    midnight = numpy.arange(nights)[:, None] * 24.0 - zone[None, :] + max(0.0, max(fleet.zones))
    shipped = (midnight + bedtime + spread(chance, fleet.jitter, each)) * HOUR
    due = (midnight + morning + spread(chance, fleet.jitter, each) - fleet.judging) * HOUR
    sized = numpy.exp(fleet.size_spread * chance.standard_normal(each) - fleet.size_spread ** 2 / 2)
    ships = chance.random(each) < fleet.ships
    order = numpy.argsort(shipped[ships], kind="stable")
    companion = numpy.broadcast_to(numpy.arange(count), each)[ships][order]
    factor = sized[ships][order]
    adapter = numpy.full(len(order), float(round(adapter_bytes)))
    sent = shipped[ships][order]
    return Jobs(companion, sent, due[ships][order], sent + fleet.patience * HOUR, factor * seconds,
                numpy.rint(factor * words_bytes) + adapter, adapter, base[companion])
