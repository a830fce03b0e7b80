"""accelerate starts two processes for one job: its adapter is the one of one process, and one that dies ends it by name."""
from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from edge_sleep.config import Config, load
from edge_sleep.data.experience import Example
from edge_sleep.device.detect import Device
from edge_sleep.errors import ConfigError, DeviceError, DoesNotFit, ModelError
from edge_sleep.model.base import Base, BaseSource, fingerprint
from edge_sleep.system.clock import Clock
from edge_sleep.system.events import EventLog
from edge_sleep.system.files import write_json
from edge_sleep.train import launch, state
from edge_sleep.train.budget import Contract
from edge_sleep.train.planner import Fit, Plan
from edge_sleep.train.session import TrainingStop, train_candidate
from tests import micro

CPU = Device("cpu", "cpu", "float32", "of a test")
PLAN = Plan("cpu", Fit(512, True, 2), 0, 60.0, 60.0, [], processes=2)


class Asked:
    """A job's folder as a worker lays it out, on the micro-model."""

    def __init__(self, folder: Path, model: Path, epochs: int = 3):
        self.folder, self.told = folder / "state", list[dict]()
        self.config: Config = load(None, [*micro.SETS, f"train.epochs={epochs}", "train.state_every=0s"])
        self.examples = [Example(({"role": "user", "content": asked}, {"role": "assistant", "content": answer}), 1.0, "new", f"{n:016x}")
                         for n, (asked, answer) in enumerate(micro.TALK)]
        state.write_examples(self.folder, self.examples)
        write_json(self.folder / "plan.json", {"format": 1, "experiences": [], "night": "20260117-2300"})
        place = BaseSource(str(model), model)
        self.base = Base(place, fingerprint(place)[0], "float32", folder / "cache")
        self.clock = Clock()
        self.events = EventLog(None, self.clock, self.told.append)

    def contract(self, seconds: float = 600.0) -> Contract:
        return Contract(self.clock, self.clock.monotonic(), seconds, 0.0)

    def alone(self):
        return train_candidate(self.base, CPU, self.config, self.examples, None, self.folder, replace(PLAN, processes=1), self.contract(),
                               self.clock, self.events, lambda load_seconds: 0.0, lambda: None)

    def over(self, interrupted=lambda: None, contract: Contract | None = None):
        return launch.train_over(2, self.base, CPU, self.config, None, self.folder, PLAN, contract or self.contract(), self.events, interrupted)

    def steps(self) -> list[int]:
        return [entry["step"] for entry in self.told if entry["event"] == "step"]


def members(folder: Path) -> list[int]:
    """Pids of the processes that train in this folder."""
    found = []
    for place in Path("/proc").iterdir():
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"edge_sleep.train.member" in words and str(folder).encode() in words and b"--multi_gpu" not in words:
            found.append(int(place.name))
    return sorted(found)


