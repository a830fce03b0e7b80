"""Write docs/reference.md and docs/messages.md from the code: commands, settings, exit codes, every error with its advice.

    python .ci/reference.py

Commands are read off their functions, not off the parser that typer makes of them: any version of typer gives the same page.
"""
from __future__ import annotations

import ast
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from datetime import time
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))       # the checkout beside it, wherever this is run from

from pydantic.fields import FieldInfo  # noqa: E402

from edge_sleep import config, errors  # noqa: E402
from edge_sleep.cli import context, main  # noqa: E402

MADE = "<!-- Made by `make reference` from the code; a test compares the two. -->"
COMMON = (context.HomeOption, context.ProfileOption, context.SetOption, context.JsonOption)
KINDS = {str: "TEXT", int: "N", float: "X", bool: "", Path: "PATH"}
ENVIRONMENT = {
    "EDGE_SLEEP_HOME": "the home, where `--home` is left out",
    "EDGE_SLEEP_KERNELS": "where compiled kernels lie; else the user's cache folder",
    "XDG_DATA_HOME": "the home is `edge-sleep` in it, where neither names one",
    "OMP_NUM_THREADS": "CPU threads of torch, where `train.threads` is 0",
}
# What each code means to whoever reads it; the classes of errors.py and the outcomes of a night stand beside it.
MEANING = {
    "OK": "promoted, or the command did its work", "USAGE": "what was asked contradicts itself, or the configuration does",
    "NOTHING_TO_DO": "no new experience, or not the hour", "REJECTED": "the candidate was refused, the incumbent stays",
    "STOPPED_TIME": "stopped by its time; the next night goes on",
    "STOPPED_HEAT": "stopped by heat or power; the next night goes on",
    "PREEMPTED": "gave way to a conversation; the next night goes on", "NO_EFFECT": "no measurable effect, the incumbent stays",
    "SHIPPED": "sent to another machine; the next night goes on", "BUSY": "another night or conversation holds the lock",
    "DOES_NOT_FIT": "the plan does not fit the memory", "STORAGE": "the disk is full, or not writable",
    "DEVICE": "no usable device or library", "MODEL": "model or adapter cannot be used",
    "INTEGRITY": "bytes on the disk are not the bytes that were promised",
    "SYNC": "a remote cannot be reached; what waits is kept",
    "REMOTE_REFUSED": "what came from another machine is refused", "BUG": "a bug: the traceback is in a file",
}


def commands(app: Any = main.app, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Callable | None]]:
    """(words, help, function) of each command, in the order of the code; a group without a function of its own has None."""
    for entry in app.registered_commands:
        if not entry.hidden:
            name = entry.name or entry.callback.__name__.replace("_", "-")
            yield (*path, name), entry.help or inspect.getdoc(entry.callback) or "", entry.callback
    for group in app.registered_groups:
        of = group.typer_instance
        text = next((text for text in (group.help, of.info.help) if isinstance(text, str)), "")
        yield (*path, group.name), text, of.registered_callback and of.registered_callback.callback
        yield from commands(of, (*path, group.name))


def parameters(function: Callable) -> Iterator[tuple[str, str, str]]:
    """(as it is typed, default, help) of what a command takes besides the four common options."""
    common = {id(typing.get_args(option)[1]) for option in COMMON}
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        found = typing.get_args(parameter.annotation)
        info = found[1] if len(found) > 1 and hasattr(found[1], "param_decls") else None
        if info is None or id(info) in common or info.hidden:
            continue
        value = metavar(found[0], info)
        text, told = told_default(info.help or "")
        default = told or ("" if parameter.default in (None, False, inspect.Parameter.empty) else str(parameter.default))
        if type(info).__name__ == "ArgumentInfo":
            typed = value or name.upper()
        else:
            given = [text for text in (info.default, *info.param_decls) if isinstance(text, str)]
            given = given or [f"--{name.replace('_', '-')}"]
            typed = f"{', '.join(given)} {value}".strip()
        yield typed, default, text


def told_default(text: str) -> tuple[str, str]:
    """(help, the default that it tells at its end) of an option."""
    text = " ".join(text.split())
    told = re.search(r"\s*\[default: (.*)\]$", text)
    return (text[:told.start()], told.group(1)) if told else (text, "")


