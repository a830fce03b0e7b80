"""Every setting, its default and its one line of explanation: the only place for either.

Layers, later wins: the fields below < what travels with the base (`edge_sleep/defaults.yaml` in
its folder) < `train.preset` < the home's edge-sleep.yaml < `--set section.key=value`.
All problems are collected and raised once, as ConfigError.
"""
from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_sleep.config.document import SHORT, merge, parse_sets, read_yaml, sections
from edge_sleep.config.elsewhere import Sync, Thor
from edge_sleep.config.judging import Export, Gate, Retention
from edge_sleep.config.learning import Companion, Data, Lora, Quality, Replay, Salience, Train
from edge_sleep.config.machine import Budget, Neighbours, Power, Schedule, Serve, Thermal
from edge_sleep.config.values import Reason, Section, parse_duration, parse_time_of_day
from edge_sleep.errors import ConfigError

__all__ = ["Budget", "Companion", "Config", "Data", "Export", "Gate", "Lora", "Neighbours", "PRESETS", "Power", "Quality",
           "Reason", "Replay", "Retention", "Salience", "Schedule", "Section", "Serve", "Sync", "Thermal", "Thor", "Train",
           "load", "parse_duration", "parse_sets", "parse_time_of_day", "read_yaml"]


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    companion: Companion = Companion()
    data: Data = Data()
    quality: Quality = Quality()
    salience: Salience = Salience()
    replay: Replay = Replay()
    lora: Lora = Lora()
    train: Train = Train()
    budget: Budget = Budget()
    thermal: Thermal = Thermal()
    power: Power = Power()
    neighbours: Neighbours = Neighbours()
    gate: Gate = Gate()
    retention: Retention = Retention()
    serve: Serve = Serve()
    schedule: Schedule = Schedule()
    export: Export = Export()
    sync: Sync = Sync()
    thor: Thor = Thor()


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "steady": {},
    # The proposal's own settings (proposal.md, Phase 3): kept so that its effect can be measured.
    "gentle": {"lora": {"rank": 4, "alpha": 8, "targets": "q_proj,v_proj", "dropout": 0.05},
               "train": {"learning_rate": 1e-5, "epochs": 1}, "replay": {"share": 0.0}, "data": {"augment": 0}},
}


def load(file: Path | None = None, sets: Iterable[str] = (), base_defaults: Path | None = None) -> Config:
    """The configuration from all layers.

    file: the home's edge-sleep.yaml (may be absent). sets: `section.key=value` strings.
    base_defaults: the YAML file that travels with the base. Raises ConfigError with every problem.
    """
    of_base = sections(read_yaml(base_defaults), str(base_defaults)) if base_defaults else {}
    of_home = sections(read_yaml(file), str(file)) if file and file.is_file() else {}
    of_sets = parse_sets(sets)
    preset = merge([of_home, of_sets]).get("train", {}).get("preset", "steady")
    layers = [of_base, PRESETS.get(preset, {}) if isinstance(preset, str) else {}, of_home, of_sets]
    try:
        return Config.model_validate(merge(layers))
    except ValidationError as error:
        problems = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                    + ("" if item["type"] in ("extra_forbidden", "missing") else f" (found {SHORT.repr(item['input'])})")
                    for item in error.errors()]
        raise ConfigError(problems) from error
