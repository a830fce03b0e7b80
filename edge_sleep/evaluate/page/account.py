"""What the night did and what it cost: its course as plots, its time by phase, the nights before it, heat and energy."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_sleep.evaluate.page import words
from edge_sleep.evaluate.page.course import CAUSES, course, duty, losses, pauses, placed
from edge_sleep.evaluate.page.markup import Raw, el, fold, section, table
from edge_sleep.evaluate.page.morning import NIGHTS, Morning
from edge_sleep.evaluate.page.plots import Point, Series, Span, bars, chart

_GIB = 2**30


def _unit(seconds: float) -> tuple[float, str]:
    """(seconds of one, name) of the unit in which so long a time is drawn."""
    return (1.0, "seconds") if seconds < 240 else (60.0, "minutes") if seconds < 4 * 3600 else (3600.0, "hours")


def figure(title: str, unit: str, drawn: Raw | None, told: str, why_not: str = words.UNMEASURED) -> Raw:
    """A plot under its title and unit, over its numbers in words; without a plot, why there is none."""
    return el("figure", el("figcaption", el("b", title), f" {unit}" if drawn is not None else None),
              drawn, el("p", told if drawn is not None else why_not, class_="numbers" if drawn is not None else "numbers no"))


def night(morning: Morning) -> Raw:
    events = morning.events
    shape = course(events)
    scale, unit = _unit(shape.seconds)
    readings = placed(shape, events, morning.readings)
    spans = [Span(span.start / scale, span.end / scale, span.css) for span in pauses(shape, events)]
    seams = [seam / scale for seam in shape.seams]
    telemetry = (morning.record.get("environment") or {}).get("telemetry") or {}
    why_not = f"not measured: {telemetry.get('reason') or 'no telemetry was read'}" if telemetry.get("source") in (None, "none") \
        else "not measured: the source did not tell it"

    def timed(title: str, y_unit: str, points: Sequence[Point], told: str, kind: Any = "line", **more: Any) -> Raw:
        drawn = chart([Series([(x / scale, y) for x, y in points], kind)], words=f"{title}, {y_unit}: {told}", spans=spans,
                      seams=seams, until=shape.seconds / scale, **more)
        return figure(title, f"{y_unit}, over {unit}", drawn, told, why_not)

    heat = [(x, hottest[1] if (hottest := reading.hottest) else None) for x, reading in readings]
    watts = [(x, reading.watts) for x, reading in readings]
    memory = [(x, None if reading.memory_available is None else reading.memory_available / _GIB) for x, reading in readings]
    paces = duty(shape, events)
    figures = [_loss(morning),
               timed("Hottest zone", "\u00b0C", heat, _range(heat, "\u00b0C", 1)),
               timed("Power of the board", "watts", watts, _range(watts, "W", 1), include=[0.0]),
               timed("Memory available", "GiB", memory, _range(memory, "GiB", 1), include=[0.0]),
               timed("Duty", "share of the time at work", paces, _duty_told(paces), "step", include=[0.0, 1.0])]
    return section("The night itself", _shades(spans), el("div", figures, class_="plots"),
                   el("p", f"It went on in {words.plural(len(shape.runs), 'run')}; upright lines part them.", class_="quiet")
                   if seams else None)


def _range(points: Sequence[Point], unit: str, digits: int) -> str:
    found = [y for _, y in points if words.known(y) is not None]
    if not found:
        return words.UNMEASURED
    numbers = [float(y) for y in found if y is not None]
    return (f"{words.amount(min(numbers), digits)} to {words.amount(max(numbers), digits, unit)}, "
            f"{words.amount(numbers[-1], digits, unit)} at the end")


def _duty_told(points: Sequence[Point]) -> str:
    passed = worked = 0.0
    for (begin, share), (end, _) in zip(points[::2], points[1::2], strict=True):
        passed += end - begin
        worked += (end - begin) * (share or 0.0)
    if not points or passed <= 0:
        return words.UNMEASURED
    least = min(share for _, share in points if share is not None)
    return f"{worked / passed:.0%} on average, {least:.0%} at least"


def _shades(spans: Sequence[Span]) -> Raw | None:
    causes = list(dict.fromkeys(span.css for span in spans))
    if not causes:
        return None
    named = [el("span", el("i", class_=f"key span {cause}"), f" {_cause(cause)}") for cause in causes]
    return el("p", "Shaded, paused for: ", named, class_="legend")


def _cause(name: str) -> str:
    return CAUSES.get(name, words.plain(name))


def _loss(morning: Morning) -> Raw:
    lines, held_out = losses(morning.events)
    chosen = min((morning.record.get("train") or {}).get("chosen") or 0, max(0, len(lines) - 1))
    drawn = [Series(line, "line", "main" if index == chosen else "other") for index, line in enumerate(lines)]
    known = [(x, y) for x, y in lines[chosen] if y is not None] if lines else []
    told = words.UNMEASURED if not known else (
        f"{words.amount(known[0][1])} at step {words.whole(known[0][0])}, {words.amount(known[-1][1])} at step "
        f"{words.whole(known[-1][0])}; lowest {words.amount(min(y for _, y in known))}")
    if len(lines) > 1:
        told += f". {words.plural(len(lines), 'candidate')}, the chosen one in colour"
    if held_out and known:
        told += f". Rings: held-out talk, {words.amount(held_out[0][1])} to {words.amount(held_out[-1][1])}"
    drawn.sort(key=lambda one: one.css == "main")                # the last is on top
    plot = chart([*drawn, Series(held_out, "dots", "hollow")], words=f"Loss: {told}", integers=True)
    return figure("Loss", "nats per token, over steps", plot, told, "not measured: no step was taken")


def phases(morning: Morning) -> Raw:
    found = [(words.plain(phase.get("name")), seconds, words.plain(phase.get("outcome") or ""))
             for phase in morning.record.get("phases") or [] if (seconds := words.known(phase.get("seconds"))) is not None]
    plan = morning.record.get("plan") or {}
    budget, foreseen = words.known(plan.get("budget_seconds")), words.known(plan.get("seconds"))
    if not found:
        return section("Time", el("p", "No phase was finished: not measured."))
    total = sum(seconds for _, seconds, _ in found)
    scale, unit = _unit(max(total, budget or 0.0))
    rows, passed = [], 0.0
    for name, seconds, _ in found:
        rows.append((name, passed / scale, (passed + seconds) / scale, words.span(seconds)))
        passed += seconds
    said = f"{words.span(total)} in all"
    said += f", of a budget of {words.span(budget)}" if budget else "; the budget is not recorded"
    if (runs := len(course(morning.events).runs)) > 1:
        said += f"; {runs} runs, each with a budget of its own"
    if foreseen is not None:
        said += f". The plan had foreseen {words.span(foreseen)}"
    if ends := [f"{name} ({outcome})" for name, _, outcome in found if outcome not in ("", "done")]:
        said += f". Ended early: {', '.join(ends)}"
    told = "; ".join(f"{name} {words.span(seconds)}" for name, seconds, _ in found)
    plot = bars(rows, None if budget is None else budget / scale, f"Time by phase: {told}. {said}.")
    about = f"{unit}{'; the upright line is the budget' if budget else ''}"
    return section("Time", el("div", figure("By phase", about, plot, f"{said}."), class_="plots wide"),
                   fold("The phases as a table", table("phases", ("Phase", "Time", "Ended"), [
                       (name, words.span(seconds), outcome) for name, seconds, outcome in found])))


def trend(morning: Morning) -> Raw:
    nights = [*morning.earlier, morning.record][-NIGHTS:]
    if len(nights) < 2:
        return section("Over the nights", el("p", "This is the first night of this home: there is no trend yet."))
    first = len(morning.earlier) + 2 - len(nights)
    promoted = [old.get("outcome") == "promoted" for old in nights]
    sizes = [morning.bytes.get(old.get("candidate") or "") for old in nights]
    columns: tuple[tuple[str, str, int, list[float | None]], ...] = (
        ("Loss at the end", "nats per token", 2, [words.known((old.get("train") or {}).get("loss_last")) for old in nights]),
        ("Checkpoint", "MiB", 1, [None if size is None else size / 2**20 for size in sizes]),
        ("Minutes", "of the whole night", 1, [_minutes(old) for old in nights]))
    figures = []
    for title, unit, digits, values in columns:
        points: list[Point] = [(first + index, value) for index, value in enumerate(values)]
        known = [value for value in values if value is not None]
        told = f"{words.amount(known[0], digits)} first, {words.amount(known[-1], digits)} last; " \
            f"{words.amount(min(known), digits)} to {words.amount(max(known), digits)}" if known else words.UNMEASURED
        figures.append(figure(title, f"{unit}, by night", chart(
            [Series([point for point in points if point[1] is not None], "line", "thread"),
             Series([point for point, taken in zip(points, promoted, strict=True) if taken], "dots", "main"),
             Series([point for point, taken in zip(points, promoted, strict=True) if not taken], "dots", "hollow")],
            words=f"{title}, {unit}: {told}", integers=True, include=[0.0] if title == "Minutes" else []), told))
    rows = [(words.day(old.get("started")), words.plain(old.get("outcome") or "not ended"),
             *(words.amount(values[index], digits) for _, _, digits, values in columns)) for index, old in enumerate(nights)]
    lead = f"{words.plural(len(nights), 'night')}, {sum(promoted)} of them promoted (filled), the others rings."
    heads = ("Night", "Outcome", "Loss at the end", "Checkpoint, MiB", "Minutes")
    return section("Over the nights", el("p", lead, class_="quiet"), el("div", figures, class_="plots"),
                   fold("The nights as a table", table("nights", heads, rows[::-1])))


def _minutes(record: dict) -> float | None:
    found = [seconds for phase in record.get("phases") or [] if (seconds := words.known(phase.get("seconds"))) is not None]
    return sum(found) / 60 if found else None


def heat(morning: Morning) -> Raw:
    measured = morning.record.get("measured") or {}
    rests = ", ".join(f"{_cause(cause)} {words.span(seconds)}" for cause, seconds in (measured.get("rests") or {}).items()
                      if (words.known(seconds) or 0.0) >= 0.5)
    paused = words.known(measured.get("paused_seconds"))
    rows = [("Energy", words.energy(measured.get("energy_joules"))),
            ("Hottest moment", _hottest(morning)),
            ("Rests", words.UNMEASURED if paused is None else rests or "none were needed"),
            ("Memory of this process, at most", words.size(measured.get("rss_peak_bytes"))),
            ("Memory of the GPU, at most", words.size(measured.get("peak_bytes"))),
            ("Speed", words.amount(measured.get("tokens_per_second"), 0, "tokens per second")),
            ("Loading", words.span(measured.get("load_seconds")))]
    return section("Heat, energy, memory", facts(rows))


def _hottest(morning: Morning) -> str:
    most = words.known((morning.record.get("measured") or {}).get("max_celsius"))
    if most is None:
        return words.UNMEASURED
    readings = placed(course(morning.events), morning.events, morning.readings)
    seen = [(hottest[1], hottest[0], x) for x, reading in readings if (hottest := reading.hottest)]
    if not seen:
        return words.amount(most, 1, "\u00b0C")
    _, zone, second = max(seen, key=lambda item: item[0])
    return f"{words.amount(most, 1, chr(176) + 'C')}, zone {zone}, {words.span(second)} into the night"


def facts(rows: Sequence[tuple[str, Any]]) -> Raw:
    return el("dl", [el("div", el("dt", name), el("dd", value, dir="auto", class_="no" if value == words.UNMEASURED else None))
                     for name, value in rows], class_="facts")
