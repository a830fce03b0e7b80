"""Nights of several candidates on the micro-model: the first is tonight's own, the cut ones go on, the record names all."""
import subprocess
import sys

import pytest

from edge_sleep import config
from edge_sleep.checkpoint import manifest
from edge_sleep.errors import DoesNotFit
from edge_sleep.evaluate import choice, court, judge
from edge_sleep.night import Request, plan, run
from edge_sleep.system.clock import Clock
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold
from edge_sleep.train import session
from tests import micro

pytestmark = pytest.mark.night
FOUR = "train.candidates=4"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    return micro.write_talk(tmp_path_factory.mktemp("talk") / "talk").parent


@pytest.fixture(scope="module")
def alone(model, talk, tmp_path_factory):
    return micro.night(tmp_path_factory.mktemp("alone") / "home", model, talk)


@pytest.fixture(scope="module")
def four(model, talk, tmp_path_factory):
    """A night of four candidates: its home, its record, and every question by the phase in which the model was asked."""
    home, asked, phases = tmp_path_factory.mktemp("four") / "home", {"train": [], "judge": []}, []
    real = court.generate

    def listening(model, tokenizer, conversations, *rest):
        asked[phases[-1]] += [turns[-1]["content"] for turns in conversations]
        return real(model, tokenizer, conversations, *rest)

    with pytest.MonkeyPatch.context() as patch:
        for module in (court, judge):
            patch.setattr(module, "generate", listening)
        # Without the rival, which asks the base once more and judges nothing (evaluate/rival.py).
        record = micro.night(home, model, talk, FOUR, "gate.rival=false",
                             listener=lambda event: phases.append(event["name"]) if event["event"] == "phase" else None)
    return home, record, asked


def test_a_tie_is_the_night_of_one_candidate(alone, four):
    home, record, _ = four
    assert (record["outcome"], record["candidate"]) == ("promoted", alone["candidate"]), "the same adapter to the bit"
    assert manifest.read(Home(home).adapter(record["candidate"]))["night"] == record["night"]
    assert not (Home(home).night(record["night"]) / "state").exists()


def test_the_record_names_every_candidate_and_both_sets(four):
    _, record, _ = four
    tried = record["train"]["candidates"]
    assert [entry["outcome"] for entry in tried] == ["chosen", "not chosen", "not chosen", "not chosen"]
    assert record["train"]["chosen"] == 0 and record["train"]["why_chosen"].startswith("as configured")
    assert tried[1]["settings"] == {"train.learning_rate": 1e-2}
    assert len({entry["id"] for entry in tried}) == 4
    assert tried[3]["steps"] > tried[0]["steps"] == record["train"]["steps"]
    assert all(entry["select"]["retention"]["n"] is not None and entry["seconds"] > 0 for entry in tried)
    sets = record["gate"]["sets"]
    assert sets["select"]["n"] == record["gate"]["probes"]["select"] > 0
    assert sets["confirm"]["n"] == record["gate"]["probes"]["confirm"] > 0
    assert sets["select"]["sha256"] != sets["confirm"]["sha256"]


def test_the_gate_reads_its_questions_once_and_for_one_candidate(four):
    choosing, judging = four[2]["train"], four[2]["judge"]
    assert choosing and judging
    assert not set(choosing) & set(judging)
    assert len(judging) == 2 * len(set(judging)), "the base and one candidate"
    assert len(choosing) == 5 * len(set(choosing)), "the base and four candidates"


def test_the_winner_is_promoted_and_a_failure_does_not_take_the_night_with_it(model, talk, four, tmp_path, monkeypatch):
    """The choice itself is a table (tests/evaluate/test_choice.py); here the second is taken, and the third runs out of memory."""
    real, calls = session.train_candidate, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise DoesNotFit("memory ran out (the allocator) at step 3 with one example at a time")
        return real(*arguments)

    monkeypatch.setattr(session, "train_candidate", failing)
    monkeypatch.setattr(choice, "choose", lambda standings: choice.Choice(1, "twice the rate: chosen by this test"))
    record = micro.night(tmp_path / "home", model, talk, FOUR)
    tried = record["train"]["candidates"]
    assert [entry["outcome"] for entry in tried] == ["not chosen", "chosen", "failed", "not chosen"]
    assert "memory ran out" in tried[2]["why"]
    assert record["train"]["learning_rate"] == pytest.approx(1e-2)
    assert (record["outcome"], record["candidate"]) == ("promoted", tried[1]["id"])
    assert tried[1]["id"] == four[1]["train"]["candidates"][1]["id"], "whatever becomes of the others"