def until(true, seconds: float = 240.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return micro.make_model(tmp_path_factory.mktemp("model"))


@pytest.mark.long
def test_two_processes_make_the_adapter_of_one(tmp_path: Path, model: Path) -> None:
    one, two = Asked(tmp_path / "one", model), Asked(tmp_path / "two", model)
    alone, shared = one.alone(), two.over()
    assert (alone.stop, shared.stop) == (TrainingStop.FINISHED, TrainingStop.FINISHED)
    assert (alone.train["processes"], shared.train["processes"]) == (1, 2)
    assert two.steps() == one.steps() == list(range(1, 7))
    expected, found = (load_file(asked.folder / "candidate" / "adapter_model.safetensors") for asked in (one, two))
    assert expected.keys() == found.keys()
    # float32 sums of the same examples in another order, through six steps of AdamW at 5e-3
    worst = max(float((expected[name] - found[name]).abs().max()) for name in expected)
    assert worst < 1e-5, worst
    held = [entry for entry in two.told if entry["event"] == "processes"]
    assert len(held) == 1 and len(held[0]["rss_peak_bytes"]) == 2
    assert members(two.folder) == []
    print(json.dumps({"worst": worst, "rss_peak_bytes": held[0]["rss_peak_bytes"]}))


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_killed_ends_the_job_by_name_and_another_start_goes_on(tmp_path: Path, model: Path, rank: int) -> None:
    asked = Asked(tmp_path, model, epochs=200)
    killed: list[int] = []

    def kill() -> None:
        until(lambda: len(asked.steps()) > 3)
        for pid in members(asked.folder):
            around = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if f"RANK={rank}".encode() in around:
                killed.append(pid)
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    began = time.monotonic()
    with pytest.raises(DeviceError, match=rf"process {rank} was ended by signal 9 of 2 .* step-\d+ is saved"):
        asked.over()
    thread.join()
    assert len(killed) == 1 and time.monotonic() - began < 200
    until(lambda: members(asked.folder) == [], 20)
    reached = max(asked.steps())
    asked.told.clear()
    asked.config = asked.config.model_copy(update={"train": asked.config.train.model_copy(update={"epochs": 1 + reached // 2})})
    assert asked.over().stop is TrainingStop.FINISHED
    assert min(asked.steps()) > 1, "it went on from the saved step"


@pytest.mark.long
def test_an_error_of_all_is_raised_by_its_name_and_nobody_is_left(tmp_path: Path, model: Path) -> None:
    asked = Asked(tmp_path, model)
    asked.config = asked.config.model_copy(update={"lora": asked.config.lora.model_copy(update={"targets": "no_such_layer"})})
    with pytest.raises(ModelError, match="no_such_layer"):
        asked.over()
    until(lambda: members(asked.folder) == [], 20)


@pytest.mark.long
def test_a_word_to_stop_saves_the_step_and_the_end_of_the_watcher_is_theirs(tmp_path: Path, model: Path) -> None:
    asked = Asked(tmp_path, model, epochs=400)
    result = asked.over(lambda: "somebody talks" if len(asked.steps()) > 2 else None)
    assert result.stop is TrainingStop.INTERRUPTED and "somebody talks" in result.reason and state.latest(asked.folder) is not None
    asked.told.clear()
    watcher = os.fork()
    if watcher == 0:                               # a worker that is killed while it watches
        asked.over()
        os._exit(0)
    until(lambda: len(members(asked.folder)) == 2)
    os.kill(watcher, signal.SIGKILL)
    os.waitpid(watcher, 0)
    until(lambda: members(asked.folder) == [], 20)


# --- what is said without a process -------------------------------------------------------------------

TORCHRUN = """E1128 torch/distributed/elastic/multiprocessing/api.py:882] failed (exitcode: -9) local_rank: 1 (pid: 4242) of binary: python
============================================================
edge_sleep.train.member FAILED
------------------------------------------------------------
Failures:
[1]:
  time      : 2026-11-28_00:00:01
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 4241)
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-28_00:00:00
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 4242)
"""


@pytest.mark.parametrize("log, who", [
    (TORCHRUN, "process 1 was ended by signal 9"), (TORCHRUN.replace("-9", "3"), "process 1 ended with 3"),
    ("Traceback\nModuleNotFoundError: No module named 'accelerate'\n\n", "accelerate ended without a result (ModuleNotFoundError: No module"),
    ("", "accelerate ended without a result (it said nothing)")])
def test_who_failed_first_is_torchrun_s_word(tmp_path: Path, log: str, who: str) -> None:
    (tmp_path / "log").write_text(log)
    assert launch._who(tmp_path / "log").startswith(who)


def test_an_error_of_process_0_is_raised_as_it_was() -> None:
    with pytest.raises(DoesNotFit, match="too much") as caught:
        launch._result({"error": {"kind": "DoesNotFit", "message": "too much", "do": "less"}})
    assert caught.value.do == "less"
    with pytest.raises(ConfigError, match="^one problem"):
        launch._result({"error": {"kind": "ConfigError", "message": "one problem", "do": ""}})


def test_events_are_handed_on_once_and_whole(tmp_path: Path) -> None:
    told: list[dict] = []
    heard = launch._Heard(tmp_path / "events.jsonl", EventLog(None, Clock(), told.append))
    heard.more()
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(b'{"at": "x", "event": "step", "step": 1}\n{"at": "x", "event": "st')
        file.flush()
        heard.more()
        file.write(b'ep", "step": 2}\n')
        file.flush()
        heard.more()
        heard.more()
    assert [(entry["event"], entry["step"]) for entry in told] == [("step", 1), ("step", 2)] and told[0]["at"] != "x"
