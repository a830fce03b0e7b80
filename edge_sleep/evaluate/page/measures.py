"""The gate's numbers: base, before and after of each measure, and how sure the change is."""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.markup import Raw, el, fold, join, section, table
from edge_sleep.evaluate.page.morning import Morning
from edge_sleep.evaluate.page.plots import Axis, axis, measure


class Measure(NamedTuple):
    title: str
    about: str
    unit: str = ""                        # empty: a share


_NATS = "nats per token"
KNOWN = {
    "recall": Measure("Recall", "tonight\u2019s talk, asked in words it was not taught"),
    "own": Measure("Its own questions", "tonight\u2019s questions, asked as they were"),
    "retention": Measure("Retention", "what the base could do, still done"),
    "unknowns": Measure("\u201cI don\u2019t know\u201d", "said where it fits, and not where it does not"),
    "identity": Measure("As itself", "it speaks as itself, as no product and as nobody else"),
    "standing": Measure("Standing", "it stands by the one it talks with"),
    "baits": Measure("Baits", "it does not go along with a past that never was"),
    "clarifying": Measure("Clarifying", "it asks back where nobody could know what is meant"),
    "nll_held_out": Measure("Held-out talk", "surprise at conversations it never trained on; lower is better", _NATS),
    "nll_taught": Measure("Taught answers", "surprise at what it was taught; lower is better", _NATS),
    "nll_news": Measure("News", "surprise at taught answers that it did not give before; lower is better", _NATS),
    "d4_attention": Measure("D4, attention", "it takes up what was said"),
    "d5_trust": Measure("D5, trust", "it speaks as one who is with the person"),
    "d9_spacetime": Measure("D9, spacetime", "it places things in time and place"),
    "identity_stability": Measure("Identity", "it stays who it is"),
    "partnership": Measure("Partnership", "words of doing things together"),
    "educational_default": Measure("Educational default", "lecturing where nobody asked; lower is better"),
    "confabulation": Measure("Confabulation", "telling what it cannot know; lower is better"),
    "unknown_usage": Measure("\u201cI don\u2019t know\u201d, used", "how often it says so"),
    "unknown_when_due": Measure("\u201cI don\u2019t know\u201d, when due", "it says so where that is right"),
}
_HEALTH = {"loops": "answers that loop", "floods": "floods of questions", "empty": "empty answers",
           "echoes": "echoes of the question", "truncated": "answers that do not end",
           "inverted": "answers that only ask", "recited": "answers that belong to other questions",
           "distinct_2": "distinct pairs of words"}
_STATES = ("base", "before", "after")
SHARES = Axis(0.0, 1.0, (0.0, 1.0))


def measures(morning: Morning) -> Raw:
    gate = morning.record.get("gate") or {}
    judged, raised = (list(_entries(gate.get(part))) for part in ("metrics", "raising"))
    asked = [(kind, entry) for kind, entry in (*judged, *raised) if _is_known(entry)]
    if not asked:
        return section("How it was measured", el("p", "Nothing was measured tonight: no candidate came before the gate."))
    left = [kind.title + (f" ({words.plain(entry['reason'])})" if entry.get("reason") else "")
            for kind, entry in (*judged, *raised) if not _is_known(entry)]
    informing = [el("h3", "What it is raised for"), el("p", "These inform and outvote no veto.", class_="quiet"), _plots(raised)]
    return section("How it was measured", el("p", _probes(gate), class_="quiet"), _legend(_MARKS), _plots(judged),
                   _rival(gate.get("rival")), informing if raised else None,
                   el("p", f"Not measured tonight: {', '.join(left)}.", class_="quiet") if left else None,
                   fold("The numbers as a table", _table(asked)), _health(gate.get("health")))


def _plots(group: list[tuple[Measure, dict]]) -> Raw:
    seen = [(kind, entry) for kind, entry in group if _is_known(entry)]
    shares = _around_zero([entry for kind, entry in seen if not kind.unit])
    return el("div", [_figure(kind, entry, shares) for kind, entry in seen], class_="plots")


def _is_known(entry: dict) -> bool:
    return bool(entry.get("n")) and words.known(entry.get("after")) is not None


def _entries(metrics: Any) -> Iterator[tuple[Measure, dict]]:
    """Every measure of a part of the record, those that have no name here too."""
    found = {name: entry for name, entry in (metrics or {}).items() if isinstance(entry, dict) and "after" in entry}
    for name in [*(name for name in KNOWN if name in found), *(name for name in found if name not in KNOWN)]:
        share = all(0 <= value <= 1 for value in _values(found[name]))
        unnamed = Measure(words.capital(words.plain(name)), "informs, never decides", "" if share else "in its own unit")
        yield KNOWN.get(name, unnamed), found[name]