class Ticking(Clock):
    """A second passes whenever somebody looks: the same night on a fast machine and on a busy one."""

    seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1.0
        return self.seconds


@pytest.mark.long
def test_what_the_budget_does_not_hold_is_named_and_the_night_ends_in_time(model, talk, alone, tmp_path):
    clock = Ticking()
    settings = config.load(None, [*micro.SETS, f"companion.model={model}", "train.candidates=12", "budget.time=400s"])
    record = run(Home(tmp_path / "home"), settings, Request(sessions=(talk,)), clock=clock)
    tried = record["train"]["candidates"]
    assert len(tried) == 12
    assert tried[0]["outcome"] == "chosen" and tried[1]["outcome"] == "not chosen"
    left_out = [entry["why"] for entry in tried if entry["outcome"] == "left out"]
    assert left_out and all("are left before the gate's time" in why or "the budget" in why for why in left_out)
    assert (record["outcome"], record["candidate"]) == ("promoted", alone["candidate"])
    assert clock.seconds < 400


@pytest.mark.long
def test_a_conversation_takes_the_device_between_two_candidates(model, talk, four, tmp_path):
    taken = []

    def begin(event):
        if event["event"] == "candidate" and event["number"] == 2 and not taken:
            taken.append(hold(Home(tmp_path / "home").session_lock, "a conversation"))
            taken[0].__enter__()

    record = micro.night(tmp_path / "home", model, talk, FOUR, listener=begin)
    assert (record["outcome"], record["exit_code"]) == ("preempted", 14)
    assert "candidate 3" in record["reason"]
    assert [entry["outcome"] for entry in record["train"]["candidates"]][:2] == ["finished", "finished"]
    taken[0].__exit__(None, None, None)
    resumed = micro.night(tmp_path / "home", model, talk)           # however many this start asks for
    assert (resumed["outcome"], resumed["night"]) == ("promoted", record["night"])
    assert [entry["id"] for entry in resumed["train"]["candidates"]] == [entry["id"] for entry in four[1]["train"]["candidates"]]


# ---- real kills: at files that mark progress, just before and just after they are there --------------------------------

POINTS = [("after", "variants/0/trained.json"), ("before", "variants/1/answers.json"), ("after", "variants/2/step-"),
          ("after", "choice.json")]
SCRIPT = """
import os, sys
from pathlib import Path
from tests import micro

def cut(real, when, point):
    def replace(source, target):
        hit = point in str(target) and "tmp-" not in Path(target).name
        if hit and when == "before":
            os.kill(os.getpid(), 9)
        real(source, target)
        if hit:
            os.kill(os.getpid(), 9)
    return replace

home, model, talk, when, point = sys.argv[1:]
os.replace = cut(os.replace, when, point)
micro.night(Path(home), Path(model), Path(talk), "train.candidates=4", "train.state_every=0s")
"""


@pytest.mark.long
def test_killed_at_four_marks_of_progress_the_same_adapter_is_promoted(model, talk, four, tmp_path):
    """One night, killed with SIGKILL at one mark after another; every start goes on where the last one was cut."""
    for when, point in POINTS:
        cut = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(model), str(talk), when, point],
                             capture_output=True, text=True)
        assert cut.returncode == -9, (point, cut.stderr[-2000:])
    record = micro.night(tmp_path / "home", model, talk, FOUR, "train.state_every=0s")
    assert (record["outcome"], record["candidate"]) == ("promoted", four[1]["candidate"])
    assert len(list(Home(tmp_path / "home").nights.iterdir())) == 1
    assert [entry["id"] for entry in record["train"]["candidates"]] == [entry["id"] for entry in four[1]["train"]["candidates"]]


@pytest.mark.parametrize(("budget", "fits"), [("55m", 4), ("0.1s", 0)])
def test_the_plan_says_how_many_would_fit(budget, fits, model, talk, tmp_path):
    record = micro.night(tmp_path / "home", model, talk, FOUR, f"budget.time={budget}", dry_run=True)
    settings = config.load(None, [*micro.SETS, f"companion.model={model}", FOUR, f"budget.time={budget}"])
    line = next(choice for choice in plan(Home(tmp_path / "home"), settings, Request())["choices"] if choice["name"] == "candidates")
    assert line["value"] == fits and line["reason"].startswith("of 4, at ")
    assert ("left out: as configured, twice the rate" in line["reason"]) is (fits == 0)
    assert f"candidates {fits}: {line['reason']}" in record["plan"]["reasons"], "the night's own plan says the same"
    one = config.load(None, [*micro.SETS, f"companion.model={model}"])
    assert not any(choice["name"] == "candidates" for choice in plan(Home(tmp_path / "home"), one, Request())["choices"])
