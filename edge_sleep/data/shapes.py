"""From one parsed JSON document to its dialogues, whatever its shape.

Three things are recognised at any depth: an item that holds a prompt and its answer (by key names
or by the speakers' names as keys), a list of messages with speakers, and lists of either. Training
tracks and experience buffers get their own rule, because they tell the same exchange twice or mix
sessions. Adding a shape is adding a key pair below.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from edge_sleep.data.experience import Exchange, Message
from edge_sleep.system.files import canonical_json

CONTEXT_MESSAGES = 8          # earlier messages kept with an exchange: bounds memory in long sessions
FOLLOWED_BY_CHARACTERS = 300
_PAIR_KEYS = (("prompt", "response"), ("question", "response"), ("user_input", "model_response"),
              ("prompt", "completion"), ("question", "answer"), ("instruction", "output"),
              ("input", "output"), ("user", "assistant"))
_CONVERSATIONAL = {("user_input", "model_response"), ("user", "assistant")}
_STRUCTURAL = {"assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant",
               "bot": "assistant", "user": "user", "human": "user", "prompter": "user", "system": "system",
               "tool": "ignored", "function": "ignored"}
_BUBBLES = {"assistant", "bot", "model"}   # styles that chat logs give to whoever answers
_TEXT_KEYS = ("text", "content", "value", "message")
MODEL_KEYS = ("model", "model_name", "model_used", "model_size")   # where a document names who answered
_LABELS = ("evaluation", "success", "overall_quality", "type", "expected", "classification", "finish_reason")
_CONTEXT = "context"                      # a message so marked was said elsewhere: it is context, and teaches nothing


@dataclass(frozen=True)
class Roles:
    """Who answers and who prompts, as configured; names compare without case."""

    companion: frozenset[str]
    teacher: frozenset[str]

    @classmethod
    def of(cls, companion_names: Iterable[str], teacher_names: Iterable[str]) -> Roles:
        return cls(frozenset(name.casefold() for name in companion_names),
                   frozenset(name.casefold() for name in teacher_names))


@dataclass
class Found:
    """What one document held: exchanges in order, and the speakers that nobody could place."""

    exchanges: list[Exchange] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    entries: int = 0                       # objects seen that held no dialogue


def text_of(value: Any) -> str | None:
    """The text of a message: a string, or OpenAI's list of parts; lone surrogates and NULs replaced."""
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict)]
        value = "\n".join(part for part in parts if isinstance(part, str)) if parts else None
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value.replace("\0", " ").strip()


def _named(item: dict, names: frozenset[str]) -> str | None:
    for key, value in item.items():
        if isinstance(key, str) and key.casefold() in names and isinstance(value, str):
            return key
    return None


def pair_of(item: Any, roles: Roles) -> tuple[str, str, str, bool] | None:
    """(prompt, response, shape, conversational) where one object holds both sides."""
    if not isinstance(item, dict):
        return None
    for key in ("exercise", "probe"):
        inner = item.get(key)
        if isinstance(inner, dict) and (prompt := text_of(inner.get("prompt"))):
            response = text_of(item.get("response"))
            return None if response is None else (prompt, response, f"{key}_response", False)
    for asked, answered in _PAIR_KEYS:
        prompt, response = text_of(item.get(asked)), text_of(item.get(answered))
        if prompt and response is not None:
            if asked == "instruction" and (extra := text_of(item.get("input"))):
                prompt = f"{prompt}\n{extra}"
            return prompt, response, f"{asked}_{answered}", (asked, answered) in _CONVERSATIONAL
    speaks, asks = _named(item, roles.companion), _named(item, roles.teacher)
    if speaks and asks and (prompt := text_of(item[asks])):
        response = text_of(item[speaks])
        return None if response is None else (prompt, response, "names_as_keys", True)
    return None


def message_of(item: Any, roles: Roles) -> tuple[str, str] | None:
    """(role, text) of one message. The role is user, assistant, system or ignored; `?name` for a speaker
    nobody configured, `!name` for one who answers like a companion without being named as this one."""
    if not isinstance(item, dict):
        return None
    text = next((found for key in _TEXT_KEYS if (found := text_of(item.get(key))) is not None), None)
    if text is None:
        return None
    for key in ("role", "from"):
        if isinstance(item.get(key), str):
            name = item[key].casefold()
            return (_STRUCTURAL.get(name) or _by_name(name, roles) or f"?{item[key]}"), text
    for key in ("speaker", "sender", "author", "name"):
        if isinstance(item.get(key), str):
            name = item[key].casefold()
            named = _by_name(name, roles) or _STRUCTURAL.get(name)
            if named is None and str(item.get("css_class", "")).casefold() in _BUBBLES | roles.companion:
                return f"!{item[key]}", text
            return named or f"?{item[key]}", text
    return None


