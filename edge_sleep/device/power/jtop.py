"""Through the jtop service: without root for members of the group jtop, in a container, and for the fan's profile always.

Its client is asked in a throw-away process (jtop_child.py): it can block for ever, and its licence is not ours.
"""
from __future__ import annotations

import json
import os
from typing import Any

from edge_sleep.device.power import modes
from edge_sleep.device.power.actuator import Actuator, PowerError, UnknownName
from edge_sleep.device.telemetry.jtop import missing
from edge_sleep.system import children
from edge_sleep.system.commands import last_line

# For so long after boot the service holds jetson_clocks back, and would switch them on when nobody expects it any more.
_BOOT_SECONDS = 65.0
BY_HAND = "manual"                                     # the service's name for a fan that keeps the speed it was given


class _Jtop(Actuator):
    by = "jtop"
    way = "the jtop service"

    def impossible(self) -> str | None:
        if (why := missing(self.machine.socket)) is not None:
            return why
        if not os.access(self.machine.socket, os.R_OK | os.W_OK):
            return f"no permission for {self.machine.socket}: the user is not in the group jtop"
        return None

    def ask(self, **change: Any) -> dict[str, Any]:
        """What the service shows, after it was asked for `change` where there is one."""
        said = self.run(self.machine.python, "-m", "edge_sleep.device.power.jtop_child", json.dumps(change),
                        environment=children.environment())
        line = next((line for line in reversed(said.splitlines()) if line.startswith("{")), None)
        if line is None:
            raise PowerError(f"the jtop client ended without a word: {last_line(said)}")
        answer = json.loads(line)
        if "failed" in answer:
            raise PowerError(f"the jtop service: {answer['failed']}")
        return answer


class JtopMode(_Jtop):
    setting = "mode"

    def read(self) -> str:
        return self._seen()["now"]

    def wanted(self, asked: str) -> str:
        seen = self._seen()
        if asked not in seen["offers"]:
            raise modes.unknown(asked, seen["offers"])
        reachable = [name for name, open_ in zip(seen["offers"], seen["reachable"], strict=False) if open_]
        if asked not in (*reachable, seen["now"]):
            raise modes.needs_reboot(asked, seen["now"], "the service marks it: other TPC mask, or the board refused it before",
                                     reachable)
        return asked

    def set(self, value: str) -> str:
        return self.ask(mode=value)["said"]

    def _seen(self) -> dict[str, Any]:
        seen = self.ask()["mode"]
        if seen is None:
            raise PowerError("the jtop service knows no power modes on this board")
        return seen


class JtopFan(_Jtop):
    setting = "fan_profile"
    way = "the jtop service: no program sets a fan's profile"

    def read(self) -> dict[str, str]:
        return {name: fan["now"] for name, fan in self.ask()["fans"].items()}

    def wanted(self, asked: str) -> dict[str, str]:
        fans = self.ask()["fans"]
        offered = sorted({profile for fan in fans.values() for profile in fan["offers"]} - {BY_HAND})
        if asked not in offered:
            raise UnknownName(f"power.fan_profile {asked}: the board has no profile of that name; it offers "
                              f"{', '.join(offered) or 'none'}", "choose one of them, or leave power.fan_profile out")
        chosen = [name for name, fan in fans.items() if asked in fan["offers"]]
        if by_hand := [name for name in chosen if fans[name]["now"] == BY_HAND]:
            raise PowerError(f"power.fan_profile {asked}: {', '.join(by_hand)} is set by hand, and its speed could not be put "
                             "back", "give it a profile, or leave power.fan_profile out")
        return {name: asked if name in chosen else fan["now"] for name, fan in fans.items()}

    def set(self, value: dict[str, str]) -> str:
        return self.ask(fans=value)["said"]


class JtopClocks(_Jtop):
    setting = "jetson_clocks"

    def read(self) -> str:
        return self._seen()["now"]

    def wanted(self, asked: bool) -> str:
        seen = self._seen()
        if seen["status"] == "uncontrolled":
            raise PowerError("power.jetson_clocks: the service does not control them, as they were on when it started",
                             "`sudo jetson_clocks --restore`, then `sudo systemctl restart jtop`")
        if seen["uptime"] < _BOOT_SECONDS:
            raise PowerError(f"power.jetson_clocks: the board is up for {seen['uptime']:.0f} s, and the service holds them back "
                             "for a minute", "begin the night later")
        return "on"

    def set(self, value: str) -> str:
        return self.ask(clocks=value)["said"]

    def _seen(self) -> dict[str, Any]:
        answer = self.ask()
        if answer["clocks"] is None:
            raise PowerError("the jtop service knows no jetson_clocks on this board")
        return answer["clocks"] | {"uptime": answer["uptime"]}
