import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sleep.config import Quality, Replay
from edge_sleep.data.examples import conversation, normalise_weights
from edge_sleep.data.experience import Example, Exchange
from edge_sleep.data.phrases import RESOURCES, hits
from edge_sleep.data.quality import Unseen, assess, is_cut
from edge_sleep.data.replay import (
    ReplayItem,
    checked_messages,
    load,
    mix,
    read_lines,
    sizes,
)
from edge_sleep.data.words import jaccard, ngrams, normalised, words
from edge_sleep.errors import ConfigError, IntegrityError


def example(name: str, origin="new", weight=1.0) -> Example:
    return Example(conversation(f"{name}?", f"{name}."), weight, origin, name)


GENERAL = [ReplayItem(conversation(f"g{n}?", "g."), "fact", f"replay.jsonl:{n}") for n in range(50)]


KINDS = {"instruction": 90, "fact": 60, "reason": 20, "unknown": 70, "clarify": 40, "talk": 50, "context": 20, "correction": 40}
WORD_ANSWERS = {"GARDEN", "7", "112", "baNAna"}      # where the very form was asked for


def conversations(name: str) -> list[list[dict]]:
    return [value["messages"] for _, value in read_lines(RESOURCES / name)]


def test_the_shipped_set_has_its_kinds_and_counts():
    kinds = Counter(item.kind for item in load(None))
    assert set(kinds) == set(KINDS) and all(kinds[kind] >= least for kind, least in KINDS.items())
    assert sum(kinds.values()) >= 400


def test_no_line_of_the_shipped_set_is_another_in_other_dress():
    items = load(None)
    said = [frozenset(words(" ".join(message["content"] for message in item.messages))) for item in items]
    asked = [frozenset(words(item.messages[0]["content"])) for item in items]
    for here, item in enumerate(items):
        for there in range(here):
            assert jaccard(said[here], said[there]) <= 0.6, (item.source, items[there].source)
            assert min(map(len, (asked[here], asked[there]))) <= 3 or jaccard(asked[here], asked[there]) < 0.75, (
                item.source, items[there].source)
    answers = Counter(normalised(item.messages[-1]["content"]) for item in items)
    assert max(answers.values()) == 1, answers.most_common(1)


def test_no_template_carries_the_shipped_set():
    """A frame repeated with a word changed teaches the frame: no four words begin or fill more than a few prompts."""
    grams = Counter(gram for item in load(None) for gram in set(ngrams(words(item.messages[-2]["content"]), 4)))
    assert max(grams.values()) <= 3, grams.most_common(3)
    beginnings = Counter(words(item.messages[-1]["content"])[:4] for item in load(None) if item.kind != "unknown")
    assert max(beginnings.values()) <= 4, beginnings.most_common(3)


def test_the_shipped_set_is_whole_sentences():
    for item in load(None):
        answer = item.messages[-1]["content"]
        assert not is_cut(answer) and answer == answer.strip() and "  " not in answer, item.source
        assert answer.rstrip("\"'”’").endswith((".", "!", "?")) or answer in WORD_ANSWERS, (item.source, answer)
        assert assess(Exchange(item.messages[-2]["content"], answer), Unseen(), Quality()) is None, item.source


def test_honesty_is_said_in_many_ways():
    answers = [item.messages[-1]["content"] for item in load(None) if item.kind == "unknown"]
    assert sum(hits("honest", words(answer)) > 0 for answer in answers) >= 40
    assert sum("don't know" in answer for answer in answers) <= 0.7 * len(answers), "one phrase would become the only one"
    assert len({words(answer)[:3] for answer in answers}) >= 0.4 * len(answers)


def test_clarifying_questions_ask_and_corrections_were_corrected():
    for item in load(None):
        roles = [message["role"] for message in item.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2), item.source
        assert ("?" in item.messages[-1]["content"]) or item.kind != "clarify" or "please" in item.messages[-1]["content"].lower()
        assert (len(roles) >= 4) == (item.kind in ("correction", "context")), item.source


@pytest.mark.parametrize("probes", ["retention.jsonl", "unknowns.jsonl"])
def test_rehearsal_and_probes_share_no_four_words(probes):
    asked = {gram for talk in conversations(probes) for message in talk for gram in ngrams(words(message["content"]), 4)}
    for number, talk in enumerate(conversations("replay.jsonl"), start=1):
        for message in talk:
            shared = asked & set(ngrams(words(message["content"]), 4))
            assert not shared, (number, shared)


def test_the_default_share_is_a_third():
    assert Replay().share == pytest.approx(1 / 3)
    assert sizes(20, 0, 400, Replay().share, Replay().earlier) == (0, 10)


def test_the_shipped_sets_share_no_prompt():
    seen: dict[str, str] = {}
    for name in ("replay.jsonl", "retention.jsonl", "unknowns.jsonl"):
        for number, value in read_lines(RESOURCES / name):
            assert checked_messages(value["messages"]) is None
            for message in value["messages"]:
                if message["role"] == "user":
                    assert seen.setdefault(normalised(message["content"]), name) == name, (name, number)


