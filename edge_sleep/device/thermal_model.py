"""How a board warms: a die on a heatsink, two thermal masses; and what that says of the hours ahead.

    die:  C_d dT_d/dt = P - (T_d - T_s) / R_d           sink: C_s dT_s/dt = (T_d - T_s) / R_d - (T_s - T_a) / R_s

Nobody has published these constants for a Jetson. What is known is R_d + R_s, 1.0 to 1.5 K/W (a fit to an Orin NX's plateaus),
and that the sink takes minutes, so nothing here needs them exactly: `forecast` extrapolates from what it sees.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

# Time constant of the sink that a forecast assumes; 150 to 400 s are plausible. Too long a one is the careful error: it
# expects more heat to come than will.
SINK_SECONDS = 300.0
DIE_SHARE = 0.3                        # of a board's resistance that lies between die and sink: what follows the load in seconds


@dataclass
class TwoNodes:
    """The plant of a simulation. Celsius, watts, seconds, kelvin per watt."""

    ambient: float
    resistance: float                  # of both together, die to air
    die_seconds: float
    sink_seconds: float
    die_share: float = DIE_SHARE       # of the resistance that lies between die and sink
    die: float = math.nan
    sink: float = math.nan

    def rest(self, watts: float) -> None:
        """Where it settles with these watts."""
        self.sink = self.ambient + (1 - self.die_share) * self.resistance * watts
        self.die = self.sink + self.die_share * self.resistance * watts

    def advance(self, watts: float, seconds: float) -> float:
        """The die's temperature after `seconds` of these watts."""
        # A linear system x' = A (x - x_end), solved exactly: exp(A t) = e^mt (cosh qt + sinh(qt)/q (A - m)), m half A's trace.
        inner, outer = self.die_share * self.resistance, (1 - self.die_share) * self.resistance
        ratio = outer / inner / self.sink_seconds
        a, b, c, d = -1 / self.die_seconds, 1 / self.die_seconds, ratio, -ratio - 1 / self.sink_seconds
        sink_end = self.ambient + outer * watts
        die, sink = self.die - sink_end - inner * watts, self.sink - sink_end
        m = (a + d) / 2
        q = math.sqrt(m * m - (a * d - b * c))         # real: both ways of heat flow down its gradient
        grown, fallen = math.exp((m + q) * seconds), math.exp((m - q) * seconds)
        both, each = (grown + fallen) / 2, (grown - fallen) / 2 / q
        self.die = sink_end + inner * watts + both * die + each * ((a - m) * die + b * sink)
        self.sink = sink_end + both * sink + each * (c * die + (d - m) * sink)
        return self.die


@dataclass(frozen=True)
class Forecast:
    """What heat leaves of the time ahead."""

    settles_celsius: float             # where the present duty ends
    full_celsius: float                # where full duty would end
    duty: float                        # that can be kept up for ever, in (0, 1]
    until_limit_seconds: float         # of full work before the limit is met; inf where it never is

    def seconds_for(self, busy_seconds: float) -> float:
        """Wall time that so much work takes."""
        if busy_seconds <= self.until_limit_seconds:
            return busy_seconds
        return self.until_limit_seconds + (busy_seconds - self.until_limit_seconds) / self.duty


def forecast(celsius: float, slope: float, rest_celsius: float, duty: float, limit_celsius: float,
             sink_seconds: float = SINK_SECONDS, least_duty: float = 0.1) -> Forecast:
    """From where the board is to where it goes.

    celsius, slope (K/s): now, smoothed over the die's ripple. rest_celsius: before the work began. duty: share of the time that
    was worked lately. A first-order sink that rises by `slope` ends `sink_seconds * slope` higher, and its rise over rest
    is in proportion to the duty.
    """
    settles = celsius + slope * sink_seconds
    rise = settles - rest_celsius
    at_full = rise / max(duty, least_duty)
    room = limit_celsius - rest_celsius
    if at_full <= room or at_full <= 0:
        return Forecast(settles, rest_celsius + at_full, 1.0, math.inf)
    sustained = min(1.0, max(least_duty, room / at_full))
    ahead, way = rest_celsius + at_full - celsius, limit_celsius - celsius
    until = sink_seconds * math.log(ahead / (ahead - way)) if 0 < way < ahead else 0.0
    return Forecast(settles, rest_celsius + at_full, sustained, until)
