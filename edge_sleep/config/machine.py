"""What the machine has for it: time, memory, heat, power, its other services, its hours, its conversations."""
from __future__ import annotations

from datetime import time
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from edge_sleep.config.values import Duration, Section, Share, TimeOfDay, UnitName, parse_ollama


class Budget(Section):
    time: Duration = Field(55 * 60.0, description="wall clock of the whole night, from ingest to promotion")
    reserve: Share = Field(0.25, description="least share of the budget kept for judging and saving")
    memory_bytes: int = Field(0, ge=0, description="most memory the night may take; 0 means what is available now")


class Thermal(Section):
    source: str = Field("auto", description="what tells heat and power: auto, sysfs, jtop, none, or a night's telemetry.jsonl")
    ceiling_celsius: float = Field(0.0, ge=0, lt=130, description="the hottest zone is held here, and a degree above it the "
                                   "night pauses; 0 takes the board's profile")
    release_celsius: float = Field(0.0, ge=0, lt=130, description="a pause for heat ends below this; 0 takes the profile's")
    longest_pause: Duration = Field(15 * 60.0, description="a pause longer than this ends the night, resumable")


class Power(Section):
    cap_watts: float = Field(0.0, ge=0, description="most watts of the whole board on average, kept by working less; 0 is no cap")
    energy_joules: float = Field(0.0, ge=0, description="energy of the whole board that a night may take; 0 is no limit")
    mode: str = Field("", description="power mode for the night, by the name the board gives it, such as 25W; empty leaves it")
    gpu_max_hertz: int = Field(0, ge=0, description="cap of the GPU clock for the night, in hertz (root only); 0 leaves it")
    fan_profile: str = Field("", description="fan profile for the night, by the name the board gives it, such as cool; "
                             "empty leaves it")
    jetson_clocks: bool = Field(False, description="hold all clocks at their highest for the night")


class Neighbours(Section):
    units: tuple[UnitName, ...] = Field((), description="systemd units of the system that are stopped for the night where they "
                                        "run, in this order, and always started again")
    user_units: tuple[UnitName, ...] = Field((), description="the same for units of this user's own manager")
    ollama: Annotated[str, BeforeValidator(parse_ollama), Field(pattern=r"^(https?://[^\s/]+)?/?$")] = Field(
        "", description="let Ollama unload its models for the night, and load them again after it: `true` for the one of this "
        "machine, or its address")


class Schedule(Section):
    timezone: str = Field("", description="IANA name, such as Europe/Berlin; empty takes the machine's own")
    dawn: TimeOfDay = Field(time(6), description="local time at which dawn begins, and no night may begin any more")
    day: TimeOfDay = Field(time(8), description="local time at which the day begins")
    dusk: TimeOfDay = Field(time(20), description="local time at which dusk begins")
    night: TimeOfDay = Field(time(22), description="local time from which on a night may begin")
    deep_night: TimeOfDay = Field(time(1), description="local time at which deep night begins")
    apart: Duration = Field(6 * 3600.0, description="least time between the end of one night and the beginning of another")
    least: Duration = Field(15 * 60.0, description="time a night must have until dawn; one that has less is not begun")
    idle_load: float = Field(0.5, gt=0, description="processes per core, over five minutes, up to which the device is idle")
    free_bytes: int = Field(2 << 30, ge=0, description="free disk space in bytes below which no night begins")
    on_battery: bool = Field(False, description="let nights run on battery")
    attempts: int = Field(3, ge=1, description="how often one night is begun where it breaks; giving way to a talk is free")
    pause: Duration = Field(3600.0, description="time until a night that stopped for heat, or broke, is tried again")
    settle: Duration = Field(10 * 60.0, description="time after a boot that an unsynchronised clock is given to be set")
    failed_nights: int = Field(3, ge=1, description="failed nights in a row that are said out loud")
    idle_nights: int = Field(7, ge=1, description="nights in a row with nothing to do that are said out loud")
    webhook: str = Field("", pattern=r"^(https?://\S+)?$", description="URL that is told in JSON of missed and failed nights; "
                         "empty tells nobody")
    command: str = Field("", description="shell command that is told of them: EDGE_SLEEP_ALARM has the kind, its input the words")

    @model_validator(mode="after")
    def _in_order(self) -> Schedule:
        names = ("dawn", "day", "dusk", "night", "deep_night")
        starts = [(at.hour * 60 + at.minute) for at in (getattr(self, name) for name in names)]
        lengths = [(after - before) % 1440 for before, after in zip(starts, [*starts[1:], starts[0]], strict=True)]
        if 0 in lengths or sum(lengths) != 1440:
            found = ", ".join(f"{name} {getattr(self, name):%H:%M}" for name in names)
            raise ValueError(f"the phases must follow each other within one day (found {found})")
        if (lengths[3] + lengths[4]) * 60 < self.least:
            raise ValueError(f"schedule.least ({self.least / 60:.0f} min) is longer than the whole night, from schedule.night to "
                             "schedule.dawn")
        return self


class Serve(Section):
    runtime: Literal["auto", "transformers", "merged", "onnx", "gguf", "gguf-merged"] = Field(
        "auto", description="what runs the model: auto takes the fastest of what was measured on this machine among the exports "
        "that are faithful; transformers is the 4-bit base with its adapter, as judged")
    host: str = Field("127.0.0.1", description="address that `serve` listens on; any but a loopback one requires the token")
    port: int = Field(8327, ge=0, le=65535, description="port that `serve` listens on; 0 takes a free one and says which")
    token: Literal["auto", "always"] = Field("auto", description="`auto` requires the token of keys/serve.token off the loopback "
                                             "only; `always` does everywhere")
    max_new_tokens: int = Field(200, ge=1, description="longest answer, in tokens; what a request asks beyond is cut to it")
    answer_time: Duration = Field(120.0, description="longest time an answer may take; then it ends as it stands")
    max_request_bytes: int = Field(256 * 1024, ge=1024, description="largest request body")
    queue: int = Field(8, ge=1, description="requests that may wait for their turn; more are told to come back")
    idle: Duration = Field(120.0, description="after so long without a request the device and the model's memory are given back, "
                           "so that a night can run; the next request takes them again")
    wait: Duration = Field(120.0, description="how long a request waits for a running night to save its state and give way")
    record: bool = Field(True, description="keep conversations as transcripts for the next night")
    system_messages: Literal["ignore", "follow", "refuse"] = Field(
        "ignore", description="a client's own system message: `ignore` answers under the companion's, as it was trained; "
        "`follow` answers under the client's and keeps nothing of it for the night; `refuse` says so")
