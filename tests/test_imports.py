"""Importing edge_sleep and asking any command for help loads nothing heavy."""
from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.commands import COMMANDS

HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "onnxruntime", "dropbox", "jtop", "numpy", "huggingface_hub", "ray"}
PROBE = """
import sys
{body}
print("LOADED", *sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def loaded(body: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROBE.format(body=body)], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_the_probe_sees_what_is_loaded() -> None:
    assert "yaml" in loaded("import yaml")


def test_import_is_light() -> None:
    assert not loaded("import edge_sleep") & HEAVY
    assert "yaml" not in loaded("import edge_sleep")


def test_every_help_is_light() -> None:
    """One process for all: what any of them loads stays loaded."""
    body = "from edge_sleep.cli.main import run\n" + "\n".join(
        f"assert run({[*command, '--help']!r}) == 0" for command in COMMANDS)
    assert not loaded(body) & HEAVY


@pytest.mark.parametrize("arguments", [["status", "--home", "/nonexistent/home"], ["--version"]])
def test_light_commands_stay_light(arguments: list[str]) -> None:
    assert not loaded(f"from edge_sleep.cli.main import run\nassert run({arguments!r}) == 0") & HEAVY
