"""The head of the page: what came of the night in one sentence, why, and its few numbers."""
from __future__ import annotations

from typing import Any

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.markup import Raw, el, join
from edge_sleep.evaluate.page.morning import Morning

_SENTENCE = {
    "promoted": "Your companion learned tonight, and the next session speaks with what it learned.",
    "nothing_to_do": "There was nothing to do tonight; your companion is as it was.",
    "rejected": "Tonight\u2019s candidate was rejected; your companion is as it was yesterday.",
    "no_effect": "Training made no measurable difference; your companion is as it was yesterday.",
    "stopped_time": "The night ran out of time; it is saved, and the next night goes on where it stopped.",
    "stopped_heat": "The night stopped because of heat or power; it is saved, and the next night goes on.",
    "preempted": "A conversation took the device; the night is saved and goes on later.",
    "shipped": "Tonight\u2019s work was sent to another machine; here nothing has changed yet.",
    "does_not_fit": "The night does not fit this machine; nothing was changed.",
    "integrity": "Something on disk is not what it should be; nothing was loaded or changed.",
    "failed": "The night failed; your companion is as it was yesterday.",
}


def sentence(record: dict) -> str:
    outcome, selected = record.get("outcome"), words.known((record.get("data") or {}).get("selected"))
    if outcome == "promoted" and selected:
        them = "it" if selected == 1 else "them"
        return f"Your companion learned {words.plural(selected, 'exchange')} tonight, and the next session speaks with {them}."
    return _SENTENCE.get(str(outcome), "This night has not ended yet.")


def head(morning: Morning) -> Raw:
    record = morning.record
    outcome = str(record.get("outcome") or "not ended")
    began, ended = record.get("started"), record.get("ended")
    when = f"Night of {words.day(began)}, {words.time_of_day(began)} to {words.time_of_day(ended)}" if words.moment(began) else \
        f"Night {record.get('night')}"
    reasons = [line for line in str(record.get("reason") or "").splitlines() if line.strip()][:12]
    mark = el("span", words.capital(words.plain(outcome)), class_="mark good" if outcome == "promoted" else "mark")
    return el("header", el("p", mark, el("span", when, class_="quiet"), class_="eyebrow"), el("h1", sentence(record)),
              _reasons(reasons), _taken_back(record.get("rolled_back")), _glance(record))


def _reasons(lines: list[str]) -> Raw | None:
    if not lines:
        return None
    said = [words.capital(words.cut(line, 600)) for line in lines]
    if len(said) == 1:
        return el("p", f"{said[0].removesuffix('.')}.", class_="lead", dir="auto")
    return el("ul", [el("li", line, dir="auto") for line in said], class_="lead")


def _taken_back(rolled_back: Any) -> Raw | None:
    """What the day said of the night before, where that was enough to take it back."""
    if not isinstance(rolled_back, dict):
        return None
    return el("p", f"Before it began, {rolled_back.get('from')} was taken back, to {rolled_back.get('to') or 'the base'}: "
              f"{words.cut(rolled_back.get('reason'), 600)}.", class_="lead", dir="auto")


def _glance(record: dict) -> Raw:
    measured, train = record.get("measured") or {}, record.get("train") or {}
    recall = ((record.get("gate") or {}).get("metrics") or {}).get("recall") or {}
    passed = sum(words.known(phase.get("seconds")) or 0.0 for phase in record.get("phases") or [])
    budget = words.known((record.get("plan") or {}).get("budget_seconds"))
    items: list[tuple[str, Any]] = [
        ("Recall", _change(recall.get("before"), recall.get("after"), 2) if recall.get("n") else words.UNMEASURED),
        ("Loss", _change(train.get("loss_first"), train.get("loss_last"), 2)),
        ("Time", f"{words.span(passed)}{f' of {words.span(budget)}' if budget else ''}" if passed else words.UNMEASURED),
        ("Hottest", words.amount(measured.get("max_celsius"), 1, "\u00b0C")),
        ("Energy", words.amount(joules / 1000, 1, "kJ")
         if (joules := words.known(measured.get("energy_joules"))) is not None else words.UNMEASURED)]
    return el("dl", [el("div", el("dt", name), el("dd", value, class_="no" if value == words.UNMEASURED else None))
                     for name, value in items], class_="glance")


def _change(before: Any, after: Any, digits: int) -> Raw | str:
    if words.known(before) is None and words.known(after) is None:
        return words.UNMEASURED
    return join(words.amount(before, digits), el("span", " \u2192 ", aria_label=" to ", role="img"), words.amount(after, digits))
