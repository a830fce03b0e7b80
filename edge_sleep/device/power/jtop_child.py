"""Reads or changes a board's settings through jetson-stats, once: `python -m edge_sleep.device.power.jtop_child JSON`.

JSON holds what is to be changed: {}, or one of mode, fans, clocks. Prints one document, of what is set afterwards or of why not.
"""
from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from edge_sleep.device.telemetry.jtop_child import die_with_parent, named, tell

_INTERVAL_SECONDS = 0.5
_ASK_SECONDS = 2.0                                     # before it is asked again: another client's hello can swallow a request
_PATIENCE_SECONDS = 15.0
_BUSY = ("activating", "deactivating", "booting")


def seen(board: Any) -> dict[str, Any]:
    modes, clocks = board.nvpmodel, board.jetson_clocks
    return {
        "uptime": board.uptime.total_seconds(), "said": "",
        "mode": None if modes is None else {"now": modes.name, "offers": modes.models, "reachable": list(modes.status)},
        "fans": {name: {"now": fan["profile"], "offers": board.fan.all_profiles(name)} for name, fan in board.fan.items()},
        "clocks": None if clocks is None else {"now": "on" if clocks else "off", "status": clocks.status}}


def busy(board: Any) -> bool:
    """Whether the service still works on a change, perhaps of a night that was killed."""
    return (board.nvpmodel is not None and board.nvpmodel.is_running()) or (
        board.jetson_clocks is not None and board.jetson_clocks.status in _BUSY)


def taken(now: dict[str, Any], change: dict[str, Any]) -> bool:
    return (("mode" not in change or now["mode"]["now"] == change["mode"])
            and ("clocks" not in change or now["clocks"]["now"] == change["clocks"])
            and all(now["fans"][name]["now"] == profile for name, profile in change.get("fans", {}).items()))


def refused(now: dict[str, Any], change: dict[str, Any]) -> bool:
    """The service marks a mode that the board did not take."""
    return "mode" in change and not now["mode"]["reachable"][now["mode"]["offers"].index(change["mode"])]


def ask(board: Any, change: dict[str, Any]) -> None:
    """Never with force: it would reboot the board at once."""
    if "mode" in change:
        board.nvpmodel = change["mode"]
    if "clocks" in change:
        board.jetson_clocks = change["clocks"] == "on"
    for name, profile in change.get("fans", {}).items():
        board.fan.set_profile(name, profile)


def settle(change: dict[str, Any]) -> dict[str, Any]:
    from jtop import jtop

    board = jtop(interval=_INTERVAL_SECONDS)
    board.start()
    until = time.monotonic() + _PATIENCE_SECONDS
    asked = None
    while board.ok():
        now, at_work = seen(board), busy(board)
        if taken(now, change) and not at_work:
            return now
        if time.monotonic() > until:
            return now | {"said": f"not within {_PATIENCE_SECONDS:.0f} s"}
        if asked is not None and not at_work and refused(now, change):
            return now | {"said": "the service says that the board refused it"}
        if not at_work and (asked is None or time.monotonic() - asked > _ASK_SECONDS):
            ask(board, change)
            asked = time.monotonic()
    return {"failed": "it sends nothing any more: it hangs, or its timer died"}


def main() -> None:
    die_with_parent()
    try:
        tell(**settle(json.loads(sys.argv[1])))
    except ImportError as error:
        tell(failed=f"its client cannot be imported: {error}")
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        tell(failed=named(error)[1])
    finally:
        os._exit(0)                                    # the client's own way out can block


if __name__ == "__main__":
    main()
