"""A process that was killed leaves its note, and the next one takes less: real kills, one of them by a real limit."""
from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from edge_sleep.benchmarks.limits import CannotLimit, limited

from edge_sleep.errors import DoesNotFit
from edge_sleep.system.events import read_events
from edge_sleep.train.attempt import Attempt
from tests import micro


def cut(file, size, step, kills=0):
    """An attempt that never came to its end."""
    attempt = Attempt(file, size, kills=kills)
    attempt.at(step, attempt.size)
    return attempt


def test_a_clean_end_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), Attempt(tmp_path / "note", 8, kills=0):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_one_cut_changes_nothing_two_at_the_same_step_halve(tmp_path):
    note = tmp_path / "note"
    assert cut(note, 8, 3).size == 8
    assert cut(note, 8, 3).size == 8
    third = cut(note, 8, 3)
    assert (third.size, third.reason) == (4, "two tries in a row were killed at step 4")
    assert cut(note, 8, 3).size == 4, "what was halved stays so, and one more cut changes nothing"
    assert Attempt(note, 8, kills=0).size == 2


def test_cuts_at_different_steps_are_power_cuts(tmp_path):
    assert [cut(tmp_path / "note", 8, step).size for step in (1, 4, 6, 9)] == [8, 8, 8, 8]


def test_a_kill_that_the_kernel_counted_halves_at_once(tmp_path):
    note = tmp_path / "note"
    cut(note, 5, 2, kills=1)
    found = Attempt(note, 5, kills=2)
    assert (found.size, found.reason) == (3, "the last try was killed at the memory limit")


def test_one_at_a_time_that_was_killed_is_named_and_can_be_tried_again(tmp_path):
    note = tmp_path / "note"
    cut(note, 1, 0, kills=1)
    with pytest.raises(DoesNotFit, match="one example at a time"):
        Attempt(note, 1, kills=2)
    assert Attempt(note, 1, kills=2).reason == ""


@pytest.mark.parametrize("left", ["", "{", "[]", '{"size": 1}'])
def test_a_torn_note_is_none(tmp_path, left):
    (tmp_path / "note").write_text(left)
    assert Attempt(tmp_path / "note", 8, kills=0).size == 8


def test_killed_by_a_real_limit_the_next_process_takes_half(tmp_path):
    greedy = ("import sys; from pathlib import Path; from edge_sleep.train.attempt import Attempt\n"
              "with Attempt(Path(sys.argv[1]), 8) as attempt:\n"
              "    held = [b'x' * (attempt.size << 20) for _ in range(24)]\n"
              "    print(attempt.size, attempt.reason)\n")
    try:
        with limited(150 << 20) as group:      # 24 x 8 MiB do not fit, 24 x 4 do
            command = [sys.executable, "-c", greedy, str(tmp_path / "note")]
            first = group.run(command, stdout=subprocess.PIPE, text=True)
            assert (first.communicate()[0], first.returncode) == ("", -signal.SIGKILL)
            second = group.run(command, stdout=subprocess.PIPE, text=True)
            assert second.communicate()[0] == "4 the last try was killed at the memory limit\n"
            assert group.kills() == 1
    except CannotLimit as why:
        pytest.skip(str(why))


# Long answers, so that a forward takes megabytes; a step holds eight of them.
LONG = [(f"Tell me tale {number}.", " ".join(f"word{(number * 7 + at) % 23}" for at in range(90))) for number in range(8)]
SETS = ("train.micro_batch=8", "train.epochs=2", "train.state_every=1h", "train.packing=false", "quality.enabled=false",
        "salience.keep=0", "gate.recall_probes=2", "gate.retention_probes=2", "gate.unknown_probes=2")
KILLED = """
import os, signal, sys
from pathlib import Path
from tests import micro
def listener(event):
    if event["event"] == "step":
        os.kill(os.getpid(), signal.SIGKILL)
micro.night(*map(Path, sys.argv[1:4]), *sys.argv[4:], listener=listener)
"""


@pytest.mark.long
def test_a_night_killed_twice_at_the_same_step_goes_on_with_half(tmp_path):
    model = micro.make_model(tmp_path / "model")
    micro.write_talk(tmp_path / "talk", LONG)
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, *(str(tmp_path / name) for name in ("home", "model", "talk")), *SETS],
                              capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", *SETS)
    assert record["outcome"] == "promoted"
    assert record["train"]["micro_batch"] == 4
    events = read_events(tmp_path / "home" / "nights" / record["night"] / "events.jsonl")
    assert [event["reason"] for event in events if event["event"] == "shrunk"] == ["two tries in a row were killed at step 2"]


NARROW = """
import json, sys
from pathlib import Path
import torch
from edge_sleep.device import memory
from edge_sleep.device.limit import MARGIN_BYTES
from tests import micro
BUDGET, ROOM = 2 << 30, int(sys.argv[4]) << 20
kept = []
def listener(event):
    if event["event"] == "objective":      # loaded, and the plan is made: now somebody takes the rest
        room = BUDGET - MARGIN_BYTES - memory.shared_bytes() - memory.anonymous_bytes() - ROOM
        kept.append(torch.ones(room, dtype=torch.uint8))
    if event["event"] == "phase" and event["name"] == "judge":
        kept.clear()
record = micro.night(*map(Path, sys.argv[1:4]), f"budget.memory_bytes={BUDGET}", *sys.argv[5:], listener=listener)
print(json.dumps(record))
"""


@pytest.mark.night
@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.long)])     # emulated: minutes
def test_a_night_that_meets_its_limit_shrinks_and_comes_to_its_end(tmp_path, dtype):
    micro.make_model(tmp_path / "model", hidden=512)
    micro.write_talk(tmp_path / "talk", LONG)
    done = subprocess.run([sys.executable, "-c", NARROW, *(str(tmp_path / name) for name in ("home", "model", "talk")), "210", *SETS,
                           f"companion.compute_dtype={dtype}"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout.splitlines()[-1])
    assert record["outcome"] == "promoted"
    assert record["train"]["micro_batch"] < 8
    events = read_events(tmp_path / "home" / "nights" / record["night"] / "events.jsonl")
    shrunk = [event for event in events if event["event"] == "shrunk"]
    assert shrunk and all("foreseen" in event["reason"] for event in shrunk), shrunk
