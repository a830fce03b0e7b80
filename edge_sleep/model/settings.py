"""The settings that hold for a home: in two passes, first which base, then with what travels with it.

Layers, later wins: fields < profile < the base's defaults < preset < the home's file < what was asked now.
The profile is below the base's defaults, because those were measured with the very weights.
"""
from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_sleep import config
from edge_sleep.config import Config
from edge_sleep.device.profile import Profile
from edge_sleep.model import base
from edge_sleep.system.files import read_object
from edge_sleep.system.home import Home


def layered(home: Home, sets: Sequence[str], profile: Profile) -> tuple[Config, base.BaseSource]:
    """(configuration, base) of a home; `sets` are section.key=value items. Raises ConfigError, ModelError."""
    named = base_named(home, tuple(sets))
    given = [*sets, *([set_value("companion.model", named)] if named is not None else [])]
    first = config.load(home.config, given)
    found = base.resolve(first.companion.model, first.companion.allow_download)
    with _defaults(profile, found.defaults) as defaults:
        return config.load(home.config, given, defaults), found


def set_value(key: str, value: Any) -> str:
    """A `--set` item from a value; JSON is YAML, so any text survives."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def base_named(home: Home, sets: tuple[str, ...]) -> str | None:
    """The base a person named in --set or the home's configuration; else the one this home grew on."""
    layers = [config.parse_sets(sets)]
    if home.config.is_file():
        layers.append(config.read_yaml(home.config))
    for layer in layers:
        companion = layer.get("companion") if isinstance(layer, dict) else None
        if isinstance(companion, dict) and companion.get("model"):
            return str(companion["model"])
    if home.base.is_file():
        return str(read_object(home.base, "base record", "source")["source"])
    return None


@contextmanager
def _defaults(profile: Profile, of_base: Path | None) -> Iterator[Path | None]:
    """One file with the profile's settings under the base's."""
    if not profile.defaults:
        yield of_base
        return
    merged = {section: dict(keys) for section, keys in profile.defaults.items()}
    for section, keys in ((config.read_yaml(of_base) if of_base else None) or {}).items():
        merged.setdefault(section, {}).update(keys)
    with tempfile.TemporaryDirectory(prefix="edge-sleep-") as folder:
        file = Path(folder) / "defaults.yaml"
        file.write_text(json.dumps(merged), encoding="utf-8")
        yield file
