"""How a setting may be written: times with their units, hours of the day, places; and what a section is."""
from __future__ import annotations

import re
from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: Any) -> float:
    """'55m', '1h30m', '90s' to seconds; a bare number is refused because its unit is a guess."""
    if isinstance(value, float):
        return value
    text = str(value).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{value!r} is not a duration; write it with units, such as 55m, 90s or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_time_of_day(value: Any) -> time:
    """'22:00' to a time; a bare number is refused: YAML 1.1 reads 22:00 as 1320."""
    if isinstance(value, time):
        return value
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{value!r} is not a time of day; write it as hours and minutes, such as 22:00")
    return time(int(found[1]), int(found[2]))


def parse_ollama(value: Any) -> Any:
    """`true` is the Ollama of this machine, `false` none; an address stays what it is."""
    return {True: "http://127.0.0.1:11434", False: ""}[value] if isinstance(value, bool) else value


Duration = Annotated[float, BeforeValidator(parse_duration)]
TimeOfDay = Annotated[time, BeforeValidator(parse_time_of_day)]
Share = Annotated[float, Field(ge=0, le=1)]


# The reasons of data/quality/finding.py that can be switched off; a test compares the two.
Reason = Literal["placeholder", "loop", "repetition", "regurgitation", "question_flood", "role_inversion", "prompt_echo",
                 "truncated", "educational_default", "confabulated_history", "foreign_language", "unasked_code",
                 "collapsed_session"]
RedactKind = Literal["key", "password", "email", "iban", "card", "phone", "home_path"]
UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$")]
# Where a remote lies: a folder (NFS, USB, an rclone mount, Syncthing) or an app folder of Dropbox; empty is nowhere.
Place = Annotated[str, Field(pattern=r"^(|(folder|dropbox):/.*)$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
