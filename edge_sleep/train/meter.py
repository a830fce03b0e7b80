"""What a power reading saw of work and of rests, so that a few readings a second tell the energy of a duty cycle.

A reading is some tenths of a second old and may be an average; how old, and over how long, nobody says. Both are found as what
explains the readings best: least squares of watts on the share that was worked in a window behind each of them. The slope is the
swing between rest and work, and energy is corrected by it for what the readings, by chance, saw too much of (a control variate).
Over a night any lag and window see work as often as it was done, so a poor fit costs precision and never bends the sum.
"""
from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import product

_READINGS = 120                        # that are fitted: the last minute
_EVERY = 20                            # readings between two fits
_RESTS = 400
_LAGS = tuple(step * 0.05 for step in range(11))        # seconds
_WINDOWS = (0.02, 0.1, 0.25)           # seconds
_LEAST_VARIANCE = 1e-3                 # of the share that was seen: without rests there is nothing to tell apart
_LEAST_EXPLAINED = 0.1                 # of the readings' variance; below, the fit is chance


class Meter:
    """Not for several threads at once: the pace calls it under its lock."""

    def __init__(self, lags: Sequence[float] = _LAGS, windows: Sequence[float] = _WINDOWS):
        self._lags, self._windows = lags, windows
        self._readings: deque[tuple[float, float]] = deque(maxlen=_READINGS)
        self._rests: deque[tuple[float, float]] = deque(maxlen=_RESTS)
        self._new = 0
        self.lag, self.window, self.swing = 0.0, windows[0], 0.0           # seconds, seconds, watts

    def rested(self, began: float, ended: float) -> None:
        """A rest is over."""
        if ended > began:
            self._rests.append((began, ended))

    def seen(self, at: float, resting_since: float | None = None) -> float:
        """Share of work that a reading of time `at` saw, in [0, 1]."""
        return self._worked(at - self.lag - self.window, at - self.lag, self._known(resting_since))

    def read(self, at: float, watts: float, resting_since: float | None = None) -> None:
        """Take up a reading; a service's is given again until it has a new one, and counts once."""
        if self._readings and self._readings[-1][0] == at:
            return
        self._readings.append((at, watts))
        self._new += 1
        if self._new >= _EVERY:
            self._new = 0
            self._fit(self._known(resting_since))

    def _known(self, resting_since: float | None) -> tuple[list[float], list[tuple[float, float]]]:
        rests = [*self._rests, *([(resting_since, float("inf"))] if resting_since is not None else [])]
        return [ended for _, ended in rests], rests

    @staticmethod
    def _worked(start: float, end: float, known: tuple[list[float], list[tuple[float, float]]]) -> float:
        ends, rests = known
        overlap = 0.0
        for began, ended in rests[bisect_right(ends, start):]:
            if began >= end:
                break
            overlap += min(end, ended) - max(start, began)
        return 1 - overlap / (end - start)

    def _fit(self, known: tuple[list[float], list[tuple[float, float]]]) -> None:
        watts = [value for _, value in self._readings]
        mean = sum(watts) / len(watts)
        spread = sum((value - mean) ** 2 for value in watts)
        best, self.swing = _LEAST_EXPLAINED, 0.0
        if spread <= 0:
            return
        for lag, window in product(self._lags, self._windows):
            shares = [self._worked(at - lag - window, at - lag, known) for at, _ in self._readings]
            middle = sum(shares) / len(shares)
            variance = sum((share - middle) ** 2 for share in shares)
            if variance < _LEAST_VARIANCE * len(shares):
                continue
            covariance = sum((share - middle) * (value - mean) for share, value in zip(shares, watts, strict=True))
            explained = covariance * covariance / (variance * spread)
            if covariance > 0 and explained > best:
                best, self.lag, self.window, self.swing = explained, lag, window, covariance / variance
