"""Whose words a transcript holds: what a model's name says, and whether that can be this companion.

A 14 B model's fluent answers are not what a 0.5 B companion said, and training on them unasked would be
somebody else's raising. Only a stated contradiction keeps a session out: names of fine-tunes often state
nothing, and most transcripts name no model at all.
"""
from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePath

SAME_SIZE = 1.25                          # ratio: 0.494 and 0.5, or 7 and 8, are one size class; 0.5 and 0.8 are not
# Longer names first: tinyllama is not llama.
_FAMILIES = """tinyllama codellama llama qwen qwq phi gemma gemini mistral mixtral ministral deepseek smollm olmo falcon granite
    pythia gpt claude opt bloom stablelm internlm command-r nemotron starcoder vicuna minicpm exaone kimi glm grok hunyuan
    ernie baichuan yi lfm rwkv mamba zephyr dolphin hermes seedling""".split()
_FAMILY = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, _FAMILIES))})(?![a-z])"
                     r"(?:[-_: ]?v?(\d+(?:\.\d+)?)(?![\d.]*\s?[bm](?![a-z])|x\d))?")   # its version, and not its size
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)\s?([bm])(?![a-z0-9])")
# How SAGE lays out its files: instances/sprout-qwen2.5-0.5b/, tracks/raising-14b/, R14B_021.json.
_IN_PATH = re.compile(rf"(?<![a-z])(?:(?:{'|'.join(map(re.escape, _FAMILIES))})[\d.]*[-_]?\d+(?:\.\d+)?[bm]"
                      r"|raising[-_]\d+b)(?![a-z0-9])"
                      r"|(?<![a-z0-9])r(\d{1,2}b)(?=_)", re.IGNORECASE)
_FOLDERS = 3                              # above a file, that may say whose session it is


@dataclass(frozen=True)
class ModelName:
    """What a name states: family, version of the family, billions of parameters; None for what it does not."""

    family: str | None = None
    version: str | None = None
    billions: float | None = None

    def __str__(self) -> str:
        family = f"{self.family or 'a model'}{self.version or ''}"
        return family if self.billions is None else f"{family} of {self.billions:g} B"


def parse(name: str) -> ModelName:
    """`Qwen/Qwen2.5-14B-Instruct`, `phi4:14b`, `SmolLM2-135M` to what they state; nothing for `epistemic-pragmatism`."""
    text = name.casefold().rpartition("/")[2]      # without whose it is: Qwen/Qwen2.5-14B-Instruct
    family = _FAMILY.search(text)
    size = _SIZE.search(text)
    billions = None
    if size:
        billions = int(size[1] or 1) * float(size[2]) * (1.0 if size[3] == "b" else 1e-3)
    return ModelName(family[1] if family else None, family[2] if family else None, billions)


def in_path(path: str) -> str | None:
    """The model that a file's name states, else one of the folders just above it; the nearest."""
    found = list(_IN_PATH.finditer("/".join(PurePath(path).parts[-1 - _FOLDERS:])))
    return (found[-1][1] or found[-1][0]) if found else None


def contradicts(own: ModelName, other: ModelName) -> bool:
    """Whether two names cannot be one model: both state a family, a version or a size, and differ in it."""
    if own.family and other.family and own.family != other.family:
        return True
    if own.family and own.family == other.family and own.version and other.version and not (
            f"{own.version}.".startswith(f"{other.version}.") or f"{other.version}.".startswith(f"{own.version}.")):
        return True
    if own.billions and other.billions:
        return max(own.billions, other.billions) > SAME_SIZE * min(own.billions, other.billions)
    return False


def foreign(stated: str | None, own: ModelName | None, also: Iterable[str] = ()) -> str | None:
    """Why a session's words are another model's, as evidence; None where they may be learned.

    stated: the model that the session names. own: the base's name and size, None where unknown. also: patterns
    (`*14b*`, case ignored) of models whose words were asked for besides.
    """
    if stated is None or own is None or any(fnmatchcase(stated.casefold(), pattern.casefold()) for pattern in also):
        return None
    if contradicts(own, parse(stated)):
        return f"said by {stated}; this companion is {own} (companion.models)"
    return None
