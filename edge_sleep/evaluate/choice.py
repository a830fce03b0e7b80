"""Which of tonight's candidates goes to the gate: chosen on the `select` questions alone, within their noise. Pure.

The more candidates are compared, the luckier the best of them looks (the winner's curse). Half of the cure is here: one
that differs from the configured settings has to beat them by more than luck does, given how many tried. The other half
is the gate, which asks the winner other questions.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A point of what it could do, and of honesty, outweighs two of tonight's lesson: the gate tolerates losses of two and
# three points, and a person has asked far more of it before than was taught today.
WEIGHTS = {"recall": 1.0, "retention": 2.0, "unknowns": 2.0}
# Chance that any other wins by luck alone, over all of them. Not stricter: who wins by luck among equals is as good, and the
# gate asks anew; but at .05 a night of nine things to ask kept settings that recalled half as much (LOG.md).
LEVEL = 0.2
DRAWS = 20_000

ALONE = "as configured: no other candidate was finished"

Right = Mapping[str, Sequence[float]]    # kind -> share right of each thing asked for, in the same order for every candidate


@dataclass(frozen=True)
class Standing:
    """How one candidate answered; vetoes: what the gate would refuse it for, on these questions."""

    name: str
    right: Right
    vetoes: Sequence[str] = ()


@dataclass(frozen=True)
class Choice:
    index: int
    reason: str


def score(right: Right) -> float:
    """Weighted sum of the shares answered right; a kind without questions counts nothing."""
    return sum(WEIGHTS[kind] * sum(values) / len(values) for kind, values in right.items() if values)


def luck(first: Right, other: Right, seed: int = 7) -> float:
    """Probability of a score so far above `first`'s where both are equally good: a paired sign-flip test (Fisher 1935).

    What is flipped is a thing, not a wording of it: wordings stand and fall together. Exact for few, where a bootstrap
    calls one lucky answer certain.
    """
    import numpy

    parts = numpy.concatenate([WEIGHTS[kind] / len(values) * (numpy.asarray(other[kind], float) - numpy.asarray(values, float))
                               for kind, values in first.items() if values] or [numpy.zeros(0)])
    parts = parts[parts != 0]
    if parts.sum() <= 0:
        return 1.0
    signs = numpy.random.default_rng(seed).integers(0, 2, (DRAWS, len(parts)), dtype=numpy.int8) * 2 - 1
    as_far = int((signs @ parts >= parts.sum() - 1e-12).sum())
    return (1 + as_far) / (1 + DRAWS)


def choose(standings: Sequence[Standing]) -> Choice:
    """The winner, with the reason. The first standing is the configured settings': ties and doubts go to it."""
    configured, *others = standings
    if not others:
        return Choice(0, ALONE)
    sound = [index for index, standing in enumerate(standings) if not standing.vetoes]
    if not sound:
        return Choice(0, f"as configured: every candidate would be refused ({configured.vetoes[0]})")
    best = max(sound, key=lambda index: (score(standings[index].right), -index))
    if 0 not in sound:
        return Choice(best, f"{standings[best].name}: the best of {len(sound)} that would not be refused, as the configured "
                            f"settings would be ({configured.vetoes[0]})")
    if best == 0:
        return Choice(0, f"as configured: none of {len(others)} others scored higher")
    gain = score(standings[best].right) - score(configured.right)
    chance, level = luck(configured.right, standings[best].right), LEVEL / len(others)
    if chance > level:
        return Choice(0, f"as configured: {standings[best].name} scored {gain:.3f} higher, which is within the noise of "
                         f"{len(others)} tries (p {chance:.3f}, {level:.4f} is needed)")
    return Choice(best, f"{standings[best].name}: scored {gain:.3f} higher than the configured settings, more than "
                        f"{len(others)} tries would by luck (p {chance:.4f}, {level:.4f} is needed)")
