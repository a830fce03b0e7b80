"""Progress: sparse plain lines where nobody watches, a live bar on a terminal, nothing on stdout."""
from __future__ import annotations

import io

import pytest

from edge_sleep.cli.output import columns, size, span
from edge_sleep.cli.progress import NightProgress
from edge_sleep.system.clock import ManualClock

EVENTS = [{"event": "night", "state": "begin", "night": "20260117"}, {"event": "phase", "name": "train", "state": "begin"},
          *({"event": "step", "step": step, "steps": 100, "loss": 2.0 / step, "tokens_per_second": 900.0,
             "remaining_seconds": 100.0 - step} for step in range(1, 101)),
          {"event": "phase", "name": "train", "state": "end", "seconds": 100.0, "outcome": "done"},
          {"event": "ingested", "new": 4, "quarantined": {}, "files": {"read": 1}},
          {"event": "verdict", "verdict": "promote", "gain": 0.75}, {"event": "something new"}, {}]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(stream: io.StringIO, seconds_per_step: float = 1.0) -> str:
    clock = ManualClock()
    with NightProgress(stream, clock) as progress:
        for event in EVENTS:
            progress({"at": "2026-01-17T23:00:00", **event})
            clock.advance(seconds_per_step if event.get("event") == "step" else 0)
    return stream.getvalue()


@pytest.mark.parametrize("seconds_per_step, lines", [(1.0, 21), (0.001, 2), (30.0, 100)])
def test_plain_lines_are_sparse(seconds_per_step: float, lines: int) -> None:
    said = play(io.StringIO(), seconds_per_step)
    steps = [line for line in said.splitlines() if line.startswith("  step")]
    assert len(steps) == lines
    assert steps[-1] == "  step 100/100  loss 0.0200, 900 tokens/s, 0.0 s left"
    assert "train ..." in said and "train: done in 1 min 40 s" in said
    assert "  ingested: new 4, files read 1\n" in said and "  verdict: verdict promote, gain 0.75\n" in said
    assert "\x1b" not in said


def test_a_terminal_gets_a_bar_and_whole_lines() -> None:
    said = play(Terminal())
    assert "train: done" in said and "new 4" in said


def test_the_bar_goes_away_on_an_error() -> None:
    stream = Terminal()
    with pytest.raises(ValueError), NightProgress(stream) as progress:
        progress(EVENTS[2])
        raise ValueError
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert stream.getvalue().rfind(shown) > stream.getvalue().rfind(hidden) >= 0


@pytest.mark.parametrize("seconds, text", [(None, "unknown"), (0.04, "0.0 s"), (9.99, "10.0 s"), (59.4, "59 s"),
                                           (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (3661, "1 h 01 min")])
def test_span(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize("count, text", [(None, "unknown"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"),
                                         (7 * 2**30, "7.0 GiB"), (2**40, "1.0 TiB")])
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text


def test_columns() -> None:
    assert columns([("a", "bb", "free text"), ("aaa", None, "x"), ("short",)]) == "a    bb  free text\naaa      x\nshort"
    assert columns([]) == ""