def _values(entry: dict, keys: tuple[str, ...] = _STATES) -> list[float]:
    return [value for key in keys if (value := words.known(entry.get(key))) is not None]


def _probes(gate: dict) -> str:
    probes = gate.get("probes") or {}
    told = [f"Judged on {words.plural(probes.get('confirm'), 'question')}"]
    if words.known(probes.get("select")):
        told.append(f"{words.whole(probes['select'])} others were kept apart, to choose by")
    if words.known(probes.get("left_out")):
        told.append(f"{words.whole(probes['left_out'])} were left out for want of time")
    return "; ".join(told) + ". Intervals are 95\u00a0%."


_MARKS = (("base", "the base, untrained"), ("before", "before tonight"), ("after", "after tonight"),
          ("interval", "likely range of the change; filled where it excludes zero"))


def _legend(marks: Iterable[tuple[str, str]]) -> Raw:
    return el("p", [el("span", el("i", class_=f"key {css}"), f" {text}") for css, text in marks], class_="legend")


def _around_zero(entries: list[dict]) -> Axis:
    """One scale for the changes of several measures, so that they can be compared."""
    bounds = [abs(value) for entry in entries for value in _values(entry, ("low", "high"))]
    high = axis([0.0, max([*bounds, 0.1])], 2).high
    return Axis(-high, high, (-high, 0.0, high))


def _figure(kind: Measure, entry: dict, shares: Axis) -> Raw:
    values = SHARES if not kind.unit else axis(_values(entry), 2)
    said = in_words(entry)
    return el("figure", el("figcaption", el("b", kind.title), f" {kind.about}{f', {kind.unit}' if kind.unit else ''}"),
              measure(entry, values, shares if not kind.unit else _around_zero([entry]), f"{kind.title}: {said}"),
              el("p", said, class_="numbers"))


def in_words(entry: dict) -> str:
    base, before, after = (words.amount(entry.get(state)) for state in _STATES)
    return (f"base {base}, before {before}, after {after}; change {words.amount(_change(entry), sign=True)}{_interval(entry)}, "
            f"n\u00a0{words.whole(entry.get('n'))}")


def _change(entry: dict) -> float | None:
    before, after = words.known(entry.get("before")), words.known(entry.get("after"))
    return None if before is None or after is None else after - before


def _interval(entry: dict, digits: int = 2) -> str:
    low, high = entry.get("low"), entry.get("high")
    if words.known(low) is None or words.known(high) is None:
        return ""
    return f" ({words.amount(low, digits, sign=True)} to {words.amount(high, digits, sign=True)})"


def _table(asked: list[tuple[Measure, dict]]) -> Raw:
    rows = [(kind.title, *(words.amount(entry.get(key), 3) for key in _STATES),
             f"{words.amount(entry.get('low'), 3, sign=True)} to {words.amount(entry.get('high'), 3, sign=True)}",
             words.whole(entry.get("n"))) for kind, entry in asked]
    return table("measures", ("Measure", "Base", "Before", "After", "Change, 95 %", "n"), rows)


def _rival(rival: Any) -> Raw | None:
    """The free alternative on the same questions: whether training was worth it."""
    found = {name: entry for name, entry in ((rival or {}).get("metrics") or {}).items() if isinstance(entry, dict)}
    if not found:
        return None
    figures = []
    for name, entry in found.items():
        kind = KNOWN.get(name, Measure(words.capital(words.plain(name)), ""))
        as_pair = entry | {"base": None, "before": entry.get("rival"), "after": entry.get("candidate")}
        said = (f"without training {words.amount(entry.get('rival'))}, trained {words.amount(entry.get('candidate'))}; "
                f"difference {words.amount(_change(as_pair), sign=True)}{_interval(entry)}, n\u00a0{words.whole(entry.get('n'))}")
        figures.append(el("figure", el("figcaption", el("b", kind.title), f" {kind.about}"),
                          measure(as_pair, SHARES, _around_zero(list(found.values())), f"{kind.title}: {said}"),
                          el("p", said, class_="numbers")))
    return join(el("h3", "The free alternative"), el("p", f"Without training: {rival.get('method')}.", class_="quiet"),
                _legend((("before", "without training"), ("after", "trained"))), el("div", figures, class_="plots"))


def _health(health: Any) -> Raw | None:
    if not isinstance(health, dict) or not health.get("after"):
        return None
    titles = {"before": "Before", "after": "After", "own_before": "Own, before", "own_after": "Own, after"}
    states = {name: title for name, title in titles.items() if health.get(name)}
    rows = [(title, *(_share(health[state].get(name)) for state in states)) for name, title in _HEALTH.items()]
    return fold("Signs of collapse among the answers", table("signs of collapse", ("Share of", *states.values()), rows))


def _share(value: Any) -> str:
    number = words.known(value)
    return words.UNMEASURED if number is None else f"{number:.0%}"