def _by_name(name: str, roles: Roles) -> str | None:
    return "assistant" if name in roles.companion else "user" if name in roles.teacher else None


def is_messages(items: Any, roles: Roles) -> bool:
    return isinstance(items, list) and any(message_of(item, roles) for item in items[:4])


def _labels(item: dict) -> dict:
    """The track's own judgement of an answer: include, exclude, success, quality."""
    labels: dict[str, Any] = {}
    judged = [item, item.get("exercise"), item.get("evaluation"), item.get("r6_evaluation")]
    if isinstance(item.get("r6_evaluation"), dict):
        judged.append(item["r6_evaluation"].get("quality"))
    for source in judged:
        if isinstance(source, dict):
            labels.update({key: source[key] for key in _LABELS
                           if isinstance(source.get(key), (str, bool, int, float))})
    if item.get(_CONTEXT) is True:
        labels[_CONTEXT] = True
    return labels


def chain(turns: list[tuple[str, str, str | None, dict]], keep_context: bool) -> list[Exchange]:
    """Exchanges of (prompt, response, at, labels) in order, with what went before and what came next.

    Turns labelled as context go before the others and make no exchange.
    """
    exchanges: list[Exchange] = []
    said: list[Message] = []
    for number, (prompt, response, at, labels) in enumerate(turns):
        if keep_context and number + 1 < len(turns):
            labels = {**labels, "followed_by": turns[number + 1][0][:FOLLOWED_BY_CHARACTERS]}
        if not labels.pop(_CONTEXT, False):
            exchanges.append(Exchange(prompt, response, number + 1, tuple(said[-CONTEXT_MESSAGES:]), at, labels))
        if keep_context:
            said += [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
    return exchanges


def _at(item: dict) -> str | None:
    value = item.get("timestamp", item.get("at"))
    return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None


def from_messages(items: list, roles: Roles, found: Found) -> None:
    """A list of messages: neighbours of one role are one utterance; other voices count as prompting.

    In a dated log, as many answers in a row as there were prompts in a row are late answers, in their order.
    """
    read = [(message, item) for item in items if (message := message_of(item, roles))]
    # Another companion's words are not this one's to learn, and not a prompt either.
    found.unknown |= {role[1:] for (role, _), _ in read if role.startswith("!")}
    if not any(role == "assistant" for (role, _), _ in read):
        found.unknown |= {role[1:] for (role, _), _ in read if role.startswith("?")} if not found.unknown else set()
        return
    turns: list[tuple[str, str, str | None, dict]] = []
    prompts: list[tuple[str, dict]] = []

    def side(entry: tuple) -> str:
        role = entry[0][0]
        return role[0] if role.startswith("!") else role if role == "assistant" else "prompt"

    spoken = [entry for entry in read if entry[0][0] not in ("system", "ignored")]
    for who, group in groupby(spoken, key=side):
        said = [(text, item) for (_, text), item in group]
        if who == "!":
            prompts = []
        elif who == "prompt":
            prompts += said
        elif len(prompts) == len(said) > 1 and all(_at(item) for _, item in [*prompts, *said]):
            turns += [(asked, text, _at(item), _labels(item)) for (asked, _), (text, item) in zip(prompts, said, strict=True)]
            prompts = []
        elif prompts or turns:
            answer = said[0][0] if len(said) == 1 else "\n".join(text for text, _ in said if text).strip()
            if prompts:
                turns.append(("\n".join(text for text, _ in prompts), answer, _at(said[0][1]), _labels(said[0][1])))
            elif answer:
                turns[-1] = (turns[-1][0], f"{turns[-1][1]}\n{answer}".strip(), *turns[-1][2:])
            prompts = []
    _add(found, chain(turns, keep_context=True), "messages")


def from_pairs(items: list, roles: Roles, found: Found, seen: set[bytes]) -> list:
    """Take every item that is a pair; returns the items that are not, for a deeper look."""
    turns, rest, shape, conversational = [], [], "", True
    numbers: list[Any] = [item.get("turn") for item in items if isinstance(item, dict)]
    numbered = all(isinstance(number, int) and number > before
                   for before, number in zip([-1, *numbers], numbers, strict=False) if isinstance(before, int))
    for item in items:
        pair = pair_of(item, roles)
        if pair is None:
            rest.append(item)
            continue
        # Result files list the same dated trial twice; undated twins are two answers that agree.
        if any(isinstance(key, str) and key.endswith(("timestamp", "_time")) for key in item):
            if (key := canonical_json(item)) in seen:
                continue
            seen.add(key)
        prompt, response, shape, talks = pair
        conversational = conversational and (talks or numbered)
        turns.append((prompt, response, _at(item), _labels(item)))
    _add(found, chain(turns, keep_context=conversational), shape)
    return rest


def _add(found: Found, exchanges: list[Exchange], shape: str) -> None:
    if exchanges:
        start = len(found.exchanges)
        found.exchanges += [replace(exchange, turn=start + number + 1) for number, exchange in enumerate(exchanges)]
        found.shapes.append(shape)


def from_training(document: dict, roles: Roles) -> Found:
    """Training track: the conversation, and the exercises it left out (history was reset per exercise)."""
    found, exercises = Found(), Found()
    conversation = document.get("conversation")
    if isinstance(conversation, list):
        from_messages(conversation, roles, found)
    from_pairs(document["exercises"], roles, exercises, set())
    talked = {exchange.response: number for number, exchange in enumerate(found.exchanges)}
    missing = []
    for exchange in exercises.exchanges:
        if (number := talked.get(exchange.response)) is not None:
            kept = found.exchanges[number]
            found.exchanges[number] = replace(kept, labels={**kept.labels, **exchange.labels})
        else:
            missing.append(exchange)
    ordered = found.exchanges[:1] + missing + found.exchanges[1:] if missing else found.exchanges
    found.exchanges = [replace(exchange, turn=number + 1) for number, exchange in enumerate(ordered)]
    found.shapes = ["training_track"] if found.exchanges else []
    return found


def from_document(document: Any, roles: Roles) -> Found:
    """Every dialogue in a document, in its order; depth first, without recursion."""
    if (isinstance(document, dict) and isinstance(document.get("exercises"), list)
            and (found := from_training(document, roles)).exchanges):
        return found
    found, seen = Found(), set[bytes]()
    pending: list[Any] = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            if is_messages(node, roles):
                from_messages(node, roles, found)
                continue
            pending.extend(reversed(from_pairs(node, roles, found, seen)))
        elif isinstance(node, dict):
            # Names as keys outside a list are a cast of participants, not a turn.
            if (pair := pair_of(node, roles)) and pair[2] != "names_as_keys":
                from_pairs([node], roles, found, seen)
                continue
            found.entries += 1
            pending.extend(reversed([value for value in node.values() if isinstance(value, (list, dict))]))
    return found


def buffer_rows(document: Any) -> list[dict] | None:
    """The entries of a SAGE experience buffer: a list, or the dict-wrapped form; None for anything else."""
    rows = document.get("experiences") if isinstance(document, dict) else document
    if isinstance(rows, list) and rows and all(
            isinstance(row, dict) and "prompt" in row and "response" in row and "salience" in row for row in rows):
        return rows
    return None


def model_of(item: Any) -> str | None:
    """The model that an object names, where it names one."""
    stated = [item[key] for key in MODEL_KEYS if isinstance(item.get(key), str) and item[key]] if isinstance(item, dict) else []
    return stated[0] if stated else None


def by_session(rows: list[dict], roles: Roles) -> Iterator[tuple[str, dict, Found]]:
    """Buffer rows (or plain rows that name their session) grouped by session and model, in order of appearance.

    Yields (session's name, what the rows state of it, its dialogue): machines merged their buffers, so that one
    session number can hold two models' answers.
    """
    groups: dict[tuple[str, str | None], list[dict]] = {}
    for row in rows:
        name = str(row.get("session", row.get("conversation_id", "")))
        groups.setdefault((name, model_of(row.get("metadata")) or model_of(row)), []).append(row)
    for (name, model), group in groups.items():
        found = Found()
        from_pairs(group, roles, found, set())
        stated = {"model": model, "phase": group[0].get("phase")}
        yield name, {key: value for key, value in stated.items() if value}, found
