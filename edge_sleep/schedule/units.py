"""systemd units for one home, as text: pure. A timer that looks every quarter of an hour, or a service that watches.

The timer counts from the last look, not by the calendar: no clock change, no leap and no time zone can confuse it, and
whether it is night is asked anew each time. Names follow the home, so that a board can have two companions.
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_sleep.errors import Exit

LOOK_EVERY = "15min"
_STOP_SECONDS = 150                # above the watcher's own patience with a night that saves
_WATCHDOG_SECONDS = 300            # an alarm that is told may take 40 s
_AFTER_BUDGET_SECONDS = 1800       # for what a night does after its budget: saving, the page, a watcher's second attempt
# Ends that are results: nothing to do, rejected, stopped and resumable, no effect, shipped, another has the lock; and a night
# that saved its state when it was told to end.
RESULTS = (Exit.NOTHING_TO_DO, Exit.REJECTED, Exit.STOPPED_TIME, Exit.STOPPED_HEAT, Exit.PREEMPTED, Exit.NO_EFFECT, Exit.SHIPPED,
           Exit.BUSY)
_SIGTERM = 128 + 15


@dataclass(frozen=True)
class Plan:
    """What the units need to know."""

    home: Path
    name: str                          # of the units, without ending
    command: Sequence[str]             # of edge-sleep: program and what precedes the command's name
    options: Sequence[str] = ()        # --home and the like
    budget_seconds: float = 3300.0
    watches: bool = False              # a service that stays, instead of a timer
    user: str | None = None            # whom a system unit runs as; None: a user's own manager
    network: bool = False              # something was switched on that speaks to another machine
    loopback: bool = False             # this machine's Ollama is talked to
    settings: bool = False             # power mode, clocks or fan are changed: the kernel's files must be writable
    environment: Sequence[str] = ()    # NAME=value
    remotes: Sequence[Path] = ()       # folders through which it speaks with other machines; one may be missing, as a stick is
    worker: bool = False               # a service that trains for other machines, instead of nights

    @property
    def stays(self) -> bool:
        return self.watches or self.worker

    @property
    def system(self) -> bool:
        return self.user is not None


def unit_name(home: Path, default: Path) -> str:
    """edge-sleep for the default home; others carry their folder's name."""
    if home == default:
        return "edge-sleep"
    slug = re.sub(r"[^A-Za-z0-9]+", "-", home.name).strip("-").lower() or "home"
    return f"edge-sleep-{slug}"


def units(plan: Plan) -> dict[str, str]:
    """File name -> text."""
    failed = f"{plan.name}-failed@.service"
    main = {f"{plan.name}.service": _service(plan)}
    if not plan.stays:
        main[f"{plan.name}.timer"] = _timer(plan)
    return {**main, failed: _failed(plan)}


def enabled(plan: Plan) -> str:
    """The unit that is enabled: what starts the rest."""
    return f"{plan.name}.service" if plan.stays else f"{plan.name}.timer"


def _service(plan: Plan) -> str:
    what = "a worker of" if plan.worker else "nights of the companion in"
    unit = [f"Description=edge_sleep: {what} {_text(str(plan.home))}", "Documentation=man:systemd.service(5)",
            f"OnFailure={plan.name}-failed@%N.service", f"RequiresMountsFor={_path(plan.home)}"]
    if plan.worker:
        unit += ["StartLimitIntervalSec=30min", "StartLimitBurst=10"]
        kind = ["Type=notify", "NotifyAccess=main", "Restart=always", "RestartSec=10", "OOMPolicy=continue"]
    elif plan.watches:
        # A watcher that cannot start must not be tried for ever, and be said out loud.
        unit += ["StartLimitIntervalSec=30min", "StartLimitBurst=10"]
        kind = ["Type=notify", "NotifyAccess=main", f"WatchdogSec={_WATCHDOG_SECONDS}", "Restart=always", "RestartSec=10",
                "ExecReload=/bin/kill -HUP $MAINPID", "OOMPolicy=continue"]
    else:
        kind = ["Type=oneshot", f"TimeoutStartSec={plan.budget_seconds + _AFTER_BUDGET_SECONDS:.0f}"]
    run = [*plan.command, "worker" if plan.worker else "watch", *([] if plan.stays else ["--once"]), *plan.options]
    results = " ".join(str(int(code)) for code in RESULTS)
    service = [*kind, f"ExecStart={_line(run)}", f"SuccessExitStatus={results} {_SIGTERM}", "KillMode=mixed",
               f"TimeoutStopSec={_STOP_SECONDS}", *_identity(plan), "Nice=15", "CPUWeight=20", "IOWeight=20",
               "IOSchedulingClass=idle", "OOMScoreAdjust=300", *_hardening(plan)]
    return _file(Unit=unit, Service=service, **({"Install": [_wanted_by(plan)]} if plan.stays else {}))


