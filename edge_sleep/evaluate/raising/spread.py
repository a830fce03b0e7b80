"""A set of answers as different answers: which are the same, how much of each is its own, whether the set collapsed."""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import fsum

from edge_sleep.data.words import normalised
from edge_sleep.evaluate.raising.reading import Reading

FEWEST = 3                                # answers before their likeness is a pattern
LEAST_OWN = 0.5                           # `Spread.own` below which a set is collapsed; see the package's docstring
_RETURNING = 0.25                         # prompts with one short answer, as a share of the different answers
_MOSTLY = 0.5
_FEWEST_ASKING = 4                        # different answers before their asking is a pattern, as in quality/inversion.py


@dataclass(frozen=True)
class Spread:
    """The answers of one set, each read once.

    Answers with the same set of words are one answer, however their words are repeated or ordered: a class.
    """

    readings: Sequence[Reading]

    @cached_property
    def classes(self) -> dict[frozenset[str], list[int]]:
        """The places of the answers of each class."""
        found: dict[frozenset[str], list[int]] = {}
        for place, reading in enumerate(self.readings):
            found.setdefault(reading.words, []).append(place)
        return found

    @cached_property
    def sound(self) -> list[bool]:
        """Not broken, nor one of many answers that only ask (one may clarify; most of a set are the other side's lines)."""
        asking = sum(self.readings[places[0]].only_asks for places in self.classes.values())
        inverted = len(self.classes) >= _FEWEST_ASKING and asking > _MOSTLY * len(self.classes)
        return [not reading.broken and not (inverted and reading.only_asks) for reading in self.readings]

    @cached_property
    def fresh(self) -> list[float]:
        """How much of each answer is its own, in (0, 1]: the mean over its different words of 1/m.

        m is the largest number of classes that share a run of words around that word. Said to m prompts, it counts
        once among them. By words, not by runs, since a word said again is no new word. Short answers are their own.
        """
        holders: Counter[tuple[str, ...]] = Counter()
        for places in self.classes.values():
            holders.update(frozenset().union(*(self._shared(place) for place in places)))
        result = []
        for place, reading in enumerate(self.readings):
            most = dict.fromkeys(reading.words, 1)
            for run in self._shared(place):
                for word in run:
                    most[word] = max(most[word], holders[run])
            result.append(fsum(1 / times for times in most.values()) / len(most) if most else 1.0)
        return result

    def _shared(self, place: int) -> frozenset[tuple[str, ...]]:
        reading = self.readings[place]
        return frozenset() if reading.short or reading.honest else reading.runs

    def turns(self, places: Sequence[int]) -> int:
        """For how many prompts the answer at `places` was given.

        Once is enough for an honest one, however often it is true, and for a short one while the set holds many others:
        several questions may have one fact for an answer.
        """
        prompts = len({normalised(self.readings[place].answer.prompt) for place in places})
        if all(self.readings[place].honest for place in places):
            return 1
        may_return = self.readings[places[0]].short and prompts <= _RETURNING * len(self.classes)
        return 1 if may_return else prompts

    @cached_property
    def own(self) -> float:
        """The share of the set, in [0, 1], that is sound and said once. Repeating lowers it, and never raises it."""
        kept = fsum(min(self.sound[place] * self.fresh[place] for place in places) for places in self.classes.values())
        return kept / sum(map(self.turns, self.classes.values())) if self.classes else 1.0

    @property
    def collapsed(self) -> bool:
        return len(self.readings) >= FEWEST and self.own < LEAST_OWN
