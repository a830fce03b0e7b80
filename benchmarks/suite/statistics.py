"""What rounds say: the median with its noise, a ratio from pairs, a fitted exponent, and whether two runs say the same.

The noise of a median is the interval between two order statistics: whatever the rounds' distribution, it covers the true median
with a probability that is known (binomial). Five rounds and their whole range: .94.
"""
from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

WANTED = 0.9                     # coverage of the interval, where there are rounds enough for it
# Below one percent two medians are never told apart: pages, clocks and sleeping threads are that coarse.
RESOLUTION = 0.01
# Two-sided 95 % of Student's t by degrees of freedom; beyond the last the normal's.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


@dataclass(frozen=True)
class Summary:
    """low to high covers the true median with probability `coverage`; one round covers nothing (0)."""

    median: float
    q1: float
    q3: float
    low: float
    high: float
    coverage: float
    n: int

    def document(self) -> dict[str, float | int]:
        return asdict(self)


def summary(values: Sequence[float]) -> Summary:
    """Of at least one round."""
    found = sorted(values)
    n = len(found)
    q1, _, q3 = statistics.quantiles(found, n=4, method="inclusive") if n > 1 else (found[0],) * 3
    cut, covered = 0, coverage(n, 0)
    while coverage(n, cut + 1) >= WANTED:
        cut, covered = cut + 1, coverage(n, cut + 1)
    return Summary(statistics.median(found), q1, q3, found[cut], found[n - 1 - cut], covered, n)


def coverage(n: int, cut: int) -> float:
    """Probability that the true median lies between the order statistics cut and n-1-cut (from 0) of n independent values."""
    if 2 * cut >= n:
        return 0.0
    return max(0.0, 1 - 2 * sum(math.comb(n, below) for below in range(cut + 1)) / 2 ** n)


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round: what drifts from minute to minute is in both and falls out."""
    if len(over) != len(under):
        raise ValueError(f"{len(over)} rounds beside {len(under)}: ratios are of rounds taken in turns")
    return [above / below for above, below in zip(over, under, strict=True)]


def same(one: Summary, other: Summary) -> bool:
    """Whether two runs agree within their noise: their intervals touch, or the medians are a resolution apart at most.

    Where nothing changed, five rounds each lie wholly beyond each other once in 126.
    """
    gap = max(one.low, other.low) - min(one.high, other.high)
    return gap <= 0 or abs(one.median - other.median) <= RESOLUTION * max(abs(one.median), abs(other.median))


@dataclass(frozen=True)
class Power:
    """y = scale * x ** exponent, by least squares of the logarithms; low to high: 95 % of the exponent by Student's t."""

    scale: float
    exponent: float
    low: float
    high: float
    n: int

    def at(self, x: float) -> float:
        return self.scale * x ** self.exponent

    def reaches(self, y: float) -> float | None:
        """Where the curve comes to y; None where it does not rise."""
        return (y / self.scale) ** (1 / self.exponent) if self.exponent > 1e-6 else None


def power(points: Sequence[tuple[float, float]]) -> Power:
    """The exponent of points with positive coordinates. Raises ValueError for fewer than three or for one x alone."""
    if len(points) < 3 or any(x <= 0 or y <= 0 for x, y in points):
        raise ValueError(f"an exponent needs three points above zero, not {list(points)}")
    logs = [(math.log(x), math.log(y)) for x, y in points]
    n = len(logs)
    mean_x, mean_y = (sum(column) / n for column in zip(*logs, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in logs)
    if spread <= 0:
        raise ValueError("an exponent needs points at different x")
    slope = sum((x - mean_x) * (y - mean_y) for x, y in logs) / spread
    residual = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in logs)
    half = (_T[n - 3] if n - 3 < len(_T) else 1.96) * math.sqrt(max(0.0, residual) / (n - 2) / spread)
    return Power(math.exp(mean_y - slope * mean_x), slope, slope - half, slope + half, n)
