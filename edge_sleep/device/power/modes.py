"""What nvpmodel prints, and which of its modes a night may choose: by name, and never one that needs a reboot."""
from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from edge_sleep.device.power.actuator import PowerError, UnknownName

_MODE = re.compile(r"POWER_MODEL: ID=(?P<number>\d+) NAME=(?P<name>\S+)")
_MASK = re.compile(r"TPC_POWER_GATING TPC_PG_MASK (?P<mask>\w+)")
_NOW = re.compile(r"NV Power Mode: *(?P<name>\S+)")


class Mode(NamedTuple):
    number: int                                        # differs between releases: found by the name each time
    name: str
    mask: int | None                                   # GPU clusters that are switched off; None where nvpmodel names none


def parse(said: str) -> list[Mode]:
    """The modes in `nvpmodel -p --verbose`; a mask belongs to the mode named last before it."""
    modes: list[Mode] = []
    for line in said.splitlines():
        if found := _MODE.search(line):
            modes.append(Mode(int(found["number"]), found["name"], None))
        elif modes and (found := _MASK.search(line)):
            modes[-1] = modes[-1]._replace(mask=_number(found["mask"]))
    return modes


def parse_now(said: str) -> str | None:
    """The mode in `nvpmodel -q`."""
    found = _NOW.search(said)
    return found["name"] if found else None


def find(modes: Sequence[Mode], name: str) -> Mode:
    """Raises UnknownName with what the board offers."""
    for mode in modes:
        if mode.name == name:
            return mode
    raise unknown(name, [mode.name for mode in modes])


def check(modes: Sequence[Mode], now: str, asked: str) -> None:
    """Raises PowerError where `asked` is no mode of this board, or not one that it can change to while it runs."""
    target = find(modes, asked)
    if asked == now:
        return
    present = next((mode for mode in modes if mode.name == now), None)
    if present is None:
        raise PowerError(f"power.mode {asked}: the board is in mode {now}, which its own list has not, so that nobody can say "
                         "whether a change needs a reboot", f"`sudo nvpmodel -m {target.number}` once, by hand")
    if target.mask != present.mask:
        offered = [mode.name for mode in modes if mode.mask == present.mask]
        raise needs_reboot(asked, now, f"other TPC mask, {_text(present.mask)} and {_text(target.mask)}", offered)


def unknown(asked: str, offered: Sequence[str]) -> UnknownName:
    return UnknownName(f"power.mode {asked}: the board has no mode of that name; it offers {', '.join(offered) or 'none'}",
                       "choose one of them, or leave power.mode out")


def needs_reboot(asked: str, now: str, why: str, offered: Sequence[str]) -> PowerError:
    return PowerError(f"power.mode {asked}: from {now} it needs a reboot ({why}); without one the board offers "
                      f"{', '.join(offered) or 'none'}", "choose one of them, or set the mode by hand and reboot")


def _number(mask: str) -> int | None:
    try:
        return int(mask, 0)
    except ValueError:
        return None


def _text(mask: int | None) -> str:
    return "none" if mask is None else str(mask)
