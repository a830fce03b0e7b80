"""What a night rehearses so that it does not forget: a general set, and what earlier nights taught."""
from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sleep.data.experience import Example, Experience, Message
from edge_sleep.data.phrases import RESOURCES
from edge_sleep.errors import ConfigError, IntegrityError

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ReplayItem:
    """One conversation of the general set; the last message is the companion's."""

    messages: tuple[Message, ...]
    kind: str
    source: str                            # file name and line


def read_lines(path: Path) -> list[tuple[int, dict]]:
    """(line number, object) of a JSONL file.

    ConfigError naming every line that is not an object; IntegrityError where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}", "restore the file, or reinstall edge_sleep") from error
    objects, problems = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(f"line {number}: not JSON ({error.msg})")
            continue
        if isinstance(value, dict):
            objects.append((number, value))
        else:
            problems.append(f"line {number}: expected an object with `messages`")
    if problems:
        raise ConfigError(problems, str(path))
    return objects


def checked_messages(value: object) -> str | None:
    """What is wrong with a `messages` list; None when nothing is."""
    if not isinstance(value, list) or not value:
        return "`messages` must be a list of {role, content}"
    for message in value:
        if not (isinstance(message, dict) and message.get("role") in _ROLES
                and isinstance(message.get("content"), str) and message["content"].strip()):
            return "every message needs a role (system, user, assistant) and content that is not empty"
    return None


def load(base_folder: Path | None = None) -> list[ReplayItem]:
    """The base folder's own `edge_sleep/replay.jsonl` where it has one, else the shipped set."""
    path = base_folder / "edge_sleep" / "replay.jsonl" if base_folder is not None else None
    if path is None or not path.is_file():
        path = RESOURCES / "replay.jsonl"
    items, problems = [], []
    for number, value in read_lines(path):
        problem = checked_messages(value.get("messages"))
        if problem is None and value["messages"][-1]["role"] != "assistant":
            problem = "the last message must be the assistant's: it is what is rehearsed"
        if problem:
            problems.append(f"line {number}: {problem}")
            continue
        messages = tuple(Message(role=message["role"], content=message["content"]) for message in value["messages"])
        items.append(ReplayItem(messages, str(value.get("kind", "general")), f"{path.name}:{number}"))
    if problems:
        raise ConfigError(problems, str(path))
    return items


def sizes(new: int, earlier: int, general: int, share: float, earlier_share: float, least: int = 0) -> tuple[int, int]:
    """(earlier, general) counts so that replay is `share` of the whole: r = new * share / (1 - share).

    Too few earlier examples are made up for by general ones, which may repeat; with no general set,
    earlier ones stand in as far as they reach. At least `least` are general whatever the share: what a
    night of three facts must not spill over to is as wide as ever, and many such nights add up.
    """
    wanted = max(round(new * share / (1 - share)), least) if share else 0
    if not general:
        return min(earlier, wanted), 0
    from_earlier = min(earlier, round(wanted * earlier_share))
    return from_earlier, max(wanted - from_earlier, least if share else 0)


def spread(groups: dict[str, list[Example]], count: int, generator: random.Random) -> list[Example]:
    """`count` examples taken in turn from every group, newest group first: each night stays represented."""
    decks = []
    for name in sorted(groups, reverse=True):
        deck = list(groups[name])
        generator.shuffle(deck)
        decks.append(deck)
    taken: list[Example] = []
    while len(taken) < count and any(decks):
        for deck in decks:
            if deck and len(taken) < count:
                taken.append(deck.pop())
    return taken


def mix(new: list[Example], earlier: list[Example], replay: list[ReplayItem], *, share: float, earlier_share: float,
        seed: int, least: int = 0, night_of: dict[str, str] | None = None) -> list[Example]:
    """Tonight's examples and their rehearsal, shuffled; the same seed gives the same night.

    share: replay's part of the result, in [0, 1). earlier_share: the part of that from earlier nights.
    least: general items where the share would give fewer.
    night_of: experience id -> the night that taught it (`taught_in`); without it all earlier ones are one group.
    General items weigh what a new example weighs on average, and so does each earlier one, so that
    replay is `share` of the attention too.
    """
    generator = random.Random(seed)
    weight = sum(example.weight for example in new) / len(new) if new else 1.0
    from_earlier, from_general = sizes(len(new), len(earlier), len(replay), share, earlier_share, least)
    groups: dict[str, list[Example]] = {}
    for example in earlier:
        groups.setdefault((night_of or {}).get(example.source, ""), []).append(example)
    rehearsed = [replace(example, weight=weight, origin="earlier") for example in spread(groups, from_earlier, generator)]
    general = [Example(item.messages, weight, "replay", item.source)
               for item in _draw(replay, from_general, generator)]
    mixed = [*new, *rehearsed, *general]
    generator.shuffle(mixed)
    return mixed


def _draw(replay: Sequence[ReplayItem], count: int, generator: random.Random) -> list[ReplayItem]:
    """Whole passes over the set, then a sample without replacement: no item is drawn twice as often as another + 1."""
    drawn: list[ReplayItem] = []
    while replay and len(drawn) < count:
        drawn += generator.sample(list(replay), min(len(replay), count - len(drawn)))
    return drawn


def taught_in(experiences: Iterable[Experience]) -> dict[str, str]:
    """Experience id -> the night that first taught it (for `mix(night_of=...)`)."""
    return {experience.id: experience.trained_in[0] for experience in experiences if experience.trained_in}
