"""Write single settings into a home's edge-sleep.yaml and leave the rest of the file, comments included, as it was."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_sleep.config import read_yaml
from edge_sleep.errors import ConfigError
from edge_sleep.system.files import write_bytes

_INDENT = "  "


def write_values(file: Path, section: str, values: Mapping[str, Any]) -> None:
    """Set `section.key` to each value, durably; the file is made where there is none.

    Raises ConfigError, with what to write by hand, where the section is not written as an indented block.
    """
    before = read_yaml(file) if file.is_file() else None
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    changed = with_values(text, section, values)
    wanted = {**(before or {}), section: {**((before or {}).get(section) or {}), **values}}
    staged = file.with_name(f".tmp-check-{file.name}")
    try:
        write_bytes(staged, changed.encode())
        found = read_yaml(staged)
    except ConfigError:
        found = None
    finally:
        staged.unlink(missing_ok=True)
    in_block = not re.search(rf"^{re.escape(section)}[ \t]*:[ \t]*[^\s#]", text, re.MULTILINE)
    if found != wanted or not in_block:
        lines = "\n".join(f"{_INDENT}{key}: {_scalar(value)}" for key, value in values.items())
        raise ConfigError([f"`{section}` cannot be changed in place; write by hand:\n{section}:\n{lines}"], str(file))
    write_bytes(file, changed.encode())


def with_values(text: str, section: str, values: Mapping[str, Any]) -> str:
    """The text of a YAML file with `section: {key: value}` set, as block lines."""
    lines = text.splitlines()
    start = next((place for place, line in enumerate(lines) if re.match(rf"{re.escape(section)}\s*:\s*(#.*)?$", line)), None)
    if start is None:
        return "\n".join([*lines, f"{section}:", *(f"{_INDENT}{key}: {_scalar(value)}" for key, value in values.items())]) + "\n"
    end = next((place for place in range(start + 1, len(lines)) if re.match(r"[^\s#]", lines[place])), len(lines))
    indent = next((found[1] for line in lines[start + 1:end] if (found := re.match(r"(\s+)[^\s#]", line))), _INDENT)
    rest = dict(values)
    for place in range(start + 1, end):
        found = re.match(rf"({re.escape(indent)})(\w+)(\s*:\s*)[^#]*?(\s*#.*)?$", lines[place])
        if found and found[2] in rest:
            lines[place] = f"{found[1]}{found[2]}{found[3]}{_scalar(rest.pop(found[2]))}{found[4] or ''}"
    lines[start + 1:start + 1] = [f"{indent}{key}: {_scalar(value)}" for key, value in rest.items()]
    return "\n".join(lines) + "\n"


def _scalar(value: Any) -> str:
    """JSON is YAML, so any text survives."""
    return json.dumps(value, ensure_ascii=False)
