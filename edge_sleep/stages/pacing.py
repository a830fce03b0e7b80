"""What minds tonight's heat and power, and what it measured."""
from __future__ import annotations

from edge_sleep.config import Config
from edge_sleep.device.doctor.heat import read_trips
from edge_sleep.device.profile import Profile
from edge_sleep.stages.context import Night
from edge_sleep.system.home import Home
from edge_sleep.system.record import read_records
from edge_sleep.train import forecast
from edge_sleep.train.limits import limits, minded
from edge_sleep.train.pace import Pace, unpaced


def of_night(night: Night) -> Pace:
    """The pace of this night, not yet begun. Raises ConfigError, DeviceError where its limits cannot be kept."""
    if night.request.dry_run:
        return unpaced(night.clock)
    source, held, told = minded(night.config.thermal, night.config.power, night.request.profile())
    night.record["environment"]["telemetry"] = told
    night.events("telemetry", **told)
    return Pace(source, held, night.clock, night.events, night.folder / "telemetry.jsonl", night.contract.for_training)


def ahead(home: Home, config: Config, board: Profile) -> list[dict]:
    """The plan's lines about heat and energy, from the last night that measured them."""
    _, why = limits(config.thermal, config.power, board, read_trips())
    last = next((old for old in reversed(read_records(home.nights)) if old["measured"]["energy_joules"] is not None), None)
    worked = None if last is None else round(forecast.worked_share(last), 3)
    joules = None if last is None else last["measured"]["energy_joules"]
    return [{"name": "heat", "value": worked,
             "reason": f"{why}; " + ("no night has read the board yet" if last is None else
                                     f"share of the last training that was work; {last['measured']['max_celsius']:.1f} at most")},
            {"name": "energy", "value": joules, "reason": "joules of the last night that measured them" if joules is not None else
             "no night has measured it yet"}]


def note(night: Night) -> None:
    """Into the record, on top of what the runs before this one measured."""
    measured, now = night.record["measured"], night.pace.measured()
    for name, value in now.items():
        before = measured.get(name)
        if name == "max_celsius":
            measured[name] = max((one for one in (before, value) if one is not None), default=None)
        elif name == "rests":
            measured[name] = {cause: round(value.get(cause, 0.0) + (before or {}).get(cause, 0.0), 1)
                              for cause in {**(before or {}), **value}}
        elif value is not None:
            measured[name] = round(value + (before or 0.0), 1)
