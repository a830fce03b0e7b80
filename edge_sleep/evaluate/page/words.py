"""Numbers, times and amounts as a person reads them. What was not measured says so; it is never 0."""
from __future__ import annotations

import math
from datetime import datetime
from typing import Any

UNMEASURED = "not measured"
_MINUS = "\u2212"
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")


def known(value: Any) -> float | None:
    """The number, or None where there is none: absent, NaN, infinite, something else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def amount(value: Any, digits: int = 2, unit: str = "", sign: bool = False) -> str:
    number = known(value)
    if number is None:
        return UNMEASURED
    number = round(number, digits) + 0.0                        # no minus before a zero
    if abs(number) >= 1e6 and not number.is_integer() or abs(number) >= 1e9:
        written = f"{number:{'+' if sign else ''}.3g}"
    else:
        written = f"{number:{'+' if sign else ''},.{digits}f}"
    return written.replace("-", _MINUS) + (f"\u00a0{unit}" if unit else "")


def whole(value: Any) -> str:
    return amount(value, 0)


def size(count: Any) -> str:
    number = known(count)
    if number is None:
        return UNMEASURED
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f}\u00a0{unit}" if unit == "B" or abs(number) >= 100 else f"{number:.1f}\u00a0{unit}"
        number /= 1024
    return amount(number, 1, "TiB")


def span(seconds: Any) -> str:
    number = known(seconds)
    if number is None:
        return UNMEASURED
    rounded = round(number)
    if rounded < 60:
        return f"{number:.1f}\u00a0s" if abs(number) < 10 else f"{rounded}\u00a0s"
    if rounded < 3600:
        return f"{rounded // 60}\u00a0min" + (f" {rounded % 60}\u00a0s" if rounded % 60 and rounded < 600 else "")
    return f"{rounded // 3600:,}\u00a0h {rounded % 3600 // 60:02d}\u00a0min"


def energy(joules: Any) -> str:
    number = known(joules)
    if number is None:
        return UNMEASURED
    return f"{amount(number / 1000, 1, 'kJ')} ({amount(number / 3600, 1 if number > 36_000 else 2, 'Wh')})"


def plural(count: Any, one: str, many: str | None = None) -> str:
    number = known(count)
    noun = one if number == 1 else many or f"{one}s"
    return f"an unknown number of {noun}" if number is None else f"{whole(number)} {noun}"


def moment(stamp: Any) -> datetime | None:
    """The time an ISO 8601 stamp names; None where it names none, or has no offset."""
    try:
        found = datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def day(stamp: Any) -> str:
    found = moment(stamp)
    return UNMEASURED if found is None else f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


def time_of_day(stamp: Any) -> str:
    found = moment(stamp)
    return UNMEASURED if found is None else f"{found:%H:%M}"


def cut(value: Any, most: int) -> str:
    """Text of at most so many characters, with a mark where it was longer."""
    full = str(value)
    return full if len(full) <= most else full[:most - 1] + "\u2026"


def plain(name: Any) -> str:
    """A name of the code as words."""
    return str(name).replace("_", " ")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
