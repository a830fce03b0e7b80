"""Every page holds: its commands parse, its settings load, its programs compile, its links lead somewhere."""
from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
from functools import cache

import pytest
from edge_sleep.benchmarks.suite import budgets

from edge_sleep import config
from edge_sleep.cli import plan
from edge_sleep.config import document
from edge_sleep.errors import Exit
from tests.documents import PAGES, TOP, blocks, command_of, parse, shell_lines, spans, text, words_of

# What else a page may ask a person to type.
PLAIN = {"cd", "cp", "curl", "cat", "docker", "flock", "git", "loginctl", "mkdir", "pip", "pytest", "python", "sudo", "export", "echo", "ls",
         "journalctl", "ray", "systemctl", "rsync", "df", "free"}
LINES = [(page, line) for page in PAGES for line in shell_lines(page)]
TREE = {node.relative_to(TOP).as_posix() for node in TOP.glob("benchmarks/**/*.py")}


@pytest.mark.parametrize("page, line", LINES, ids=[f"{page}: {line}" for page, line in LINES])
def test_a_command_line(page: str, line: str) -> None:
    words = words_of(line)
    if words is not None:
        parse(words)
    elif line.startswith("make"):
        target = next((word for word in line.split()[1:] if "=" not in word), "night")
        subprocess.run(["make", "-n", target], cwd=TOP, check=True, capture_output=True)
    else:
        assert line.split()[0] in PLAIN, f"{page} teaches {line.split()[0]}, which no test knows"


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_prose(page: str) -> None:
    """A span may leave out values and stop early; what it names must be there."""
    for span in spans(page):
        if re.match(r"edge-sleep [a-z]", span):
            command, path, rest = command_of(re.split(r"[\s|]+", span)[1:])
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}  # type: ignore[attr-defined]
            named = {word.partition("=")[0] for word in rest if word.startswith("--") and word != "--"} - {"--help", "--version"}
            assert named <= known, f"{page}: `{span}`: {' '.join(path)} has no {named - known}"


@pytest.mark.parametrize("page", PAGES)
def test_modules_that_are_named(page: str) -> None:
    for name in re.findall(r"python -m (edge_sleep[\w.]*)", text(page)):
        module = name.removeprefix("edge_sleep.").replace(".", "/")
        place = module if module.startswith("benchmarks") else f"edge_sleep/{module}"
        if name not in ("edge_sleep", "edge_sleep.benchmarks.NAME") and not name.endswith(".NAME"):
            assert (TOP / f"{place}.py").is_file() or (TOP / place / "__init__.py").is_file(), f"{page}: {name}"


@pytest.mark.parametrize("page", PAGES)
def test_blocks(page: str) -> None:
    """YAML is a home's configuration or a benchmark's budgets, JSON is JSON, Python compiles and finds what it takes from edge_sleep."""
    for language, body in blocks(page):
        if language == "json":
            json.loads(body)
        elif language == "yaml":
            said = _document(body)
            if "lines" in said:
                budgets.Budgets.model_validate(said)
            else:
                config.Config.model_validate(said)
        elif language == "python":
            for node in ast.walk(ast.parse(body)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edge_sleep"):
                    source = importlib.util.find_spec(node.module or "")
                    assert source is not None and source.origin, f"{page}: {node.module}"
                    made = (TOP / source.origin).read_text(encoding="utf-8")
                    assert all(re.search(rf"^\s*(class|def) {name.name}\b|^{name.name}\b", made, re.M) for name in node.names), f"{page}: {node.module}"
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edge_sleep":
                    import edge_sleep
                    assert hasattr(edge_sleep, node.attr), f"{page}: edge_sleep.{node.attr}"


def _document(body: str) -> dict:
    import yaml
    return yaml.load(body, Loader=document.Yaml12) or {}  # noqa: S506 - a SafeLoader


def _anchors(page: str) -> set[str]:
    """As they are made of headings: lower case, no punctuation, a dash for each space."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text(page), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text(page), flags=re.S | re.M)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (TOP / page).parent / path if path else TOP / page
        assert file.exists(), f"{page} links to {target}"
        if anchor:
            assert anchor in _anchors(file.resolve().relative_to(TOP).as_posix()), f"{page} links to {target}"


@cache
def _generator():
    spec = importlib.util.spec_from_file_location("reference", TOP / ".ci" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["docs/reference.md", "docs/messages.md"])
def test_generated_pages_are_those_of_the_code(page: str) -> None:
    assert text(page) == _generator().PAGES[page](), "make reference"


def test_the_reference_names_every_command_setting_code_and_variable() -> None:
    made, page = _generator(), text("docs/reference.md")
    from tests.cli.commands import COMMANDS, at
    for path in COMMANDS:
        hidden = any(getattr(at(path[:end]), "hidden", False) for end in range(1, len(path) + 1))
        if path and path[0] != "wake" and not hidden:
            assert f"### edge-sleep {' '.join(path)}\n" in page
    for section, field in config.Config.model_fields.items():
        assert all(f"`{section}.{key}`" in page for key in field.annotation.model_fields)        # type: ignore[union-attr]
        assert all(setting.description for setting in field.annotation.model_fields.values())     # type: ignore[union-attr]
    read = {name for file in (TOP / "edge_sleep").rglob("*.py") for name in re.findall(r'environ(?:\.get\(|\[)"(\w+)"', file.read_text())}
    assert {name for name in read if name.startswith("EDGE_SLEEP_")} <= set(made.ENVIRONMENT)


def test_help_lists_the_sections_there_are() -> None:
    assert plan.SECTIONS.split(", ") == list(config.Config.model_fields)


def _said() -> set[str]:
    """Every text of the package, what varies in it as an ellipsis."""
    made, found = _generator(), set()
    for tree in made.trees().values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Constant, ast.JoinedStr)) and (said := made.template(node, {})):
                found.add(" ".join(said.split()))
    return found


def test_troubleshooting_has_every_code_and_quotes_what_the_code_says() -> None:
    page, said = text("docs/troubleshooting.md"), _said()
    parts = dict(re.findall(r"^## (\d+)\n(.*?)(?=^## |\Z)", page, re.S | re.M))
    assert set(parts) == {str(int(code)) for code in Exit if code}
    of_errors = {str(code) for code, *_ in _generator().messages()}
    for code, body in parts.items():
        quoted = re.findall(r"^\| `([^`]+)` \|", body, re.M)
        assert quoted or code not in of_errors, code
        for message in quoted:
            parts_of = [part for part in message.split("…") if part.strip()]
            near = [line for line in said if all(part in line for part in parts_of)]
            assert any(re.search(".*".join(map(re.escape, parts_of)), line) for line in near), f"nothing says {message!r}"
