"""README teaches both commands and names every part, and every --help teaches (the pages themselves: test_documents.py)."""
from __future__ import annotations

import re
import shlex

import pytest

from edge_sleep import config
from edge_sleep.cli.main import run
from tests.cli.commands import COMMANDS, at
from tests.documents import TOP, parse, shell_lines


def test_readme_teaches_both_commands() -> None:
    lines = shell_lines("README.md")
    assert {"make night", "make test"} <= set(lines)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help(path: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    assert run([*path, "--help"]) == 0
    page = capsys.readouterr().out
    if path not in {("wake", "begin"), ("wake", "end")}:
        assert "Example: edge-sleep" in page
    example = re.search(r"Example: (edge-sleep .*)", at(path).help or "")
    if example:
        parse(shlex.split(example.group(1))[1:])


def test_readme_names_every_command_and_section() -> None:
    text = (TOP / "README.md").read_text()
    for path in COMMANDS:
        assert f"`{path[0]}" in text if path else True
    for section in config.Config.model_fields:
        assert f"`{section}`" in text
