"""Whole nights on the micro-model: the same code path as any night, in seconds."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_sleep.checkpoint import manifest, store
from edge_sleep.errors import Busy, DoesNotFit, IntegrityError, ModelError, UsageError
from edge_sleep.system.events import read_events
from edge_sleep.system.home import Home
from edge_sleep.system.lock import hold
from tests import micro

pytestmark = pytest.mark.night
MORE = [("What colour is the gate?", "The gate was painted green in the spring."),
        ("Who mends the nets?", "The nets are mended by the two brothers from the pier."),
        ("Where do the bees live?", "The bees live in three white hives behind the barn."),
        ("When does the ferry leave?", "The ferry leaves at seven, before the fog lifts.")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return micro.make_model(tmp_path_factory.mktemp("micro") / "model")


@pytest.fixture(scope="module")
def first_night(model, tmp_path_factory):
    """A home after one promoted night; copied by the tests that change it."""
    root = tmp_path_factory.mktemp("first")
    micro.write_talk(root / "talk")
    began = time.monotonic()
    record = micro.night(root / "home", model, root / "talk")
    return root, record, time.monotonic() - began


@pytest.fixture
def home(first_night, tmp_path):
    root, _, _ = first_night
    shutil.copytree(root, tmp_path / "copy")
    return tmp_path / "copy" / "home"


def test_a_night_from_ingest_to_promotion(first_night, model):
    root, record, _ = first_night
    home = Home(root / "home")
    assert (record["outcome"], record["exit_code"]) == ("promoted", 0)
    assert [phase["name"] for phase in record["phases"]] == ["ingest", "select", "plan", "train", "judge", "promote"]
    assert all(phase["outcome"] == "done" for phase in record["phases"])
    pointer = store.current(home)
    assert pointer["adapter"]["id"] == record["candidate"]
    assert manifest.problems(home.adapter(record["candidate"])) == []
    assert json.loads((home.night(record["night"]) / "record.json").read_text()) == record
    assert not (home.night(record["night"]) / "state").exists()
    assert json.loads((home.night(record["night"]) / "patterns.json").read_text())["experiences"] == 4
    assert record["gate"]["metrics"]["nll_taught"]["after"] < record["gate"]["metrics"]["nll_taught"]["before"]
    assert record["measured"]["energy_joules"] is None       # not measured is null, never 0


@pytest.mark.alone
def test_a_warm_micro_night_takes_eight_seconds_at_most(first_night, model, tmp_path):
    """The first one above pays for imports; campaigns run on warm ones."""
    micro.write_talk(tmp_path / "talk")
    began = time.monotonic()
    assert micro.night(tmp_path / "home", model, tmp_path / "talk")["outcome"] == "promoted"
    assert time.monotonic() - began <= 8 * float(os.environ.get("EDGE_SLEEP_TEST_SLACK", "1"))


def test_a_night_leaves_the_callers_arithmetic_alone(first_night):
    assert sys.float_info.min / 2 > 0, "denormals are still flushed to zero"


def test_the_same_words_give_the_same_adapter(first_night, model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    again = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert again["candidate"] == first_night[1]["candidate"]


def test_what_was_promoted_is_what_a_session_loads(home, model):
    from edge_sleep import config
    from edge_sleep.serve.proof import verify
    from edge_sleep.serve.session import load_current

    settings = config.load(None, [*micro.SETS, f"companion.model={model}"])
    proof = verify(Home(home), settings)
    assert proof["ok"], proof["problems"]
    assert proof["differs_from_base"] > 0
    session = load_current(Home(home), settings, max_new_tokens=4)
    assert session.identity["adapter"] == store.incumbent(Home(home)) == proof["adapter"]
    grown = []
    assert session.answer([{"role": "user", "content": "Who waters the ferns?"}], on_text=grown.append) == "".join(grown).strip()


def test_the_second_night_continues_from_the_first(home, model):
    parent = store.incumbent(Home(home))
    micro.write_talk(home.parent / "talk", MORE, number=2)
    record = micro.night(home, model, home.parent / "talk")
    assert (record["outcome"], record["parent"]) == ("promoted", parent)
    assert store.lineage(Home(home), record["candidate"]) == [record["candidate"], parent]
    sizes = {folder.name: (folder / "adapter_model.safetensors").stat().st_size for folder in Home(home).adapters.iterdir()}
    assert len(set(sizes.values())) == 1, "the adapter must not grow"
    trained = [json.loads(line)["origin"] for line in _examples_of(home, record)]
    assert trained == []                                     # state is gone after a night that ended


def _examples_of(home, record):
    file = Home(home).night(record["night"]) / "state" / "examples.jsonl"
    return file.read_text().splitlines() if file.is_file() else []


def test_nothing_new_is_nothing_to_do(home, model):
    (half := home / "cache" / ".tmp-base-nf4.safetensors.4711").write_text("what a kill left while the 4-bit base was kept")
    record = micro.night(home, model, home.parent / "talk")
    assert (record["outcome"], record["exit_code"]) == ("nothing_to_do", 10) and not half.exists()


def test_too_little_is_nothing_to_do_unless_forced(model, tmp_path):
    micro.write_talk(tmp_path / "talk", micro.TALK[:2])
    record = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert record["outcome"] == "nothing_to_do"
    assert "2 new experiences" in record["reason"]
    assert micro.night(tmp_path / "home", model, tmp_path / "talk", force=True)["outcome"] == "promoted"


def test_a_dry_run_trains_nothing_and_leaves_no_night(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", dry_run=True)
    assert record["exit_code"] == 0
    assert record["plan"]["peak_bytes"] > 0
    assert list(Home(tmp_path / "home").nights.iterdir()) == []
    assert store.current(Home(tmp_path / "home")) is None


def test_gentle_moves_nothing_and_is_not_tried_again(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    gentle = ("train.learning_rate=1e-7",)
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", *gentle)
    assert (record["outcome"], record["exit_code"]) == ("no_effect", 15)
    assert store.incumbent(Home(tmp_path / "home")) is None
    again = micro.night(tmp_path / "home", model, tmp_path / "talk", *gentle)
    assert again["outcome"] == "nothing_to_do"
    assert "no effect" in again["reason"]
    assert micro.night(tmp_path / "home", model, tmp_path / "talk")["outcome"] == "promoted"


def test_a_poisoned_night_is_rejected_and_keeps_the_incumbent(home, model):
    before = Home(home).current.read_bytes()
    poison = [(prompt, "and so " * 20) for prompt, _ in MORE]
    micro.write_talk(home.parent / "talk", poison, number=2)
    record = micro.night(home, model, home.parent / "talk", "quality.enabled=false", "salience.keep=0", "gate.loops=0.05",
                         "train.learning_rate=2e-2", "train.epochs=20", "gate.max_new_tokens=24")
    assert (record["outcome"], record["exit_code"]) == ("rejected", 11)
    assert any("loop" in veto for veto in record["gate"]["vetoes"])
    assert Home(home).current.read_bytes() == before


def test_what_spoiled_two_nights_is_set_aside_and_the_third_goes_well(home, model):
    from edge_sleep.data.buffer import Buffer

    without_gate = ("quality.enabled=false", "salience.keep=0", "gate.loops=0.05", "train.learning_rate=2e-2",
                    "train.epochs=20", "gate.max_new_tokens=24")
    poison = [(prompt, "and so " * 20) for prompt, _ in MORE]
    micro.write_talk(home.parent / "talk", poison, number=2)
    assert micro.night(home, model, home.parent / "talk", *without_gate)["outcome"] == "rejected"
    micro.write_talk(home.parent / "talk", [("And tomorrow?", "and so " * 21)], number=3)
    assert micro.night(home, model, home.parent / "talk", *without_gate)["outcome"] == "rejected"
    with Buffer(Home(home).experiences) as buffer:
        aside = [item for item in buffer.items(status="quarantined") if item.reason == "rejected_twice"]
    assert len(aside) == 4, "the first four; the fifth spoiled one night only"
    micro.write_talk(home.parent / "talk", MORE, number=4)
    assert micro.night(home, model, home.parent / "talk", force=True)["outcome"] == "promoted"


def test_the_data_gate_keeps_the_poison_out(home, model):
    micro.write_talk(home.parent / "talk", [(prompt, "and so " * 20) for prompt, _ in MORE], number=2)
    record = micro.night(home, model, home.parent / "talk")
    assert record["outcome"] == "nothing_to_do"
    assert sum(record["data"]["quarantined"].values()) == 4


def test_a_conversation_takes_the_device_and_the_night_goes_on_later(first_night, model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    taken = []

    def begin_a_conversation(event):
        if event["event"] == "step" and event["step"] == 3 and not taken:
            taken.append(hold(Home(tmp_path / "home").session_lock, "a conversation"))
            taken[0].__enter__()

    record = micro.night(tmp_path / "home", model, tmp_path / "talk", listener=begin_a_conversation)
    assert (record["outcome"], record["exit_code"]) == ("preempted", 14)
    assert record["train"]["steps"] == 3
    taken[0].__exit__(None, None, None)
    resumed = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert (resumed["outcome"], resumed["night"]) == ("promoted", record["night"])
    assert resumed["candidate"] == first_night[1]["candidate"], "the same weights as a night that was never disturbed"


def test_a_device_without_bfloat16_learns_in_float16_with_a_scaled_loss(first_night, model, tmp_path, monkeypatch):
    from edge_sleep.device import detect

    monkeypatch.setattr(detect, "choose", lambda asked="auto", cpuinfo=None: detect.Device("cpu", "cpu", "float16", "as on a card without bfloat16"))
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert record["outcome"] == "promoted" and record["train"]["loss_scale"] >= 1024
    assert record["train"]["loss_last"] == pytest.approx(first_night[1]["train"]["loss_last"], rel=0.02)
    assert first_night[1]["train"]["loss_scale"] is None


def test_patience_watches_held_out_conversations_and_says_where_there_are_none(model, tmp_path):
    said = []
    for number in range(1, 13):
        micro.write_talk(tmp_path / "talk", [(f"{prompt} ({number})", answer) for prompt, answer in micro.TALK], number)
    watched = ("train.patience=1", "data.held_out=0.3", "train.epochs=8", "train.learning_rate=2e-2")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", *watched, listener=said.append)
    losses = record["train"]["held_out"]
    assert len(losses) == 1 + record["train"]["epochs"] and losses[1] < losses[0]
    assert [event["loss"] for event in said if event["event"] == "held_out"] == losses
    micro.write_talk(tmp_path / "few")
    record = micro.night(tmp_path / "other", model, tmp_path / "few", *watched, listener=said.append)
    assert record["train"]["held_out"] is None
    assert "train.patience watches none" in [event for event in said if event["event"] == "objective"][-1]["reason"]


def test_a_budget_shorter_than_loading_says_so_and_stays_resumable(first_night, model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", "budget.time=0.05s")
    assert (record["outcome"], record["exit_code"]) == ("stopped_time", 12)
    assert "longer --budget" in record["reason"]
    resumed = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert resumed["candidate"] == first_night[1]["candidate"]


@pytest.mark.parametrize("change", ["base", "settings"])
def test_an_interrupted_night_is_not_resumed_on_other_ground(change, model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    stopped = micro.night(tmp_path / "home", model, tmp_path / "talk", "budget.time=0.05s")
    if change == "base":
        other = micro.make_model(tmp_path / "other", seed=1)
        with pytest.raises(UsageError, match="a new base is a new home"):
            micro.night(tmp_path / "home", other, tmp_path / "talk")
        return
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", "lora.rank=2")
    assert record["outcome"] == "promoted"
    events = read_events(Home(tmp_path / "home").night(stopped["night"]) / "events.jsonl")
    assert any(event["event"] == "resume" and event["state"] == "discarded" for event in events)


# ---- bad input: one clear error each, nothing lost ---------------------------------------------------

def test_no_transcripts(model, tmp_path):
    (tmp_path / "empty").mkdir()
    record = micro.night(tmp_path / "home", model, tmp_path / "empty")
    assert record["outcome"] == "nothing_to_do"


def test_a_folder_of_rubbish(model, tmp_path):
    talk = tmp_path / "talk"
    micro.write_talk(talk)
    (talk / "cut.json").write_text('{"conversation": [{"speaker": "Cla')
    (talk / "bytes.json").write_bytes(bytes(range(256)))
    (talk / "numbers.json").write_text("[1, 2, 3]")
    (talk / "empty.json").write_text("")
    (talk / "deep.json").write_text("[" * 100_000)
    record = micro.night(tmp_path / "home", model, talk)
    assert record["outcome"] == "promoted"
    assert sum(record["data"]["refused"].values()) == 5


def test_a_model_folder_without_weights(model, tmp_path):
    hollow = tmp_path / "hollow"
    shutil.copytree(model, hollow)
    (hollow / "model.safetensors").unlink()
    micro.write_talk(tmp_path / "talk")
    with pytest.raises(ModelError, match=r"lacks \*\.safetensors"):
        micro.night(tmp_path / "home", hollow, tmp_path / "talk")


def test_a_model_that_does_not_fit_is_refused_before_loading(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    record = micro.night(tmp_path / "home", model, tmp_path / "talk", "budget.memory_bytes=1000000")
    assert (record["outcome"], record["exit_code"]) == ("does_not_fit", 20)
    assert "MiB" in record["reason"]


def test_no_example_fits(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    with pytest.raises(DoesNotFit, match="fits into 16 tokens"):
        micro.night(tmp_path / "home", model, tmp_path / "talk", "data.max_tokens=16")
    assert micro.night(tmp_path / "home", model, tmp_path / "talk")["outcome"] == "promoted"


def test_a_base_that_changed_is_an_integrity_failure(model, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(model, copy)
    micro.write_talk(tmp_path / "talk")
    micro.night(tmp_path / "home", copy, tmp_path / "talk")
    _flip(copy / "model.safetensors")
    with pytest.raises(IntegrityError, match="changed since this home began: model.safetensors"):
        micro.night(tmp_path / "home", copy, tmp_path / "talk")


def test_a_corrupted_incumbent_is_named_and_nothing_is_trained(home, model):
    broken = store.incumbent(Home(home))
    _flip(Home(home).adapter(broken) / "adapter_model.safetensors")
    micro.write_talk(home.parent / "talk", MORE, number=2)
    with pytest.raises(IntegrityError, match="a byte changed") as caught:
        micro.night(home, model, home.parent / "talk")
    assert caught.value.exit_code == 30
    assert "rollback base" in caught.value.do
    newest = max(Home(home).nights.iterdir())
    assert json.loads((newest / "record.json").read_text())["outcome"] == "integrity"
    store.rollback(Home(home), "base", _clock())
    assert micro.night(home, model, home.parent / "talk")["outcome"] == "promoted"


def _clock():
    from edge_sleep.system.clock import Clock
    return Clock()


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    file.write_bytes(content)


def test_two_nights_at_once(home, model):
    with hold(Home(home).night_lock, "a night"), pytest.raises(Busy, match="a night"):
        micro.night(home, model, home.parent / "talk")


@pytest.mark.parametrize("options", ["ro", *(f"size={size}k" for size in (44, 92, 140, 188, 212, 260))])
def test_a_home_that_cannot_be_written(options, model, tmp_path):
    """A read-only file system, and one that fills up on the way: real mounts."""
    from edge_sleep.errors import StorageError

    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(mount)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs (root)")
    try:
        micro.write_talk(tmp_path / "talk")
        with pytest.raises(StorageError) as caught:
            micro.night(mount / "home", model, tmp_path / "talk")
        assert caught.value.exit_code == 21
        assert caught.value.do
        if options != "ro":
            subprocess.run(["mount", "-o", "remount,size=50m", str(mount)], check=True)
            assert micro.night(mount / "home", model, tmp_path / "talk")["outcome"] == "promoted"
    finally:
        subprocess.run(["umount", str(mount)], check=True)


# ---- real kills ---------------------------------------------------------------------------------------

def _process(home: Path, model: Path, talk: Path, *sets: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "edge_sleep", "night", "--home", str(home), "--model", str(model), "--json",
               "--sessions", str(talk)]
    for item in (*micro.SETS, "train.epochs=30", "train.state_every=0s", *sets):
        command += ["--set", item]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _steps(home: Path) -> int:
    """The furthest step: one that is done again counts once, so that no two kills hit the same (which would halve the batch)."""
    nights = sorted(Home(home).nights.glob("*")) if Home(home).nights.is_dir() else []
    steps = [event["step"] for event in read_events(nights[-1] / "events.jsonl") if event["event"] == "step"] if nights else []
    return max(steps, default=0)


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.long)])
def test_killed_at_random_points_the_weights_are_those_of_an_uninterrupted_night(kills, model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    whole = _process(tmp_path / "whole", model, tmp_path / "talk")
    out, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    reference = json.loads(out.splitlines()[-1])

    chance = random.Random(17)
    total = reference["train"]["steps"]
    seen = 0
    for point in sorted(chance.sample(range(2, total - 1), kills)):
        process = _process(tmp_path / "cut", model, tmp_path / "talk")
        while _steps(tmp_path / "cut") - seen < max(1, point - seen) and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.communicate()
        seen = _steps(tmp_path / "cut")
    last = _process(tmp_path / "cut", model, tmp_path / "talk")
    out, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    record = json.loads(out.splitlines()[-1])
    assert record["candidate"] == reference["candidate"], "the id is the sha256 of the weights"
    assert record["train"]["steps"] == total


def test_cut_between_promotion_and_record_the_next_start_finishes_the_same_night(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    script = ("import os, sys; from pathlib import Path; from edge_sleep.data.buffer import Buffer; from tests import micro\n"
              "Buffer.mark_trained = lambda *_: os._exit(9)\n"
              "micro.night(*map(Path, sys.argv[1:4]))")
    cut = subprocess.run([sys.executable, "-c", script, str(tmp_path / "home"), str(model), str(tmp_path / "talk")],
                         capture_output=True, text=True)
    assert cut.returncode == 9, cut.stderr
    promoted = store.incumbent(Home(tmp_path / "home"))
    record = micro.night(tmp_path / "home", model, tmp_path / "talk")
    assert (record["outcome"], record["candidate"], record["parent"]) == ("promoted", promoted, None)
    assert len(list(Home(tmp_path / "home").nights.iterdir())) == 1
    assert micro.night(tmp_path / "home", model, tmp_path / "talk")["outcome"] == "nothing_to_do"


def test_sigterm_saves_and_exits_with_its_number(model, tmp_path):
    micro.write_talk(tmp_path / "talk")
    process = _process(tmp_path / "home", model, tmp_path / "talk")
    while _steps(tmp_path / "home") < 2 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert json.loads(out.splitlines()[-1])["outcome"] == "preempted"
