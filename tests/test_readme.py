"""Every command in the documents is one that exists, and every --help teaches."""
from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.cli.main import run
from tests.cli.commands import COMMANDS, ROOT, at

TOP = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
PLAIN = {"git", "pip", "python", "cd", "pytest"}


def shell_lines(text: str) -> list[str]:
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.S | re.M)
    joined = "\n".join(blocks).replace("\\\n", " ")
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


CASES = [(name, line) for name in DOCUMENTS for line in shell_lines((TOP / name).read_text())]


def parse(words: list[str]) -> None:
    """Walk click's own parser over a command line, as far as reading it, without running it."""
    command, context = ROOT, ROOT.make_context("edge-sleep", list(words), resilient_parsing=False) if not words else None
    path: tuple[str, ...] = ()
    while words and words[0] in getattr(command, "commands", {}):
        path, words = (*path, words[0]), words[1:]
        command = command.commands[path[-1]]
    assert path, f"no such command: {words}"
    context = command.make_context(" ".join(path), list(words))
    assert context is not None


@pytest.mark.parametrize("name, line", CASES, ids=[f"{name}: {line}" for name, line in CASES])
def test_documented_command(name: str, line: str) -> None:
    words = shlex.split(line)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[0] == "make":
        target = next((word for word in words[1:] if "=" not in word), "night")
        subprocess.run(["make", "-n", target], cwd=TOP, check=True, capture_output=True)
    elif words[0] == "edge-sleep":
        parse(words[1:])
    else:
        assert words[0] in PLAIN, f"{name} teaches {words[0]}, which no test knows"


def test_readme_teaches_both_commands() -> None:
    lines = shell_lines((TOP / "README.md").read_text())
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
