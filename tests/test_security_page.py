"""docs/security.md: every "cannot" names code and tests that are there; the defaults it speaks of are the defaults."""
from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from edge_sleep import config
from edge_sleep.serve import access

TOP = Path(__file__).parent.parent
PAGE = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [row for row in re.findall(r"^\|(.+)\|$", PAGE, re.M) if not set(row) <= set("-|") and "he cannot" not in row]


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE))
    assert len(named) > 40
    for file, name in named:
        assert name in {node.name for node in ast.walk(ast.parse((TOP / file).read_text())) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_file_that_is_named_is_there() -> None:
    for file in re.findall(r"`((?:edge_sleep|docker|tests|\.ci)/[\w./-]+|constraints\.txt|\.dockerignore)(?:::\w+)?`", PAGE):
        assert (TOP / file).is_file(), file


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[0].strip()[:60] for row in ROWS])
def test_a_cannot_is_shown(row: str) -> None:
    what, because, shown = (cell.strip() for cell in row.split("|"))
    assert re.search(r"`(edge_sleep/|docker/|\.dockerignore)", because), f"{what}: no code is named"
    assert what and re.search(r"`tests/[\w/]+\.py::test_\w+`", shown), what


def test_as_it_comes_nothing_is_switched_on() -> None:
    now = config.load()
    assert (now.sync.remote, now.thor.mailbox, now.schedule.webhook, now.schedule.command, now.neighbours.ollama) == ("", "", "", "", "")
    assert now.companion.allow_download is False and now.export.kinds == () and now.power.mode == ""
    assert access.is_loopback(now.serve.host) and now.serve.token == "auto"
    assert set(now.data.redact) == {"key", "password", "email", "iban", "card", "phone", "home_path"}


def test_one_place_listens() -> None:
    """A socket that others can reach is bound in one file."""
    found = {file.relative_to(TOP).as_posix() for file in (TOP / "edge_sleep").rglob("*.py")
             for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("bind", "create_server", "start_server")}
    assert found == {"edge_sleep/serve/server.py"}
