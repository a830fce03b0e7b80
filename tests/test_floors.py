"""Imports go down: to lower floors and within a room, never up, never to a neighbour (ARCHITECTURE.md)."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "edge_sleep"
FLOORS: dict[int, tuple[str, ...]] = {
    0: ("errors", "config"), 1: ("system",), 2: ("device", "ops", "remote", "seal"), 3: ("data",), 4: ("model", "checkpoint"),
    5: ("train", "evaluate"), 6: ("export",), 7: ("serve", "sync", "thor"), 8: ("night", "stages", "integrations"),
    9: ("schedule",), 10: ("cli", "__main__")}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
# Beside the floors: they may use any room; the rooms may use the paths in seedling/__init__.py, no more.
BESIDE = ("seedling", "benchmarks", "kernels", "profiles")
# The suite is a command, and no room below could use it; benchmarks/ imports no command, so that nothing goes in a circle.
COMMANDS = {("cli/bench.py", "benchmarks")}
ONE_ROOM = ({"errors", "config"}, {"night", "stages"}, {"cli", "__main__"})


def imported(tree: ast.AST) -> set[tuple[str, ...]]:
    """Every edge_sleep module a file imports, inside functions too, as parts after `edge_sleep`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {tuple(name.split(".")[1:]) for name in names if name.split(".")[0] == "edge_sleep"}


def offences(file: Path, text: str) -> list[str]:
    room = file.parts[0].removesuffix(".py")
    if room == "benchmarks":
        return [f"{file} imports a command" for parts in imported(ast.parse(text)) if parts[:1] == ("cli",)]
    if room in (*BESIDE, "__init__"):
        return []
    found = []
    for parts in imported(ast.parse(text)):
        other = parts[0] if parts else ""
        if other in FLOOR:
            same = other == room or any({room, other} <= rooms for rooms in ONE_ROOM)
            if not same and FLOOR[other] >= FLOOR[room]:
                found.append(f"{file} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]})")
        elif other in BESIDE and (file.as_posix(), other) not in COMMANDS and (other != "seedling" or not (len(parts) == 1 or parts[1].isupper())):
            found.append(f"{file} imports {'.'.join(parts)}, which stands beside the floors")
    return found


FILES = [file.relative_to(PACKAGE) for file in sorted(PACKAGE.rglob("*.py"))]
BENCHMARKS = PACKAGE.parent / "benchmarks"


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_go_down(file: Path) -> None:
    assert file.parts[0].removesuffix(".py") in (*FLOOR, *BESIDE, "__init__"), "a new room: give it a floor"
    assert offences(file, (PACKAGE / file).read_text()) == []


def test_no_benchmark_imports_a_command() -> None:
    found = [offence for file in sorted(BENCHMARKS.rglob("*.py"))
             for offence in offences(file.relative_to(BENCHMARKS.parent), file.read_text())]
    assert found == []


@pytest.mark.parametrize("file, line", [
    ("data/x.py", "from edge_sleep.model import base"), ("model/x.py", "def f():\n    import edge_sleep.checkpoint.store"),
    ("system/x.py", "from edge_sleep import night"), ("cli/night.py", "from edge_sleep.benchmarks.suite import run"),
    ("benchmarks/x.py", "from edge_sleep.cli import output"), ("model/x.py", "from edge_sleep.seedling.grow import main")])
def test_the_guard_sees_it(file: str, line: str) -> None:
    assert offences(Path(file), line)
