"""What the documents teach: their fenced blocks, the command lines in them, and what of a line edge-sleep itself is given."""
from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.cli.commands import ROOT

TOP = Path(__file__).parent.parent
# What a person reads; the log and the changelog tell of commands as they were at their time.
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "kernels/README.md",
         *sorted(path.relative_to(TOP).as_posix() for path in (TOP / "docs").glob("*.md")))
_SHELL = {"sh", "bash", "console"}


def text(page: str) -> str:
    file = TOP / page
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, body) of each fenced block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```", text(page), re.S | re.M)


def shell_lines(page: str) -> list[str]:
    """The command lines of a page's shell blocks: continued lines joined, prompts and comments taken off."""
    joined = "\n".join(body for language, body in blocks(page) if language in _SHELL).replace("\\\n", " ")
    lines = [line.removeprefix("$ ").split("  #")[0].strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def spans(page: str) -> list[str]:
    """What stands between backticks outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```", "", text(page), flags=re.S | re.M)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def words_of(line: str) -> list[str] | None:
    """What a line gives to edge-sleep, whether by its name, by `python -m`, by a launcher or in a container; else None."""
    words = shlex.split(line)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["edge-sleep"]:
        return words[1:]
    if "edge_sleep" in words and words[words.index("edge_sleep") - 1] == "-m":
        return words[words.index("edge_sleep") + 1:]
    if words[:2] == ["docker", "compose"] and {"run", "exec"} & set(words):
        service = next(index for index, word in enumerate(words) if word in ("edge", "cpu", "worker"))
        rest = words[service + 1:]
        return rest[1:] if rest[:1] == ["edge-sleep"] else rest
    return None


def command_of(words: list[str]) -> tuple[object, tuple[str, ...], list[str]]:
    """(command, its words, the rest) of what edge-sleep is given. Raises AssertionError where there is no such command."""
    command, path = ROOT, ()
    while words and words[0] in getattr(command, "commands", {}):
        path, words = (*path, words[0]), words[1:]
        command = command.commands[path[-1]]
    assert path, f"no such command: {words}"
    return command, path, words


def parse(words: list[str]) -> None:
    """Walk typer's own parser over a command line, as far as reading it, without running it; settings are read as a home's are."""
    from edge_sleep.config import load

    command, path, rest = command_of(list(words))
    assert command.make_context(" ".join(path), list(rest)) is not None
    before = rest[:rest.index("--")] if "--" in rest else rest
    load(None, [value for option, value in zip(before, before[1:], strict=False) if option == "--set"])