def metavar(kind: Any, info: Any) -> str:
    if info.metavar:
        return info.metavar
    many = typing.get_origin(kind) is list or any(typing.get_origin(part) is list for part in typing.get_args(kind))
    while typing.get_args(kind) and typing.get_origin(kind) is not typing.Literal:
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    word = "|".join(typing.get_args(kind)) if typing.get_origin(kind) is typing.Literal else KINDS[kind]
    return word + ("..." if many and type(info).__name__ == "ArgumentInfo" else "")


def rows(lines: list[tuple[str, ...]]) -> list[str]:
    """A table, its first line the head; a bar inside a cell is kept from ending it."""
    made = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return [made[0], "|---" * len(lines[0]) + "|", *made[1:], ""]


def of_commands() -> list[str]:
    lines = ["## Commands", "", "Each takes these four besides its own:", ""]
    table = [("option", "default", "")]
    for option in COMMON:
        info = typing.get_args(option)[1]
        text, default = told_default(info.help)
        table.append((f"`{' '.join(filter(None, (info.default, info.metavar)))}`", default, text))
    lines += rows(table)
    for path, text, function in commands():
        if path[0] == "wake":
            if len(path) == 1:
                lines += ["### edge-sleep wake", "", "The same as `session`.", ""]
            continue
        body, _, example = text.partition("Example: ")
        lines += [f"### edge-sleep {' '.join(path)}", "", " ".join(body.split()), ""]
        if example:
            lines += ["```sh", " ".join(example.split()), "```", ""]
        taken = list(parameters(function)) if function else []
        if taken:
            lines += rows([("takes", "default", ""), *((f"`{typed}`", default, said) for typed, default, said in taken)])
    return lines


def allowed(field: FieldInfo) -> str:
    """What a value may be, in words."""
    def words(kind: Any) -> str:
        origin, parts = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Literal:
            return ", ".join(f"`{part}`" for part in parts)
        if origin is typing.Annotated:
            if any(getattr(part, "func", None) is config.parse_duration for part in parts):
                return "a duration, such as `55m`"
            if any(getattr(part, "func", None) is config.parse_time_of_day for part in parts):
                return "a time of day, such as `22:00`"
            return " ".join(filter(None, (words(parts[0]), bounds(parts[1:]))))
        if origin is tuple:
            return f"a list{',' if typing.get_origin(parts[0]) is typing.Literal else ''} of {words(parts[0])}"
        if parts:
            return " or ".join("null" if part is type(None) else words(part) for part in parts)
        return {str: "text", int: "a whole number", float: "a number", bool: "`true`, `false`"}[kind]

    if field.metadata and any(getattr(part, "func", None) is config.parse_duration for part in field.metadata):
        return "a duration, such as `55m`"
    if field.metadata and any(getattr(part, "func", None) is config.parse_time_of_day for part in field.metadata):
        return "a time of day, such as `22:00`"
    parts = [part for part in typing.get_args(field.annotation) if part is not type(None)]
    nullable = type(None) in typing.get_args(field.annotation)
    said = " or ".join(map(words, parts)) if nullable else words(field.annotation)
    return " ".join(filter(None, (said, bounds(field.metadata)))) + (", or null" if nullable else "")


def bounds(metadata: Any) -> str:
    found = []
    for part in metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (value := getattr(part, name, None)) is not None:
                found.append(f"{sign} {value:g}" if isinstance(value, float) else f"{sign} {value}")
        nested = getattr(part, "metadata", None)
        if nested:
            found.append(bounds(nested))
    return ", ".join(dict.fromkeys(filter(None, found)))


def shown(value: Any, duration: bool) -> str:
    """A default as it would be typed."""
    if isinstance(value, tuple):
        return "[" + ", ".join(map(str, value)) + "]"
    if duration:
        hours, rest = divmod(int(value), 3600)
        minutes, seconds = divmod(rest, 60)
        return "".join(f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n) or "0s"
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def of_settings() -> list[str]:
    lines = ["## Configuration", "",
             "`section.key`, in `edge-sleep.yaml` of the home or by `--set section.key=value`. Later layers win: these "
             "defaults, the board's profile, what travels with the base, `train.preset`, the home's file, the command line. "
             "Units stand in the names. A list is typed as `[a, b]`.", ""]
    for name, section in config.Config.model_fields.items():
        table = [("key", "default", "may be", "")]
        for key, field in section.annotation.model_fields.items():      # type: ignore[union-attr]
            may = allowed(field)
            value = shown(field.default, may.startswith("a duration"))
            table.append((f"`{name}.{key}`", f"`{value}`" if value else "", may, field.description or ""))
        lines += [f"### {name}", "", *rows(table)]
    gentle = [f"`{section}.{key}={shown(value, False)}`" for section, keys in config.PRESETS["gentle"].items()
              for key, value in keys.items()]
    return [*lines, f"`train.preset: gentle` sets {', '.join(gentle)}.", ""]


