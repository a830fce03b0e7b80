from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.config import Config
from edge_sleep.data.buffer import Buffer, Row
from edge_sleep.data.experience import Exchange, Session
from edge_sleep.data.salience import DIMENSIONS
from edge_sleep.data.select import is_held_out, select
from edge_sleep.data.teach import teach


def score(total: float) -> dict[str, float]:
    return {**dict.fromkeys(DIMENSIONS, total), "total": total}


@pytest.fixture
def buffer(tmp_path):
    with Buffer(tmp_path / "experience.db") as opened:
        yield opened


def fill(buffer, sessions=3, per_session=4, total=lambda n: 0.5, prompt=lambda n: f"p{n}?"):
    n = 0
    for s in range(sessions):
        rows = []
        for _ in range(per_session):
            exchange = Exchange(prompt(n), f"answer {n}.")
            rows.append(Row(exchange, exchange.response, score(total(n))))
            n += 1
        buffer.add(Session(f"{s:016x}", "f", "messages", ()), rows)


def run(buffer, **more):
    return select(buffer, **{"max_selected": 100, "per_prompt": 6, "held_out_share": 0.0, "seed": 1, **more})


def test_everything_when_there_is_room(buffer):
    fill(buffer)
    chosen = run(buffer)
    assert [e.response for e in chosen.new] == [f"answer {n}." for n in range(12)]
    assert chosen.earlier == chosen.held_out == [] and chosen.reasons["selected"] == 12


def test_prompts_that_differ_in_dress_only_share_a_cap(buffer):
    fill(buffer, prompt=lambda n: ["How are you?", "how are you", "How  are you!"][n % 3], total=lambda n: n / 20)
    chosen = run(buffer, per_prompt=2)
    assert [e.response for e in chosen.new] == ["answer 10.", "answer 11."] and chosen.reasons["over_prompt_cap"] == 10


def test_the_salient_come_first_and_the_recent_before_equals(buffer):
    fill(buffer, total=lambda n: 0.9 if n == 0 else 0.5)
    assert [e.response for e in run(buffer, max_selected=3).new] == ["answer 0.", "answer 10.", "answer 11."]


def test_trained_ones_are_earlier_and_never_new(buffer):
    fill(buffer)
    ids = [e.id for e in buffer.items()[:5]]
    buffer.mark_trained("n1", "a1", ids)
    chosen = run(buffer)
    assert [e.id for e in chosen.earlier] == ids and len(chosen.new) == 7 and chosen.earlier[0].trained_in == ("n1",)


def test_quarantined_ones_are_nowhere(buffer):
    fill(buffer)
    buffer.quarantine(buffer.items()[0].id)
    assert len(run(buffer).new) == 11


@pytest.mark.parametrize("sessions", [9, 30])
def test_whole_sessions_are_held_out_from_ten_on(buffer, sessions):
    fill(buffer, sessions=sessions)
    chosen = run(buffer, held_out_share=0.3)
    held, new = {e.session for e in chosen.held_out}, {e.session for e in chosen.new}
    assert not held & new and len(chosen.new) + len(chosen.held_out) == 4 * sessions
    assert bool(held) == (sessions >= 10) and ("no_held_out" in chosen.reasons) == (sessions < 10)
    assert chosen == run(buffer, held_out_share=0.3)


def test_what_was_learned_is_never_held_out(buffer):
    fill(buffer, sessions=30)
    first = run(buffer, held_out_share=0.0)
    buffer.mark_trained("n1", "a1", [e.id for e in first.new[:60]])
    taught = {e.session for e in first.new[:60]}
    assert not {e.session for e in run(buffer, held_out_share=0.5).held_out} & taught


def test_the_share_is_about_the_share():
    held = sum(is_held_out(f"session {n}", 0.1, 7) for n in range(5000))
    assert 400 < held < 600


NEAR = ["Hello. What's on your mind today?", "What's on your mind?", "Tell me, what's on your mind?"]


def test_prompts_in_nearly_the_same_words_share_a_cap(buffer):
    fill(buffer, prompt=lambda n: NEAR[n % 3], total=lambda n: n / 20)
    chosen = run(buffer, per_prompt=2)
    assert len(chosen.new) == 2 and chosen.reasons["over_prompt_cap"] == 10 and chosen.reasons["over_limit"] == 0
    assert len(run(buffer, per_prompt=2, max_selected=1).new) == 1


def test_a_backlog_does_not_keep_today_waiting(buffer):
    names = [chr(97 + n % 26) + chr(97 + n // 26) * 3 for n in range(240)]
    fill(buffer, sessions=60, total=lambda n: 0.9 if n < 200 else 0.3, prompt=lambda n: f"What of {names[n]}?")
    chosen = [int(e.response.split()[1].rstrip(".")) for e in run(buffer, max_selected=40).new]
    assert sum(n >= 200 for n in chosen) == 20 and sum(n < 200 for n in chosen) == 20
    assert {239, 199} <= set(chosen), "the newest, and the best"


def test_what_was_taught_comes_first_and_is_never_held_out(buffer):
    fill(buffer, sessions=30, total=lambda n: 0.9, prompt=lambda n: "What of it?")
    config = Config()
    taught = [teach(buffer, config, "What of it?", f"It is fact {n}.")[0].id for n in range(3)]
    other = teach(buffer, config, "Who is Lena?", "Lena is my sister.")[0].id
    for share in (0.0, 0.9):
        chosen = run(buffer, per_prompt=1, max_selected=2, held_out_share=share)
        assert {e.id for e in chosen.new} == {taught[2], other}
        assert not {e.id for e in chosen.held_out} & {*taught, other}


@given(shapes=st.lists(st.integers(1, 6), min_size=10, max_size=25), share=st.floats(0.05, 0.9), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_the_split_is_by_session_never_by_exchange(tmp_path_factory, shapes, share, seed):
    with Buffer(tmp_path_factory.mktemp("split") / "experience.db") as buffer:
        for number, size in enumerate(shapes):
            rows = [Row(exchange, exchange.response, score(0.5)) for turn in range(size)
                    if (exchange := Exchange("The same question?", f"answer {number} {turn}."))]
            buffer.add(Session(f"{number:016x}", "f", "messages", ()), rows)
        chosen = run(buffer, per_prompt=1000, max_selected=1000, held_out_share=share, seed=seed)
    held, new = Counter(e.session for e in chosen.held_out), Counter(e.session for e in chosen.new)
    assert not held & new
    for number, size in enumerate(shapes):
        assert held[f"{number:016x}"] + new[f"{number:016x}"] == size, "a session is on one side, whole"


def test_an_exchange_that_two_sessions_share_is_not_on_both_sides(buffer):
    fill(buffer, sessions=30)
    twin = Exchange("p0?", "answer 0.")
    buffer.add(Session("f" * 16, "f", "messages", ()), [Row(twin, twin.response, score(0.5))])
    chosen = run(buffer, held_out_share=0.5)
    assert not {e.id for e in chosen.held_out} & {e.id for e in chosen.new}
