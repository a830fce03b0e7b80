"""What others wrote steers no terminal, and JSON says the same with and without it."""
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_sleep.cli import output
from edge_sleep.evaluate import report
from edge_sleep.system.printable import in_json, on_terminal

HOSTILE = "\x1b]0;title\x07 \x1b[2J \x9b31m \u202eoof \x08\x08 a\rb \ud800"
STEERS = set(HOSTILE) - set(" ]0;title[2J31moofab")


@pytest.mark.parametrize("text, shown", [
    ("two\nlines\tand a tab", "two\nlines\tand a tab"), ("Grüße, 你好 🙂", "Grüße, 你好 🙂"), ("windows\r\nlines", "windows\nlines"),
    ("over\rwritten", "over\ufffdwritten"), ("\x1b[31mred", "\ufffd[31mred"), ("\x9b31m", "\ufffd31m"), ("\ud800", "\ufffd")])
def test_on_a_terminal(text: str, shown: str) -> None:
    assert on_terminal(text) == shown


@given(st.text(alphabet=st.characters() | st.sampled_from(HOSTILE)))
def test_nothing_steers_and_nothing_is_lost_in_json(text: str) -> None:
    assert not STEERS & set(on_terminal(text))
    told = in_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(told) == {"text": text} and not STEERS & set(told)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_commands_answer(as_json: bool, capsys: pytest.CaptureFixture) -> None:
    output.answer({"prompt": HOSTILE}, HOSTILE, as_json)
    output.say(HOSTILE)
    said = capsys.readouterr()
    assert not STEERS & set(said.out + said.err)
    assert not as_json or json.loads(said.out) == {"prompt": HOSTILE}


def test_the_reports_file() -> None:
    assert not STEERS & set(report.as_text({"night": "n", "outcome": "failed", "reason": HOSTILE}))