def _timer(plan: Plan) -> str:
    return _file(Unit=[f"Description=edge_sleep: looks whether it is night for {_text(str(plan.home))}"],
                 Timer=["OnBootSec=5min", f"OnUnitInactiveSec={LOOK_EVERY}", "AccuracySec=1min", f"Unit={plan.name}.service"],
                 Install=["WantedBy=timers.target"])


def _failed(plan: Plan) -> str:
    """Says out loud that a unit failed, by the same channels as the watcher's own alarms."""
    run = [*plan.command, "timer", "failed", "%i", *plan.options]
    return _file(Unit=["Description=edge_sleep: says that %i failed"],
                 Service=["Type=oneshot", f"ExecStart={_line(run, specifiers=True)}", "TimeoutStartSec=120", *_identity(plan),
                          *_hardening(plan)])


def _identity(plan: Plan) -> list[str]:
    return [*([f"User={plan.user}"] if plan.user else []), *(f"Environment={_quoted(item)}" for item in plan.environment)]


def _wanted_by(plan: Plan) -> str:
    return f"WantedBy={'multi-user.target' if plan.system else 'default.target'}"


def _hardening(plan: Plan) -> list[str]:
    """What takes nothing from a night.

    Not here: MemoryDenyWriteExecute, PrivateDevices and DevicePolicy, which CUDA cannot live with, nor ProtectClock, which closes
    all devices but the clock's. A user's manager cannot make mount namespaces without giving up its user's identity, so what
    needs one is for system units.
    """
    families = "AF_UNIX AF_INET AF_INET6" if plan.network or plan.loopback else "AF_UNIX"
    anyone = ["NoNewPrivileges=yes", "LockPersonality=yes", "RestrictRealtime=yes", "RestrictSUIDSGID=yes",
              "RestrictNamespaces=yes", f"RestrictAddressFamilies={families}", "SystemCallArchitectures=native",
              # The last two read whether the clock is synchronised; setting it needs a capability.
              "SystemCallFilter=@system-service adjtimex clock_adjtime", "SystemCallErrorNumber=EPERM", "UMask=0027"]
    if not plan.system:
        return anyone
    mine = ["ProtectSystem=strict", "ProtectHome=read-only", f"ReadWritePaths={_path(plan.home)}", "PrivateTmp=yes",
            *(f"ReadWritePaths={_quoted(f'-{folder}')}" for folder in plan.remotes), "PrivateMounts=yes",
            "ProtectControlGroups=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectHostname=yes",
            "ProtectProc=invisible", "RemoveIPC=yes"]
    if plan.settings:
        mine.append("# Power mode, clocks or fan are set for the night: /sys stays writable, capabilities stay.")
    else:
        mine += ["ProtectKernelTunables=yes", "CapabilityBoundingSet=", "AmbientCapabilities="]
    if plan.loopback and not plan.network:
        mine += ["IPAddressDeny=any", "IPAddressAllow=localhost"]
    elif not plan.network:
        mine.append("PrivateNetwork=yes")          # no address at all; sockets in the file system, such as jtop's, stay
    return [*anyone, *mine]


def _file(**sections: Sequence[str]) -> str:
    return "# Written by `edge-sleep timer install`; `edge-sleep timer remove` takes it away.\n" + "\n".join(
        f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _text(value: str) -> str:
    """A value in which systemd expands nothing."""
    return value.replace("%", "%%").replace("\n", " ")


def _path(path: Path) -> str:
    return _quoted(str(path))


def _quoted(value: str) -> str:
    plain = _text(value)
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./~-]+", plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _line(words: Sequence[str], specifiers: bool = False) -> str:
    """A command line; `$` is a variable to systemd, `%` a specifier."""
    return " ".join(word if specifiers and word == "%i" else _quoted(word.replace("$", "$$")) for word in words)