def of_exit_codes() -> list[str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgeSleepError)]
    table = [("code", "means", "outcome of a night", "error")]
    for code in errors.Exit:
        outcomes = [f"`{outcome.value}`" for outcome in errors.Outcome if outcome.exit_code == code]
        classes = [f"`{kind.__name__}`" for kind in kinds if kind.exit_code == code and kind is not errors.EdgeSleepError]
        table.append((str(int(code)), MEANING[code.name], ", ".join(outcomes), ", ".join(classes)))
    table.append(("128+n", "ended by signal n", "", ""))
    return ["## Exit codes", "", *rows(table), "What to do about each: [troubleshooting.md](troubleshooting.md).", ""]


def reference() -> str:
    environment = rows([("variable", ""), *((f"`{name}`", what) for name, what in ENVIRONMENT.items())])
    lines = ["# Reference", "", MADE, "", *of_commands(), *of_settings(), *of_exit_codes(), "## Environment", "", *environment]
    return "\n".join(lines).rstrip() + "\n"


# Every message that a person can get


def template(node: ast.expr | None, names: dict[str, str]) -> str | None:
    """The text of a string in the code, what varies in it as an ellipsis; None where it is no text of the code."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return (template(node.left, names) or "…") + (template(node.right, names) or "…")
    if isinstance(node, ast.IfExp):
        return template(node.body, names) or template(node.orelse, names)
    return None


@cache
def trees() -> dict[str, ast.Module]:
    """The package's files by name, parsed."""
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
            for file in sorted((ROOT / "edge_sleep").rglob("*.py"))}


@cache
def messages() -> list[tuple[int, str, str, str]]:
    """(exit code, message, what to do, file) of every error that the package makes, in the order of code, file and line."""
    kinds = {name: kind for name, kind in vars(errors).items()
             if isinstance(kind, type) and issubclass(kind, errors.EdgeSleepError) and kind is not errors.EdgeSleepError}
    found = []
    for file, tree in trees().items():
        names = {target.id: text for node in tree.body if isinstance(node, ast.Assign) for target in node.targets
                 if isinstance(target, ast.Name) and (text := template(node.value, {})) is not None}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args or getattr(node.func, "id", "") not in kinds:
                continue
            kind, first = kinds[getattr(node.func, "id", "")], node.args[0]
            if issubclass(kind, errors.ConfigError):
                texts = [template(part, names) for part in getattr(first, "elts", [])]
                do = "correct the keys it names"
            else:
                texts = [template(first, names)]
                do = template(node.args[1], names) or "" if len(node.args) > 1 else ""
            found += [(int(kind.exit_code), file, node.lineno, text, do) for text in texts if text and text.strip("… :\n")]
    return list(dict.fromkeys((code, text, do, file) for code, file, _, text, do in sorted(found)))


def listed() -> str:
    lines = ["# Messages", "", MADE, "",
             "Errors and the advice that is printed with them, by exit code; `…` is what varies. Search for words of yours. "
             "[troubleshooting.md](troubleshooting.md) says more about the frequent ones.", ""]
    every = messages()
    for code in sorted({entry[0] for entry in every}):
        table = [("message", "do", "from")]
        table += [(cell(message), cell(do), f"`{file.removeprefix('edge_sleep/')}`")
                  for found, message, do, file in every if found == code]
        lines += [f"## {code}", "", *rows(table)]
    return "\n".join(lines).rstrip() + "\n"


def cell(text: str) -> str:
    """Words of the code inside a table: nothing in them is markup."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [re.sub(r"([\\<*])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


PAGES = {"docs/reference.md": reference, "docs/messages.md": listed}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (ROOT / name).write_text(page(), encoding="utf-8")
        print(name)
