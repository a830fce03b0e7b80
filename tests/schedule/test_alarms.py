"""What is said out loud, when, and to whom."""
from __future__ import annotations

import http.server
import json
import threading
from datetime import date, timedelta
from pathlib import Path

import pytest

from edge_sleep.schedule import alarms
from edge_sleep.schedule.alarms import Alarm, Voice
from edge_sleep.schedule.book import MISSED, Book, Entry

FIRST = date(2026, 6, 1)


def book(*outcomes: str | None) -> Book:
    """One entry a date; None: no entry."""
    entries = [Entry((FIRST + timedelta(days=day)).isoformat(), 0.0, 0.0, "", 0 if outcome == MISSED else 1, 1.0, outcome, 0, f"why {day}")
               for day, outcome in enumerate(outcomes) if outcome is not None]
    return Book(entries=tuple(entries))


def kinds(of: Book, voice: Voice = Voice()) -> list[str]:  # noqa: B008 - frozen
    return [alarm.kind for alarm in alarms.due(of, voice, "log")]


@pytest.mark.parametrize("outcomes, expected", [
    ((), []), (("promoted",), []), (("rejected", "no_effect", "stopped_time"), []),
    ((MISSED,), ["missed_night"]), ((MISSED, "promoted"), []),
    (("failed", "failed"), []), (("failed", "integrity", "does_not_fit"), ["failed_nights"]),
    (("failed", "promoted", "failed", "failed"), []), (("failed", "failed", None, "failed"), ["failed_nights"]),
    (("failed", "failed", "failed", MISSED), ["missed_night", "failed_nights"]),
    (("nothing_to_do",) * 6, []), (("nothing_to_do",) * 7, ["idle_nights"]), (("nothing_to_do",) * 7 + ("promoted",), [])])
def test_when_it_is_said(outcomes, expected: list[str]) -> None:
    assert kinds(book(*outcomes)) == expected == [alarm.kind for alarm in alarms.standing(book(*outcomes), Voice())]


def test_a_streak_that_goes_on_is_told_again_when_it_has_grown_by_its_length() -> None:
    told, days = {}, []
    for day in range(1, 11):
        now = Book(entries=book(*["failed"] * day).entries, told=told)
        for alarm in alarms.due(now, Voice(), "log"):
            told = dict(alarms.told(now, alarm, "log").told)
            days.append(day)
    assert days == [3, 6, 9]


def test_each_channel_is_told_by_itself() -> None:
    voice, now = Voice(webhook="http://x", command="true"), book(MISSED)
    assert voice.channels == ("log", "webhook", "command")
    now = alarms.told(now, alarms.due(now, voice, "log")[0], "log")
    assert not alarms.due(now, voice, "log") and len(alarms.due(now, voice, "webhook")) == 1


ALARM = Alarm("missed_night", "2026-06-01", "the night of 2026-06-01 was missed")


@pytest.fixture
def listener():
    """A web server that keeps what is posted; answers as it is told."""
    heard: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/broken" else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


def test_a_webhook_is_told_in_json_and_of_nothing_else(listener, tmp_path: Path) -> None:
    address, heard = listener
    assert alarms.tell(ALARM, "webhook", Voice(webhook=address), tmp_path / "companion") is None
    assert heard == [{"edge_sleep": 1, "home": "companion", "kind": ALARM.kind, "date": ALARM.date, "text": ALARM.text}]
    assert "500" in (alarms.tell(ALARM, "webhook", Voice(webhook=f"{address}/broken"), tmp_path) or "")


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid", "file:///etc/passwd"])
def test_a_webhook_that_is_not_there_is_said(address: str, tmp_path: Path) -> None:
    assert alarms.tell(ALARM, "webhook", Voice(webhook=address), tmp_path)


def test_a_command_is_told_by_its_input(tmp_path: Path) -> None:
    command = f"cat > {tmp_path}/told; echo $EDGE_SLEEP_ALARM $EDGE_SLEEP_HOME >> {tmp_path}/told"
    assert alarms.tell(ALARM, "command", Voice(command=command), tmp_path) is None
    assert (tmp_path / "told").read_text() == f"{ALARM.text}\nmissed_night {tmp_path}\n"
    assert "ended with 3" in (alarms.tell(ALARM, "command", Voice(command="exit 3"), tmp_path) or "")


def test_a_command_that_hangs_is_left(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(alarms, "_COMMAND_SECONDS", 0.1)
    assert "does not end well" in (alarms.tell(ALARM, "command", Voice(command="sleep 5"), tmp_path) or "")


def test_the_log_is_no_channel_that_is_told() -> None:
    assert alarms.tell(ALARM, "log", Voice(), Path("/nowhere")) is None


def test_what_comes_again_is_told_once_a_day_and_what_could_not_be_told_is_said(tmp_path: Path) -> None:
    voice = Voice(webhook="file:///no", command="true")
    now, heard, problems = alarms.once_a_day(Book(), ALARM, voice, tmp_path)
    assert heard == ["command"] and len(problems) == 1 and "no http address" in problems[0]
    again, heard, problems = alarms.once_a_day(now, ALARM, voice, tmp_path)
    assert (again, heard, len(problems)) == (now, [], 1)
    tomorrow = Alarm(ALARM.kind, "2026-06-02", ALARM.text)
    assert alarms.once_a_day(again, tomorrow, voice, tmp_path)[1] == ["command"]
    assert alarms.once_a_day(again, tomorrow, Voice(), tmp_path) == (again, [], [])


def test_a_teller_waits_longer_each_time_and_tells_the_rest(tmp_path: Path) -> None:
    """The log is told once; a channel that fails is tried again after ten minutes, then twenty; then all is well."""
    said: list[str] = []
    teller, now = alarms.Teller(tmp_path, said.append), book(MISSED)
    broken, well = Voice(command="exit 3"), Voice(command="true")
    now = teller.look(now, broken, 0.0)
    assert len(said) == 2 and said[0].startswith("warning: ") and "could not be told" in said[1]
    assert teller.look(now, broken, 599.0) is now and len(said) == 2
    now = teller.look(now, broken, 600.0)
    assert len(said) == 3 and teller.look(now, broken, 600.0 + 1199.0) is now
    now = teller.look(now, well, 600.0 + 1200.0)
    assert len(said) == 3 and not alarms.due(now, well, "command")
    assert teller.look(now, well, 600.0 + 1201.0) == now and len(said) == 3       # no wait is left over


@pytest.mark.parametrize("outcomes, nights", [((), 0), (("nothing_to_do",) * 3, 3), (("promoted", "nothing_to_do"), 1), ((MISSED,), 0)])
def test_nights_in_a_row_without_anything_to_do(outcomes: tuple, nights: int) -> None:
    assert alarms.idle(book(*outcomes).entries) == nights
