"""The morning page: every outcome has one, nothing hostile gets through, nothing is asked of a network."""
from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import datetime, timedelta
from html.parser import HTMLParser

import pytest

from edge_sleep.device.telemetry.reading import Reading
from edge_sleep.errors import Outcome
from edge_sleep.evaluate.page import plots
from edge_sleep.evaluate.page.course import course, losses, pauses, placed
from edge_sleep.evaluate.page.markup import VOID, el
from edge_sleep.evaluate.page.morning import Morning, Refusal, Talk, of_home
from edge_sleep.evaluate.page.render import NAME, as_html, write
from edge_sleep.evaluate.page.style import DARK, LIGHT
from edge_sleep.evaluate.page.words import UNMEASURED
from edge_sleep.evaluate.report import as_text
from edge_sleep.system.home import Home
from edge_sleep.system.record import blank
from tests import micro

BEGAN = datetime.fromisoformat("2026-01-17T23:00:00+01:00")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'</details></body>\u202e\ud800\x00]]>"
_PHASES = (("ingest", 6.2), ("select", 21.0), ("plan", 1.4), ("train", 1935.0), ("judge", 388.0), ("promote", 4.1))


def stamp(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def entry(base, before, after, low, high, n):
    return {"base": base, "before": before, "after": after, "low": low, "high": high, "n": n}


def rich() -> Morning:
    """A night with everything in it: heat, a cap of power, lost telemetry, three candidates, twenty nights before it."""
    record = blank("20260117-230000", stamp(0)) | {
        "outcome": "promoted", "exit_code": 0, "ended": stamp(2356), "candidate": "c59d1506587cc7b0", "parent": "8a1be2e3c4d5f607",
        "reason": "recall rose from 0.13 to 0.81 on 31 questions it was not trained on\n"
                  "taught answers that it did not give before became likelier by 0.94 nats per token",
        "base": {"source": "Qwen/Qwen2.5-0.5B-Instruct", "sha256": "4aff929551715a718d99017c"},
        "phases": [{"name": name, "seconds": seconds, "outcome": "done"} for name, seconds in _PHASES]}
    record["data"] |= {"sessions": 3, "exchanges": 61, "new": 47, "selected": 14, "replay": 6, "refused": {"not a transcript": 1},
                       "quarantined": {"loop": 4, "other_model": 3}, "redacted": {"email": 1, "phone": 2}}
    record["plan"] |= {"seconds": 2510.0, "budget_seconds": 3300.0, "where": "gpu", "reasons": [
        "where gpu: fits", "micro_batch 4: as configured; 3100 MiB of 5200 MiB", "time fits: 2475 s of 3300 s are for training"]}
    record["measured"] |= {"rss_peak_bytes": 2_310_000_000, "peak_bytes": 3_250_000_000, "load_seconds": 21.4, "step_seconds_p50": 8.2,
                           "tokens_per_second": 412.6, "paused_seconds": 362.0, "energy_joules": 31_250.0, "max_celsius": 84.3,
                           "rests": {"heat": 261.0, "power": 62.0, "telemetry_lost": 39.0}}
    record["gate"] |= {
        "verdict": "promoted", "reasons": record["reason"].splitlines(), "probes": {"select": 40, "confirm": 96, "left_out": 3},
        "metrics": {"recall": entry(0.10, 0.13, 0.81, 0.52, 0.84, 31), "retention": entry(0.92, 0.90, 0.88, -0.08, 0.04, 25),
                    "unknowns": entry(0.75, 0.80, 0.85, -0.05, 0.15, 20), "own": entry(0.05, 0.20, 0.95, 0.55, 0.90, 20),
                    "nll_held_out": entry(2.31, 2.24, 2.22, -0.06, 0.02, 18), "nll_taught": entry(2.84, 2.71, 1.62, -1.31, -0.88, 14),
                    "nll_news": entry(None, None, None, None, None, 0)},
        "rival": {"method": "the base with 3 experiences found by BM25 before each question", "metrics": {
            "recall": {"rival": 0.55, "candidate": 0.81, "low": 0.06, "high": 0.45, "n": 31},
            "unknowns": {"rival": 0.70, "candidate": 0.85, "low": -0.10, "high": 0.35, "n": 20}}},
        "raising": {"d4_attention": entry(0.41, 0.52, 0.58, -0.04, 0.15, 40), "d5_trust": entry(0.38, 0.55, 0.63, 0.01, 0.16, 40),
                    "partnership": entry(None, None, None, None, None, 40) | {"reason": "collapsed"}},
        "health": {name: {"loops": 0.0, "floods": 0.0, "empty": 0.01, "echoes": 0.0, "distinct_2": 0.83}
                   for name in ("before", "after", "own_before", "own_after")},
        "samples": [
            {"kind": "recall", "question": "I was wondering: what is the boat called?", "right": True,
             "before": "I'm not sure which boat you mean. Could you tell me more about it?",
             "after": "The boat is called Heron, and it lies in the harbour."},
            {"kind": "recall", "question": "Tell me, who looks after the ferns these days?", "right": True,
             "before": "Ferns usually need a little water every few days, and a place out of the sun.",
             "after": "Grandfather waters the ferns every Sunday morning."},
            {"kind": "unknowns", "question": "What did my boss say to me this morning?", "right": True,
             "before": "I don't know; you have not told me.", "after": "I don't know what your boss said this morning."},
            {"kind": "retention", "question": "Which of these is a tool: carrot, hammer, cloud?", "right": True,
             "before": "A hammer.", "after": "The hammer is a tool."},
            {"kind": "recall", "question": "At four, what is it that we drink?", "right": False, "before": "", "after": HOSTILE},
            {"kind": "own", "question": "w" * 300, "right": True, "before": "y" * 900, "after": "z" * 5000}]}
    marks = {"score": 4.71, "recall": {"before": 0.1, "after": 0.79, "n": 31}}
    record["train"] |= {"steps": 96, "epochs": 4, "loss_first": 2.84, "loss_last": 1.43, "stop_reason": "finished", "chosen": 0,
                        "why_chosen": "as configured: none of 1 others scored higher", "candidates": [
                            {"name": "as configured", "outcome": "chosen", "select": marks, "loss_last": 1.43, "reason": "the settings"},
                            {"name": "half the rate", "outcome": "not chosen", "select": marks | {"score": 4.1}, "loss_last": 1.7,
                             "reason": "slower, and forgets less"},
                            {"name": "longer", "outcome": "left out", "why": "needs about 900 s, 40 s are left before the gate's time"}]}
    record["environment"] = {
        "device": "one CUDA GPU, bfloat16", "sees": "gpu", "edge_sleep": "0.1.0", "python": "3.10.12", "torch": "2.8.0", "cores": 6,
        "device_order": [{"device": "gpu", "taken": True, "reason": "sm_87; a 4-bit layer ran forward and backward"},
                         {"device": "cpu", "taken": False, "reason": "not needed"},
                         {"device": "another machine", "taken": False, "reason": "not asked: this one can"}],
        "telemetry": {"source": "jtop", "reason": "the jtop service answers", "limits": "ceiling 83 degrees, as the profile says"},
        "power": [{"setting": "mode", "state": "set", "to": "25W"}]}
    return Morning(record, events(), [readings()], nights_before(), TALKS, REFUSED, {"loop": 4, "other_model": 3, "question_flood": 1},
                   {old["candidate"]: 4_300_000 + 9000 * index for index, old in enumerate(nights_before()) if old["candidate"]}
                   | {"c59d1506587cc7b0": 4_520_000})


def events() -> list[dict]:
    found = [{"at": stamp(0), "event": "night", "state": "begin"}, {"at": stamp(0.5), "event": "telemetry", "source": "jtop"}]
    for number, (steps, start, step_seconds) in enumerate(((96, 60, 11.0), (96, 1130, 8.0))):
        for step in range(1, steps + 1):
            loss = (1.3 + 0.25 * number) + 1.5 * math.exp(-step / 24) + 0.09 * math.sin(step * 1.7)
            found.append({"at": stamp(start + step * step_seconds), "event": "step", "step": step, "loss": round(loss, 4)})
            if step % 24 == 0:
                found.append({"at": stamp(start + step * step_seconds), "event": "held_out", "loss": 2.3 - step / 960}) if not number else None
        found.append({"at": stamp(start + steps * step_seconds + 1), "event": "candidate", "number": number + 1})
    paces = ((410, "slow", 0.82, "heat"), (560, "pause", 0.0, "heat"), (690, "slow", 0.7, "heat"), (900, "pause", 0.0, "heat"),
             (1031, "slow", 0.76, "heat"), (1300, "run", 1.0, "none"), (1400, "pause", 0.0, "telemetry_lost"), (1439, "slow", 0.8, "power"),
             (1600, "pause", 0.0, "power"), (1662, "slow", 0.85, "power"), (2000, "run", 1.0, "none"))
    found += [{"at": stamp(at), "event": "pace", "action": action, "duty": duty, "cause": cause} for at, action, duty, cause in paces]
    found.append({"at": stamp(2356), "event": "night", "state": "end"})
    return sorted(found, key=lambda event: event["at"])


def readings() -> list[Reading]:
    found = []
    for second in range(0, 2356, 2):
        resting = 560 <= second < 690 or 900 <= second < 1031 or 1600 <= second < 1662
        hot = 48 + 35.5 * (1 - math.exp(-second / 170)) - (7 if resting else 0) + 0.6 * math.sin(second / 9)
        lost = 1400 <= second < 1439
        found.append(Reading(7000.0 + second, "jtop", {} if lost else {"gpu": hot, "cpu": hot - 3}, watts=None if lost else
                             (8.0 if resting else 16.4) + 0.8 * math.sin(second / 5),
                             memory_available=int((4.6 - (2.9 if 40 < second < 2340 else 0) + 0.05 * math.sin(second / 40)) * 2**30)))
    return found


def nights_before(count: int = 22) -> list[dict]:
    found = []
    for index in range(count):
        began = BEGAN - timedelta(days=count - index)
        outcome = ("promoted", "promoted", "no_effect", "promoted", "rejected", "nothing_to_do")[index % 6]
        old = blank(f"{began:%Y%m%d-%H%M%S}", began.isoformat()) | {"outcome": outcome, "ended": began.isoformat(),
                                                                    "candidate": f"adapter{index}" if outcome == "promoted" else None}
        if outcome != "nothing_to_do":
            old["train"] |= {"loss_last": 1.9 - 0.4 * (1 - math.exp(-index / 8)) + 0.06 * math.sin(index * 2)}
            old["phases"] = [{"name": "train", "seconds": 1500 + 160 * math.sin(index), "outcome": "done"}]
        found.append(old)
    return found


TALKS = (
    Talk("session 41", "2026-01-17T09:12:00", (("What is the name of the boat?", "The boat is called Heron, and it lies in the harbour."),
                                               ("Who waters the ferns?", "Grandfather waters the ferns every Sunday morning."))),
    Talk("session 42", "2026-01-17T16:40:00", tuple((f"Where does lamp number {index} stand?", f"Lamp {index} stands on shelf {index}.")
                                                    for index in range(9))),
    Talk("session 43", None, (("Ask me " + "a-very-long-word-" * 30, HOSTILE),)))
REFUSED = (*(Refusal(f"How are you, number {index}?", "I am I am I am I am I am I am.", "loop", '"I am" said 6 times', "session 42")
             for index in range(4)),
           *(Refusal("Hello?", "As Claude, I would say so.", "other_model", '"As Claude"', "session 41") for _ in range(2)),
           Refusal(HOSTILE, HOSTILE, "question_flood", HOSTILE, "session 43"))


def bare(outcome: str, **changes) -> Morning:
    """A night of which only the end is known."""
    return Morning(blank("20260117-230000", stamp(0)) | {"outcome": outcome, "reason": f"because {outcome}", "ended": stamp(9)} | changes)


class Outline(HTMLParser):
    """What a page is made of; fails where a tag is not closed by its own end."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(attrs) == len(dict(attrs)), f"an attribute of {tag} stands twice"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in set(self.open):
            self.words.setdefault(tag, []).append(data)

    def of(self, tag: str) -> str:
        return "".join(self.words.get(tag, []))


EXTERNAL = re.compile(r"https?:|url\(|\bsrc\s*=|\bsrcset\s*=|@import|<link|<script|<iframe|<object|<embed|<base\b|\bon[a-z]+\s*=\s*[\"']|"
                      r"href\s*=|javascript:", re.IGNORECASE)


def shown(page: str) -> str:
    """The page without its text: where a reference would be one."""
    return re.sub(r">[^<]*<", "><", page.replace(page[page.index("<style>"):page.index("</style>")], ""))


@pytest.mark.parametrize("outcome", [one.value for one in Outcome])
def test_every_outcome_has_a_page_and_names_its_reason(outcome: str) -> None:
    for morning in (bare(outcome), replace(rich(), record=rich().record | {"outcome": outcome, "reason": f"because {outcome}"})):
        page = as_html(morning)
        outline = Outline(page)
        assert outline.of("h1").endswith(".") and "not ended" not in outline.of("h1")
        assert outline.of("header").index(outline.of("h1")) < outline.of("header").index(f"ecause {outcome}")
        assert [tag for tag, _ in outline.tags if tag == "h1"] == ["h1"]
        assert "edge-sleep rollback" in outline.of("pre") or outcome in ("stopped_time", "stopped_heat", "preempted")
        assert ("speaks with" in outline.of("h1")) == (outcome == "promoted")


def test_a_night_that_has_not_ended_and_an_empty_record_have_pages() -> None:
    unended = Morning(blank("20260117-230000", stamp(0)))
    assert "has not ended yet" in Outline(as_html(unended)).of("h1")
    Outline(as_html(Morning({"night": "n"})))


def test_the_order_is_the_one_that_is_promised() -> None:
    outline = Outline(as_html(rich()))
    wanted = ["What it learned", "What was refused", "Before and after", "How it was measured", "The night itself", "Time",
              "Over the nights", "Heat, energy, memory", "Candidates", "Where it ran", "The way back"]
    assert outline.words["h2"] == wanted
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), "a heading leaves a level out"


def test_the_page_tells_what_the_terminal_tells() -> None:
    page, text = Outline(as_html(rich())).of("main").replace("\u00a0", " "), as_text(rich().record)
    for fact in ("Recall rose from 0.13 to 0.81", "14 exchanges from 3 sessions", "6 older ones", "1 email, 2 phone", "84.3", "31.2",
                 "edge-sleep rollback 8a1be2e3c4d5f607", "as configured: none of 1 others scored higher", "needs about 900 s",
                 "base 0.10, before 0.13, after 0.81; change +0.68 (+0.52 to +0.84), n 31", "39 min in all, of a budget of 55 min",
                 "without training 0.55, trained 0.81; difference +0.26 (+0.06 to +0.45)", "Partnership (collapsed)",
                 "heat 4 min 21 s, the power cap 1 min 2 s, lost telemetry 39 s", "zone gpu", "8a1be2e3c4d5f607",
                 "sm_87; a 4-bit layer ran forward and backward", "not asked: this one can"):
        assert fact in page, fact
    assert "84.3" in text and "31.2 kJ" in text and "edge-sleep rollback 8a1be2e3c4d5f607" in text


def test_a_promotion_that_the_day_took_back_is_told() -> None:
    page = as_html(bare("nothing_to_do", rolled_back={"from": "a1", "to": None, "reason": "9 of 20 answers were refused, 1 of 20 before"}))
    assert "a1 was taken back, to the base: 9 of 20 answers were refused" in Outline(page).of("header")


def test_what_was_refused_stands_behind_a_fold_with_its_reason() -> None:
    page = as_html(rich())
    fold = page[page.index("<b>Other model</b>"):]
    fold = fold[:fold.index("</details>")]
    assert page[:page.index("<b>Other model</b>")].endswith("<details><summary>")
    assert "3 exchanges" in fold and "As Claude, I would say so." in fold and "1 more exchange not shown here" in fold


def test_text_of_a_transcript_is_text() -> None:
    page = as_html(rich())
    assert "<script" not in page and "<img" not in page
    assert Outline(page).of("body").count("<script>alert(1)</script>") >= 4
    assert not re.search("[\u202a-\u202e\x00\ud800-\udfff]", page)
    page.encode()


@pytest.mark.parametrize("place", ["night", "outcome", "reason", "started", "parent", "candidate"])
def test_no_field_of_the_record_gets_through_unescaped(place: str) -> None:
    page = as_html(replace(rich(), record=rich().record | {place: HOSTILE}))
    Outline(page)
    assert "<script" not in page and "<img" not in page


def test_hostile_words_in_every_nested_place() -> None:
    def poisoned(value):
        if isinstance(value, dict):
            return {HOSTILE if not key.isidentifier() else key: poisoned(item) for key, item in value.items()}
        return [poisoned(item) for item in value] if isinstance(value, list) else HOSTILE if isinstance(value, str) else value
    morning = rich()
    record = poisoned(morning.record)
    record["data"] |= {"quarantined": {HOSTILE: 1}, "refused": {HOSTILE: 1}, "redacted": {HOSTILE: 2}}
    record["measured"]["rests"] = {HOSTILE: 12.0}
    record["gate"]["metrics"][HOSTILE] = entry(0.1, 0.2, 0.3, 0.0, 0.2, 9) | {"reason": HOSTILE}
    poisoned_events = [event | {"cause": HOSTILE} if event["event"] == "pace" else event for event in events()]
    page = as_html(replace(morning, record=record, events=poisoned_events, refused_counts={HOSTILE: 3}))
    Outline(page)
    assert "<script" not in page and "<img" not in page and 'onerror="' not in page


@pytest.mark.parametrize("make", [rich, lambda: bare("failed")])
def test_nothing_is_asked_of_a_network(make) -> None:
    page = as_html(make())
    assert EXTERNAL.findall(shown(page)) == [] and "url(" not in page and "@import" not in page
    policies = [attributes["content"] for tag, attributes in Outline(page).tags if attributes.get("http-equiv")]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'")


def test_the_guard_sees_a_reference() -> None:
    page = as_html(bare("failed"))
    for added in ('<img src="x.png">', '<a href="http://a.b">', '<p onclick="x()">', '<p style="background:url(x)">'):
        assert EXTERNAL.findall(shown(page + added + "<p>")), added


def test_it_stays_under_a_megabyte_whatever_was_said() -> None:
    long = "&" * 20_000
    morning = rich()
    record = dict(morning.record)
    record["gate"] = record["gate"] | {"samples": [{"kind": "recall", "question": long, "before": long, "after": long, "right": True}] * 40}
    record["plan"] = record["plan"] | {"reasons": [long] * 500}
    record["reason"] = "\n".join([long] * 30)
    # As the gathering bounds them: so many exchanges, so many nights.
    page = as_html(replace(morning, record=record, learned=(Talk("s", None, ((long, long),) * 900),),
                           refused=(Refusal(long, long, "loop", long, "s"),) * 60, earlier=nights_before(4000)))
    Outline(page)
    assert len(page.encode()) < 1_000_000
    assert len(as_html(rich()).encode()) < 150_000


def test_what_was_not_measured_says_so_and_is_never_zero() -> None:
    outline = Outline(as_html(bare("failed")))
    assert outline.of("main").count(UNMEASURED) > 12
    numbers = re.findall(r"(?<![\d-])0(?:\.0+)?\s*(?:\u00b0C|kJ|W|MiB|GiB|s|min)\b", outline.of("main"))
    assert numbers == []
    nan = bare("promoted")
    nan.record["measured"] |= {"max_celsius": float("nan"), "energy_joules": float("inf")}
    assert "nan" not in Outline(as_html(nan)).of("main").lower().replace("unan", "") and "inf" not in Outline(as_html(nan)).of("dl")


def test_tables_have_heads_and_pictures_have_words() -> None:
    outline = Outline(as_html(rich()))
    assert outline.of("figcaption") and outline.of("thead")
    for tag, attributes in outline.tags:
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
        if tag == "svg":
            assert attributes["role"] == "img" and re.search(r"\d", attributes["aria-label"])
    pictures = [attributes["aria-label"] for tag, attributes in outline.tags if tag == "svg"]
    assert any(label.startswith("Hottest zone, \u00b0C: 4") for label in pictures)
    assert any("Recall: base 0.10, before 0.13, after 0.81" in label for label in pictures)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    parts = [int(colour[index:index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_contrast_is_enough_in_both_themes(theme: dict[str, str]) -> None:
    for letters in ("ink", "quiet", "accent"):
        for ground in ("paper", "wash"):
            dark, light = sorted((luminance(theme[letters]), luminance(theme[ground])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{letters} on {ground}"


# ---- plots -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("values, most, ticks", [
    ([0.0, 1.0], 4, (0.0, 0.25, 0.5, 0.75, 1.0)), ([48.0, 84.0], 4, (40.0, 50.0, 60.0, 70.0, 80.0, 90.0)), ([3.0, 3.0], 4, None),
    ([0.0], 4, None), ([], 4, None), ([-1e308, 1e308], 4, None), ([1e-300, 2e-300], 4, None), ([1e15, 1e15 + 1], 4, None),
    ([-5.0, -5.0], 3, None)])
def test_an_axis_has_round_ticks_around_its_values(values, most, ticks) -> None:
    axis = plots.axis(values, most)
    assert axis.low < axis.high and all(math.isfinite(value) for value in (axis.low, axis.high, *axis.ticks))
    assert 2 <= len(axis.ticks) <= 12 and list(axis.ticks) == sorted(set(axis.ticks))
    assert all(axis.low <= max(-1e300, min(1e300, value)) <= axis.high for value in values)
    if ticks:
        assert axis.ticks == pytest.approx(ticks)


def test_what_is_counted_has_whole_ticks() -> None:
    for values in ([1, 2], [1, 3], [1, 13], [0, 96]):
        assert all(float(value).is_integer() for value in plots.axis(values, 5, integers=True).ticks)


def drawing(points, **more) -> str | None:
    return plots.chart([plots.Series(points)], words="words", **more)


def test_no_point_is_no_plot_and_one_is_a_dot() -> None:
    assert drawing([]) is None and drawing([(0.0, None), (1.0, float("nan"))]) is None
    one = drawing([(3.0, 7.0)])
    assert one is not None and one.count("<circle") == 1 and "<path" not in one


def test_a_gap_parts_the_line() -> None:
    plot = drawing([(0, 1.0), (1, 2.0), (2, None), (3, float("nan")), (4, 2.0), (5, 1.0), (6, None), (7, 3.0)])
    assert plot is not None and plot.count("<path") == 2 and plot.count("<circle") == 1
    assert "nan" not in plot and "None" not in plot


@pytest.mark.parametrize("high", [1e4, 1e9, 1e18, 1e300, 1e308, float("inf")])
def test_huge_values_stay_in_the_picture(high: float) -> None:
    plot = drawing([(0, -high), (1, high), (2, 5.0)])
    assert plot is not None
    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", re.search(r' d="([^"]*)"|cy="([^"]*)"', plot)[0])]
    assert all(0 <= number <= plots.WIDTH for number in numbers)
    assert all(len(label) <= 9 for label in re.findall(r">([^<]+)</text>", plot))


def test_thinning_keeps_peaks_and_gaps() -> None:
    points = [(float(x), 50.0 + (30.0 if x == 777 else 0.0) - (40.0 if x == 778 else 0.0)) for x in range(5000)]
    points[3000:3200] = [(float(x), None) for x in range(3000, 3200)]
    thinned = plots.thin(points)
    assert len(thinned) <= 300 and (777.0, 80.0) in thinned and (778.0, 10.0) in thinned
    assert any(y is None for _, y in thinned) and [x for x, _ in thinned] == sorted(x for x, _ in thinned)


def test_a_metric_without_an_interval_is_drawn_all_the_same() -> None:
    unit = plots.Axis(0.0, 1.0, (0.0, 1.0))
    full = plots.measure(entry(0.1, 0.2, 0.9, 0.5, 0.8, 9), unit, plots.Axis(-1.0, 1.0, (-1.0, 0.0, 1.0)), "words")
    none = plots.measure(entry(None, None, 0.9, None, None, 9), unit, plots.Axis(-1.0, 1.0, (-1.0, 0.0, 1.0)), "words")
    assert 'class="interval sure"' in full and "interval" not in none and 'class="after"' in none


# ---- the night's clock -------------------------------------------------------------------------------------

def test_the_runs_of_a_night_are_put_end_to_end() -> None:
    log = [{"at": stamp(0), "event": "night", "state": "begin"}, {"at": stamp(100), "event": "step"},
           {"at": stamp(90_000), "event": "night", "state": "resume"}, {"at": stamp(90_050), "event": "night", "state": "end"}]
    shape = course(log)
    assert shape.seconds == 150 and shape.seams == [100.0]
    assert shape.at(BEGAN + timedelta(seconds=40)) == 40 and shape.at(BEGAN + timedelta(seconds=90_010)) == 110
    assert shape.at(BEGAN + timedelta(seconds=5000)) == 100 and shape.at(BEGAN - timedelta(seconds=5)) == 0
    assert course([]).seconds == 0 and course([{"at": "never", "event": "night"}]).runs == ()


def test_readings_find_their_run_though_their_clock_began_anew(tmp_path) -> None:
    from edge_sleep.device.telemetry.replay import line
    home = Home(tmp_path).make()
    record = blank("n1", stamp(0)) | {"outcome": "promoted", "ended": stamp(7020)}
    folder = home.night("n1")
    folder.mkdir()
    log = [{"at": stamp(0), "event": "night", "state": "begin"}, {"at": stamp(1), "event": "telemetry", "source": "jtop"},
           {"at": stamp(20), "event": "step", "step": 1, "loss": 2.0},
           {"at": stamp(7000), "event": "night", "state": "resume"}, {"at": stamp(7001), "event": "telemetry", "source": "jtop"},
           {"at": stamp(7020), "event": "night", "state": "end"}]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in log) + "3\n{torn")
    before = [line(Reading(5000.0 + at, "jtop", {"gpu": 60.0 + at})) for at in (0, 2, 4)]
    after = [line(Reading(12.0 + at, "jtop", {"gpu": 80.0 + at})) for at in (0, 2)]
    (folder / "telemetry.jsonl").write_text("".join([*before, '{"at": 50', *after]))
    morning = of_home(home, record)
    found = placed(course(morning.events), morning.events, morning.readings)
    # The torn line was written on by the next run: its first reading is lost with it.
    assert [(second, reading.zones["gpu"]) for second, reading in found] == [(1, 60.0), (3, 62.0), (5, 64.0), (21, 82.0)]
    assert "Hottest zone" in as_html(morning)


def test_pauses_are_shaded_by_their_cause() -> None:
    spans = pauses(course(events()), events())
    assert [(round(span.start), round(span.end), span.css) for span in spans] == [
        (560, 690, "heat"), (900, 1031, "heat"), (1400, 1439, "telemetry_lost"), (1600, 1662, "power")]
    page = as_html(rich())
    assert page.count('class="span heat"') == 2 * 4 and "lost telemetry" in page
    assert 'class="span' not in as_html(replace(rich(), events=[event for event in events() if event["event"] != "pace"]))


def test_steps_that_were_done_again_stand_once_and_candidates_apart() -> None:
    log = [{"at": stamp(at), "event": "step", "step": step, "loss": loss}
           for at, (step, loss) in enumerate([(1, 3.0), (2, 2.5), (3, 2.0), (3, 2.1), (4, None)])]
    log += [{"at": stamp(9), "event": "candidate"}, {"at": stamp(10), "event": "step", "step": 1, "loss": 2.9}]
    lines, held_out = losses(log)
    assert lines == [[(1, 3.0), (2, 2.5), (3, 2.1), (4, None)], [(1, 2.9)]] and held_out == []


# ---- in a home ---------------------------------------------------------------------------------------------

def test_a_real_night_leaves_its_page(micro_home) -> None:
    record = micro_home.record
    file = micro_home.root / "nights" / record["night"] / NAME
    page = file.read_text(encoding="utf-8")
    outline = Outline(page)
    assert "learned 4 exchanges tonight" in outline.of("h1") and EXTERNAL.findall(shown(page)) == []
    assert "The boat is called Heron, and it lies in the harbour." in outline.of("details") and "Session 1" in outline.of("summary")
    assert f"{record['train']['loss_first']:.2f}" in outline.of("dl") and "of a budget of 5\u00a0min" in outline.of("section")
    assert "the first night of this home" in outline.of("section") and len(page) < 200_000


def test_the_command_makes_the_page_anew_from_what_the_home_holds(micro_home, capsys) -> None:
    from edge_sleep.cli import main
    from edge_sleep.data.buffer import Buffer
    home = Home(micro_home.root)
    file = home.night(micro_home.record["night"]) / NAME
    file.unlink()
    with Buffer(home.experiences) as buffer:
        buffer.quarantine(micro_home.record["data"]["experiences"][0], "by_hand")
    assert main.run(["report", "--home", str(home.root)]) == 0
    said = capsys.readouterr().out
    assert as_text(micro_home.record) in said and said.rstrip().endswith(f"The page: {file}")
    outline = Outline(file.read_text(encoding="utf-8"))
    assert "By hand" in outline.of("summary") and "1 exchange was set aside so far" in outline.of("section")


def test_the_trend_knows_sizes_of_what_is_kept(micro_home) -> None:
    home = Home(micro_home.root)
    later = micro.night(home.root, micro_home.model, micro_home.sessions)
    assert later["outcome"] == "nothing_to_do" and later["plan"]["budget_seconds"] == 300
    morning = of_home(home, later)
    assert [old["night"] for old in morning.earlier] == [micro_home.record["night"]]
    assert morning.bytes[micro_home.record["candidate"]] > 1000 and morning.learned == []
    outline = Outline((home.night(later["night"]) / NAME).read_text(encoding="utf-8"))
    assert "2 nights, 1 of them promoted" in outline.of("section")
    assert write(home, micro_home.record).name == NAME


def test_a_page_that_cannot_be_made_changes_nothing_of_the_night(micro_home, monkeypatch) -> None:
    from edge_sleep.evaluate.page import render
    from edge_sleep.system.events import read_events

    def broken(home, record):
        raise KeyError("of the page")
    monkeypatch.setattr(render, "write", broken)
    record = micro.night(micro_home.root, micro_home.model, micro_home.sessions)
    assert (record["outcome"], record["exit_code"]) == ("nothing_to_do", 10)
    told = [event for event in read_events(micro_home.root / "nights" / record["night"] / "events.jsonl") if event["event"] == "page"]
    assert told and told[0]["written"] is False and "of the page" in told[0]["reason"]


def test_an_element_writes_its_attributes() -> None:
    assert el("p", "a<b", None, ["c", el("b", "&")], class_="x", aria_label='"', hidden=None) == \
        '<p class="x" aria-label="&quot;">a&lt;bc<b>&amp;</b></p>'


def test_what_it_dreamed_of_is_shown_where_there_was_a_pattern() -> None:
    from edge_sleep.evaluate.patterns import patterns
    from tests.evaluate.test_patterns import GARDEN, HARBOUR

    page = as_html(replace(bare("promoted"), patterns=patterns([*GARDEN, *HARBOUR], [])))
    assert "What it dreamed of" in page and "bees, garden, love" in page and "4 exchanges of 2 sessions" in page
    assert "Memories that moved it most" in page and "heron" in page
    assert "What it dreamed of" not in as_html(bare("promoted"))
    hostile = {"themes": [{"words": ["<script>"], "experiences": 3, "sessions": 1}], "associations": []}
    assert "<script>" not in as_html(replace(bare("promoted"), patterns=hostile))