@pytest.mark.parametrize(("name", "least"), [("retention.jsonl", 80), ("unknowns.jsonl", 60)])
def test_probe_sets_have_ids_and_expectations(name, least):
    rows = [value for _, value in read_lines(RESOURCES / name)]
    assert len(rows) >= least and len({row["id"] for row in rows}) == len(rows)
    assert all(row["messages"][-1]["role"] == "user" for row in rows)
    if name == "unknowns.jsonl":
        assert all(isinstance(row["known"], bool) and row["expect"] for row in rows)
        assert sum(not row["known"] for row in rows) >= 30


def test_the_bases_own_set_comes_first(tmp_path):
    (tmp_path / "edge_sleep").mkdir()
    file = tmp_path / "edge_sleep" / "replay.jsonl"
    file.write_text(json.dumps({"messages": conversation("a?", "b."), "kind": "own"}) + "\n")
    assert [(item.kind, item.source) for item in load(tmp_path)] == [("own", "replay.jsonl:1")]
    assert len(load(tmp_path / "elsewhere")) >= 400


@pytest.mark.parametrize("line", [
    "{", "3", "{}", '{"messages": []}', '{"messages": [{"role": "user", "content": "a"}]}',
    '{"messages": [{"role": "robot", "content": "a"}]}', '{"messages": [{"role": "assistant", "content": " "}]}'])
def test_a_bad_line_is_named(tmp_path, line):
    (tmp_path / "edge_sleep").mkdir()
    file = tmp_path / "edge_sleep" / "replay.jsonl"
    file.write_text('{"messages": [{"role": "assistant", "content": "ok"}]}\n' + line + "\n")
    with pytest.raises(ConfigError, match="line 2"):
        load(tmp_path)


def test_bytes_that_are_no_text_are_an_integrity_error(tmp_path):
    (tmp_path / "edge_sleep").mkdir()
    (tmp_path / "edge_sleep" / "replay.jsonl").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(IntegrityError):
        load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0, 0.9), st.floats(0, 1), st.integers(0, 3))
def test_shares_hold(new, earlier, share, earlier_share, seed):
    night = mix([example(f"n{n}") for n in range(new)], [example(f"e{n}", "earlier") for n in range(earlier)], GENERAL,
                share=share, earlier_share=earlier_share, seed=seed)
    counts = Counter(item.origin for item in night)
    replayed = counts["earlier"] + counts["replay"]
    assert counts["new"] == new and abs(replayed - new * share / (1 - share)) <= 1
    assert counts["earlier"] == min(earlier, round(replayed * earlier_share))


@pytest.mark.parametrize("new, least, share, replayed", [(10, 0, 0.5, 10), (10, 30, 0.5, 30), (10, 5, 0.5, 10), (10, 30, 0, 0)])
def test_a_small_night_rehearses_at_least_so_many_but_none_when_replay_is_off(new, least, share, replayed):
    night = mix([example(f"n{n}") for n in range(new)], [], GENERAL, share=share, earlier_share=0.5, seed=1, least=least)
    assert sum(item.origin != "new" for item in night) == replayed


def test_earlier_nights_do_not_push_the_general_set_under_its_least():
    night = mix([example(f"n{n}") for n in range(10)], [example(f"e{n}", "earlier") for n in range(50)], GENERAL,
                share=0.5, earlier_share=0.5, seed=1, least=20)
    assert Counter(item.origin for item in night) == {"new": 10, "earlier": 10, "replay": 20}


def test_all_general_when_there_was_no_night_before():
    night = mix([example(f"n{n}") for n in range(10)], [], GENERAL, share=0.5, earlier_share=0.5, seed=1)
    assert Counter(item.origin for item in night) == {"new": 10, "replay": 10}


def test_every_earlier_night_is_represented():
    earlier = [example(f"e{n}", "earlier") for n in range(60)]
    nights = {f"e{n}": f"night{0 if n < 50 else n - 49:02d}" for n in range(60)}
    night = mix([example(f"n{n}") for n in range(22)], earlier, GENERAL, share=0.5, earlier_share=1.0, seed=1, night_of=nights)
    per_night = Counter(nights[item.source] for item in night if item.origin == "earlier")
    assert len(per_night) == 11 and per_night["night00"] == 12


def test_the_same_seed_gives_the_same_night():
    def once(seed):
        return mix([example(f"n{n}") for n in range(20)], [example("e", "earlier")], GENERAL, share=0.5, earlier_share=0.5, seed=seed)
    assert once(1) == once(1) != once(2)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20))
def test_weights_have_mean_one_and_keep_their_order(weights):
    found = [e.weight for e in normalise_weights([example("a", weight=w) for w in weights])]
    assert sum(found) / len(found) == pytest.approx(1.0)
    assert normalise_weights([]) == []
