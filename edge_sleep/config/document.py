"""Settings as text: YAML 1.2, sections of keys, and `section.key=value`."""
from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from edge_sleep.errors import ConfigError


class Yaml12(yaml.SafeLoader):
    """YAML 1.2 scalars: `22:00` stays text, `1e-4` is a number, `no` is a word."""


Yaml12.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    """YAML 1.1 read 010 as eight, and 08 as nothing."""
    return int(loader.construct_scalar(node))


Yaml12.add_constructor("tag:yaml.org,2002:int", _decimal)

# What PyYAML raises besides its own: for a value that is not of its tag, a number of thousands of digits, nesting without end.
_NOT_YAML = (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError)
_LARGEST_BYTES = 4 << 20
# A few lines of YAML can stand for gigabytes of text: what was found is said in a line.
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 120, 120


def read_yaml(path: Path) -> Any:
    """The YAML 1.2 document at `path`; ConfigError where it cannot be read."""
    try:
        if (size := path.stat().st_size) > _LARGEST_BYTES:
            raise ConfigError([f"too large for settings: {size} bytes, at most {_LARGEST_BYTES} are read"], str(path))
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Yaml12)  # noqa: S506 - a SafeLoader
    except (OSError, *_NOT_YAML) as error:
        raise ConfigError([f"cannot be read: {str(error)[:500]}"], str(path)) from error


def sections(document: Any, source: str) -> dict[str, dict]:
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(
            isinstance(key, str) and isinstance(value, dict) and all(isinstance(name, str) for name in value)
            for key, value in document.items()):
        raise ConfigError(["expected sections with keys, such as `train:` and under it `epochs: 6`"], source)
    return document


def parse_sets(sets: Iterable[str]) -> dict[str, dict]:
    """`section.key=value` strings to nested sections; values are read as YAML."""
    found: dict[str, dict] = {}
    problems = []
    for item in sets:
        key, equals, value = item.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot or not name:
            problems.append(f"--set {item}: write it as section.key=value")
            continue
        try:
            found.setdefault(section, {})[name] = yaml.load(value, Loader=Yaml12)  # noqa: S506
        except _NOT_YAML as error:
            problems.append(f"--set {item[:200]}: {str(error)[:500]}")
    if problems:
        raise ConfigError(problems, "--set")
    return found


def merge(layers: Iterable[Mapping[str, Mapping]]) -> dict[str, dict]:
    merged: dict[str, dict] = {}
    for layer in layers:
        for section, keys in layer.items():
            merged.setdefault(section, {}).update(keys)
    return merged
