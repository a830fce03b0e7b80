"""The book of nights: true time through leaps and boots, what may be gone on with, what was missed."""
from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.errors import Exit
from edge_sleep.schedule import book as nights
from edge_sleep.schedule.book import MISSED, Book, Moment
from edge_sleep.schedule.circadian import Rules, Windows
from edge_sleep.schedule.rhythm import Machine, Settings, begun, consider
from tests.schedule.world import DAY, HOUR, MINUTE, Board, true_night

USUAL = Settings()
UTC = timezone.utc


def wall(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def moment(text: str, since_boot: float = 1e6, boot: str = "a") -> Moment:
    return Moment(wall(text), boot, since_boot)


def look(book: Book, at: Moment, **machine):
    return consider(book, at, USUAL, Machine(**{"new": 20, **machine}))


def slept(text: str = "2026-06-10 22:00", outcome: str = "promoted", code: int = 0, minutes: float = 40, since_boot: float = 1e6) -> Book:
    """A book in which a night began at a time and ended so."""
    begin = look(Book(), moment(text, since_boot))
    assert begin.decision, begin.decision
    at = replace(moment(text, since_boot), wall=wall(text) + minutes * MINUTE, since_boot=since_boot + minutes * MINUTE)
    book = consider(begun(begin), at, USUAL, Machine(running="it")).book
    return book.end(outcome, code, "as told")


def later(book: Book, hours: float, step: float = 0.0, boot: str | None = None, up: float = 0.0) -> Moment:
    """Hours later, with the clock set by `step` seconds beyond; in another boot that is up for so long."""
    assert book.at is not None
    shown = book.at.wall + hours * HOUR + step
    return Moment(shown, book.at.boot, book.at.since_boot + hours * HOUR) if boot is None else Moment(shown, boot, up)


def test_one_night_a_date_and_the_next_one_is_free() -> None:
    book = slept()
    tonight = look(book, later(book, 1))
    assert [reason.name for reason in tonight.decision.against] == ["once", "apart"]
    assert look(tonight.book, later(book, 23.5)).decision


@pytest.mark.parametrize("outcome, code, over", [
    ("promoted", 0, True), ("rejected", 11, True), ("no_effect", 15, True), ("shipped", 16, False), ("stopped_time", 12, True),
    ("nothing_to_do", 10, True), ("does_not_fit", 20, True), ("integrity", 30, True), ("failed", int(Exit.USAGE), True),
    ("failed", int(Exit.MODEL), True), ("preempted", 14, False), ("stopped_heat", 13, False), ("failed", 50, False),
    ("failed", int(Exit.STORAGE), False), ("failed", 137, False)])
def test_what_may_be_tried_again_the_same_night(outcome: str, code: int, over: bool) -> None:
    book = slept(outcome=outcome, code=code)
    assert (look(book, later(book, 1.01)).decision.yes) is not over


def test_giving_way_is_gone_on_with_at_once_and_costs_no_attempt() -> None:
    book = slept(outcome="preempted", code=14, minutes=5)
    for _ in range(6):
        again = look(book, later(book, 0.1))
        assert again.decision and not look(book, later(book, 0.1), session="a conversation").decision
        book = begun(again)
        book = consider(book, later(book, 0.1), USUAL, Machine(running="it")).book.end("preempted", 14, "again")
    entry = book.of(date(2026, 6, 10))
    assert entry is not None and entry.attempts == 1


def test_what_was_shipped_is_looked_for_four_times_an_hour_and_costs_no_attempt() -> None:
    book = slept(outcome="shipped", code=16, minutes=5)
    for _ in range(6):
        assert [reason.name for reason in look(book, later(book, 0.2)).decision.against] == ["pause"]
        again = look(book, later(book, 0.26))
        assert again.decision and "another machine" in str(again.decision)
        book = begun(again)
        book = consider(book, later(book, 0.01), USUAL, Machine(running="it")).book.end("shipped", 16, "still away")
    entry = book.of(date(2026, 6, 10))
    assert entry is not None and entry.attempts == 1


def test_heat_waits_an_hour_and_a_broken_night_is_tried_three_times() -> None:
    book = slept(outcome="stopped_heat", code=13)
    assert [reason.name for reason in look(book, later(book, 0.5)).decision.against] == ["pause"]
    for attempts in (2, 3):
        again = look(book, later(book, 1.01))
        book = begun(again)
        book = consider(book, later(book, 0.1), USUAL, Machine(running="it")).book.end("failed", 50, "broken")
        assert book.of(date(2026, 6, 10)).attempts == attempts
    refused = look(book, later(book, 1.5)).decision
    assert [reason.name for reason in refused.against] == ["once", "apart"] and "3 times" in str(refused)


def test_a_killed_one_is_gone_on_with_at_once() -> None:
    book = begun(look(Book(), moment("2026-06-10 22:00")))
    assert look(book, later(book, 0.01)).decision
    assert not look(book, later(book, 0.01), running="the night").decision


@pytest.mark.parametrize("step", [-26 * HOUR, -2 * HOUR, -5 * MINUTE, -30.0, 30.0, 5 * MINUTE, 2 * HOUR])
def test_a_leap_after_the_night_neither_doubles_nor_hides_one(step: float) -> None:
    """The clock was wrong by -step when it slept at a true 22:00; it is set right an hour after, and right from then on."""
    true = wall("2026-06-10 22:00")
    board = Board(USUAL, true, error=-step, booted=true - 30 * DAY)
    board.tick()
    if not board.runs:                                            # by that clock it was day: it sleeps once it is set
        assert true_night(board, true - step) is None
    board.true += HOUR
    board.step(0.0)
    while board.true < true + 5 * DAY:
        board.tick()
        board.true += 20 * MINUTE
    shown = [true_night(board, run.true, 2 * HOUR) for run in board.runs]
    assert [night.date.day for night in shown if night is not None] == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("ahead", [2.0, 90.0, 45 * MINUTE])
def test_a_night_begun_by_a_clock_ahead_of_the_window_is_that_date_s(ahead: float) -> None:
    true = wall("2026-06-10 22:00") - ahead / 2
    board = Board(USUAL, true, error=ahead, booted=true - 30 * DAY)
    board.tick()
    board.step(0.0)
    while board.true < true + 23 * HOUR:
        board.tick()
        board.true += 10 * MINUTE
    assert len(board.runs) == 1 and board.book.of(date(2026, 6, 10)) is not None


def test_a_clock_that_ran_days_ahead_costs_no_night_after_it_is_set() -> None:
    true = wall("2026-06-10 22:00")
    board = Board(USUAL, true, error=3 * DAY, booted=true - DAY)
    board.tick()
    assert len(board.runs) == 1
    board.reboot(10 * HOUR, shows=None)                            # by day, with the clock right
    while board.true < true + 6 * DAY:
        board.tick()
        board.true += 20 * MINUTE
    assert [true_night(board, run.true).date.day for run in board.runs] == [10, 11, 12, 13, 14, 15]


def test_a_stale_boot_within_the_night_does_not_double_it() -> None:
    """Slept at 22:00; power fails at 23:00, and the clock comes back a day behind, unsynchronised for ever."""
    book = slept()
    back = later(book, 1, step=-DAY, boot="b", up=20 * MINUTE)
    refused = consider(book, back, USUAL, Machine(new=20, synchronised=False))
    assert refused.doubt is None and "apart" in [reason.name for reason in refused.decision.against]


@pytest.mark.parametrize("text, synchronised, up, doubted", [
    ("1970-01-01 00:00", None, 1e6, True), ("2025-12-31 23:00", True, 1e6, True), ("2026-06-10 23:00", False, 599.0, True),
    ("2026-06-10 23:00", False, 601.0, False), ("2026-06-10 23:00", None, 1.0, False), ("2026-06-10 23:00", True, 1.0, False)])
def test_which_clock_is_believed(text: str, synchronised: bool | None, up: float, doubted: bool) -> None:
    found = consider(Book(), moment(text, up), USUAL, Machine(new=20, synchronised=synchronised))
    assert (found.doubt is not None) is doubted and found.decision.yes is not doubted
    if doubted:
        assert found.book.opened is None and found.next_begin(USUAL) is None


def test_missed_nights_are_named_with_what_stood_against_them() -> None:
    book = look(Book(), moment("2026-06-10 12:00")).book
    book = look(book, moment("2026-06-10 23:00", 1e6 + 11 * HOUR), session="a conversation").book
    book = look(book, moment("2026-06-11 05:50", 1e6 + 18 * HOUR)).book              # too late tells nothing of why
    book = look(book, moment("2026-06-11 23:00", 1e6 + 35 * HOUR), new=3).book
    book = look(book, moment("2026-06-14 12:00", 1e6 + 96 * HOUR)).book
    told = {entry.date: (entry.outcome, entry.reason) for entry in book.dated()}
    assert told["2026-06-10"] == (MISSED, "a conversation")
    assert told["2026-06-11"][0] == "nothing_to_do" and "3 new experiences" in told["2026-06-11"][1]
    assert [told[f"2026-06-{day}"][0] for day in (12, 13)] == [MISSED, MISSED] and "nobody looked" in told["2026-06-13"][1]


def test_a_first_look_by_day_has_missed_nothing() -> None:
    assert look(Book(), moment("2026-06-10 12:00")).book.entries == ()


def test_what_a_clock_that_ran_ahead_missed_is_forgotten() -> None:
    book = look(Book(), moment("2026-06-10 12:00")).book
    ahead = look(book, moment("2026-07-10 12:00", 1e6 + HOUR)).book
    assert len(ahead.entries) == 7
    assert look(ahead, moment("2026-06-10 14:00", 1e6 + 2 * HOUR)).book.entries == ()


RECORD = {"night": "20260610-221500", "outcome": "promoted", "exit_code": 0, "reason": "by hand",
          "started": "2026-06-10T22:15:00+00:00", "ended": "2026-06-10T22:40:00+00:00"}


def test_a_night_by_hand_counts_for_its_date_once() -> None:
    book = look(Book(), moment("2026-06-10 22:50"), session="it").book.note(RECORD, USUAL.windows, UTC)
    assert book.note(RECORD, USUAL.windows, UTC) is book
    assert [reason.name for reason in look(book, moment("2026-06-10 23:00", 1e6 + 600)).decision.against] == ["once", "apart"]
    by_day = {**RECORD, "started": "2026-06-10T13:00:00+00:00", "ended": "2026-06-10T13:40:00+00:00"}
    book = look(Book(), moment("2026-06-10 14:00")).book.note(by_day, USUAL.windows, UTC)
    assert look(book, moment("2026-06-10 22:00", 1e6 + 8 * HOUR)).decision          # it only keeps its distance


def test_an_end_of_nothing_changes_nothing() -> None:
    assert slept().end("promoted", 0, "again") == slept()


def test_a_second_night_by_hand_keeps_its_distance_and_takes_no_date() -> None:
    book = look(slept(), moment("2026-06-11 03:30", 1e6 + 5.5 * HOUR)).book
    more = {**RECORD, "night": "20260611-030000", "started": "2026-06-11T03:00:00+00:00", "ended": "2026-06-11T03:20:00+00:00"}
    noted = book.note(more, USUAL.windows, UTC)
    assert len(noted.entries) == 2 and noted.of(date(2026, 6, 10)).outcome == "promoted" and noted.entries[-1].date is None
    assert noted.since_last() == pytest.approx(10 * MINUTE)
    idle = {**more, "outcome": "nothing_to_do", "exit_code": 10}
    assert book.note(idle, USUAL.windows, UTC) is book                             # it took nothing from anybody
    assert book.note({**more, "ended": None}, USUAL.windows, UTC) is book          # it has not ended


def test_the_book_goes_on_with_a_night_that_it_noted_itself() -> None:
    begun_one = begun(look(Book(), moment("2026-06-10 22:14")))
    first = begun_one.end("preempted", 14, "a talk", {"night": RECORD["night"], "ended": "2026-06-10T22:20:00+00:00"})
    noted = look(first, moment("2026-06-10 22:45", 1e6 + 31 * MINUTE)).book.note(RECORD, USUAL.windows, UTC)
    assert [(entry.date, entry.outcome, entry.record) for entry in noted.entries] == [("2026-06-10", "promoted", RECORD["night"])]


@pytest.mark.parametrize("now, last, begins", [
    ("2026-06-10 12:00", None, "2026-06-10 22:00"),                    # the evening
    ("2026-06-10 23:00", None, "2026-06-10 23:00"),                    # at once
    ("2026-06-11 05:50", None, "2026-06-11 22:00"),                    # too late for tonight
    ("2026-06-10 23:00", "2026-06-10 22:00", "2026-06-11 22:00")])     # tonight's is over
def test_when_the_next_one_may_begin(now: str, last: str | None, begins: str) -> None:
    book = Book() if last is None else slept(last)
    up = 1e6 if last is None else 1e6 + wall(now) - wall(last)
    found = look(book, moment(now, up))
    assert found.next_begin(USUAL) == datetime.fromisoformat(begins).replace(tzinfo=UTC)


def test_where_nights_are_far_apart_the_next_one_waits() -> None:
    rare = Settings(rules=Rules(apart=60 * HOUR))
    found = look(slept(), moment("2026-06-11 12:00", 1e6 + 14 * HOUR))
    assert found.next_begin(rare) == datetime(2026, 6, 13, 22, tzinfo=UTC)                   # 60 h after 22:40 are by day


def test_an_orphan_s_record_ends_the_entry_that_was_begun() -> None:
    book = begun(look(Book(), moment("2026-06-10 22:14")))
    book = look(book, moment("2026-06-10 22:45", 1e6 + 31 * MINUTE)).book.note(RECORD, USUAL.windows, UTC)
    entry = book.of(date(2026, 6, 10))
    assert len(book.entries) == 1 and (entry.outcome, entry.record, entry.attempts) == ("promoted", RECORD["night"], 1)


def test_a_record_with_a_1970_clock_is_over_now() -> None:
    old = {**RECORD, "started": "1970-01-01T00:01:00+00:00", "ended": "1970-01-01T00:30:00+00:00"}
    book = look(Book(), moment("2026-06-10 12:00")).book.note(old, USUAL.windows, UTC)
    assert book.since_last() == 0.0


def test_it_is_read_as_it_was_written(tmp_path) -> None:
    book = look(slept(), moment("2026-06-11 23:00", 2e6), session="a conversation").book
    nights.write(tmp_path / "rhythm.json", book)
    assert nights.read(tmp_path / "rhythm.json") == (book, None)
    (tmp_path / "rhythm.json").write_text('{"format": 1, "at": 3}')
    begun_anew, why = nights.read(tmp_path / "rhythm.json")
    assert begun_anew == Book() and why is not None and "rhythm.json" in why


events = st.lists(st.one_of(
    st.tuples(st.just("pass"), st.floats(0.1, 30.0)), st.tuples(st.just("leap"), st.floats(-40.0, 40.0)),
    st.tuples(st.just("suspend"), st.floats(0.1, 100.0)), st.tuples(st.just("reboot"), st.floats(0.01, 50.0)),
    st.tuples(st.just("battery"), st.floats(0.01, 50.0)), st.tuples(st.just("stale"), st.floats(0.01, 50.0)),
    st.tuples(st.just("kill"), st.just(0.0))), max_size=8)


@settings(max_examples=25)
@given(events, st.sampled_from(["promoted", "rejected", "stopped_time"]), st.floats(0, 24))
def test_whatever_the_clock_does_nights_keep_their_distance_and_their_hour(happens, outcome, begins) -> None:
    """Leaps of days, in both directions, from servers that are believed: what can be kept is kept, and days after all is well."""
    true = wall("2026-06-10 00:00") + begins * HOUR
    board = Board(Settings(Windows(), UTC), true, booted=true, outcome=lambda: outcome)

    def passes(hours: float) -> None:
        until = board.true + hours * HOUR
        while board.true < until:
            board.tick()
            board.true += 45 * MINUTE

    for name, hours in happens:
        if name == "pass":
            passes(hours)
        elif name == "leap":
            board.step(hours * HOUR)
        elif name == "suspend":
            board.true += hours * HOUR
        elif name == "reboot":
            board.reboot(hours * HOUR)
        elif name == "battery":
            board.reboot(hours * HOUR, shows=0.0, sync_after=5 * MINUTE)
        elif name == "stale":
            board.reboot(hours * HOUR, shows=board.true + board.error, sync_after=5 * MINUTE)
        else:
            board.kill_watcher()
    board.step(0.0)
    board.synchronised, settled = True, board.true
    passes(96)
    assert all(run.first for run in board.runs)
    for run, after in zip(board.runs, board.runs[1:], strict=False):
        assert after.true - run.true - 40 * MINUTE >= 6 * HOUR - 1
    assert all(true_night(board, run.shown) is not None for run in board.runs)
    # From the second whole night after the clock was set right, one each.
    late = [true_night(board, run.true).date for run in board.runs if run.true > settled + 30 * HOUR]
    assert len(late) == len(set(late)) and len(late) >= 2
