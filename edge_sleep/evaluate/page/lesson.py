"""What was taught, what was refused, and how the companion answered before and after."""
from __future__ import annotations

from collections import Counter
from typing import Any

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.markup import Raw, el, fold, join, section
from edge_sleep.evaluate.page.morning import SHOWN_LEARNED, Morning, Refusal, Talk, since

_PROMPT, _ANSWER = 240, 600               # characters of an exchange that are shown
_SAMPLES = 4                              # before the fold
_KIND = {"recall": "in words it was not taught", "own": "as it was taught", "retention": "what the base could do",
         "unknowns": "what it cannot know, or can"}


def learned(morning: Morning) -> Raw:
    record = morning.record
    data = record.get("data") or {}
    title = "What it learned" if record.get("outcome") == "promoted" else "What it was taught"
    selected = words.known(data.get("selected"))
    if not selected and not morning.learned:
        read = f"{words.plural(data.get('exchanges'), 'exchange')} read, {words.whole(data.get('new'))} of them new. " \
            if words.known(data.get("exchanges")) is not None else ""
        return section(title, el("p", f"{read}Nothing was chosen for training."))
    sessions = len(morning.learned) or None
    told = f"{words.plural(selected, 'exchange')}" + (f" from {words.plural(sessions, 'session')}" if sessions else "")
    rehearsed = words.known(data.get("replay"))
    lead = words.capital(told) + (f", and {words.plural(rehearsed, 'older one')} rehearsed." if rehearsed else
                                    ", nothing rehearsed." if rehearsed == 0 else ".")
    left = SHOWN_LEARNED
    folds = []
    for talk in morning.learned:
        shown = talk.exchanges[:left]
        left -= len(shown)
        folds.append(_talk(talk, shown))
    gone = int(selected or 0) - sum(len(talk.exchanges) for talk in morning.learned)
    notes = [f"{words.plural(gone, 'exchange')} of this night {'is' if gone == 1 else 'are'} no longer in the home."] \
        if gone > 0 else []
    if masked := _counted(data.get("redacted")):
        notes.append(f"Masked before it was stored: {masked}.")
    return section(title, el("p", lead), folds, [el("p", note, class_="quiet") for note in notes])


def _talk(talk: Talk, shown: tuple[tuple[str, str], ...]) -> Raw:
    hidden = len(talk.exchanges) - len(shown)
    about = f" \u00b7 {_when(talk.when)}{words.plural(len(talk.exchanges), 'exchange')}"
    return fold(join(el("b", words.capital(talk.name), dir="auto"), about, _strongest(talk)),
                [exchange(prompt, answer) for prompt, answer in shown],
                el("p", f"{words.plural(hidden, 'more exchange')} not shown here.", class_="quiet") if hidden else None)


def _strongest(talk: Talk) -> Raw | None:
    """What stands before the fold: the exchange that weighed most, in short."""
    if not talk.exchanges:
        return None
    prompt, answer = (words.cut(" ".join(said.split()), 90) for said in talk.exchanges[0])
    return el("span", el("q", prompt, dir="auto"), " ", el("q", answer, dir="auto"), class_="strongest")


def _when(stamp: str | None) -> str:
    found = words.moment(stamp) or words.moment(f"{stamp}+00:00")     # a transcript's own time may have no offset
    return f"{words.day(found.isoformat())} \u00b7 " if found else ""


def exchange(prompt: str, answer: str, note: Any = None) -> Raw:
    return el("div", el("p", words.cut(prompt, _PROMPT), class_="asked", dir="auto"),
              el("p", words.cut(answer, _ANSWER) or el("i", "no words"), class_="said", dir="auto"), note, class_="exchange")


def refused(morning: Morning) -> Raw:
    counts, data = morning.refused_counts, morning.record.get("data") or {}
    files = _counted(data.get("refused"))
    unread = el("p", f"Files that were not read: {files}.", class_="quiet") if files else None
    if not counts:
        told = _counted(data.get("quarantined"))
        text = f"Set aside while reading: {told}. Their words are not in this home any more." if told \
            else "Nothing was set aside."
        return section("What was refused", el("p", text), unread)
    total = sum(counts.values())
    lead = (f"{words.plural(total, 'exchange')} {'was' if total == 1 else 'were'} set aside {since(morning.earlier)} and taught "
            "nothing. Nothing is deleted: ")
    by_reason = {reason: [item for item in morning.refused if item.reason == reason] for reason in counts}
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return section("What was refused", el("p", lead, el("code", "edge-sleep experiences release ID"), " overrules."),
                   [_reason(reason, number, by_reason[reason]) for reason, number in ranked], unread)


def _reason(reason: str, number: int, shown: list[Refusal]) -> Raw:
    def why(item: Refusal) -> Raw:
        evidence = f": {words.cut(item.evidence, 240)}" if item.evidence else ""
        return el("p", f"{item.session}{evidence}", class_="quiet", dir="auto")

    hidden = number - len(shown)
    return fold(join(el("b", words.capital(words.plain(reason))), f" \u00b7 {words.plural(number, 'exchange')}"),
                [exchange(item.prompt, item.response, why(item)) for item in shown],
                el("p", f"{words.plural(hidden, 'more exchange')} not shown here.", class_="quiet") if hidden > 0 else None)


def answers(morning: Morning) -> Raw:
    samples = [sample for sample in (morning.record.get("gate") or {}).get("samples") or [] if isinstance(sample, dict)][:12]
    if not samples:
        return section("Before and after", el("p", "No question was asked tonight."))
    rest = samples[_SAMPLES:]
    lead = "The same questions, put to yesterday\u2019s companion and to tonight\u2019s candidate."
    return section("Before and after", el("p", lead, class_="quiet"),
                   [_sample(sample) for sample in samples[:_SAMPLES]],
                   fold(f"{words.plural(len(rest), 'more question')}", [_sample(sample) for sample in rest]) if rest else None)


def _sample(sample: dict) -> Raw:
    def column(name: str, said: Any, note: Any = None) -> Raw:
        text = words.cut(said or "", _ANSWER)
        return el("div", el("h4", name, note),
                  el("p", text if text.strip() else el("i", "no words"), class_="said", dir="auto"))

    kind = _KIND.get(str(sample.get("kind")), words.plain(sample.get("kind")))
    right = sample.get("right")
    mark = None if right is None else join(" \u00b7 ", el("span", "right", class_="right") if right else "not right")
    return el("article", el("h3", words.cut(sample.get("question") or "", _PROMPT), dir="auto"), el("p", kind, class_="kind"),
              el("div", column("Before", sample.get("before")), column("After", sample.get("after"), mark), class_="sides"),
              class_="sample")


def _counted(counts: Any) -> str:
    found = Counter({str(name): number for name, number in (counts or {}).items() if number})
    return ", ".join(f"{words.whole(number)} {words.plain(name)}" for name, number in sorted(found.items()))
