"""The command: what it says, how it exits; what a night and a watcher do by themselves."""
from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_sleep import config
from edge_sleep.checkpoint import store
from edge_sleep.cli.main import run
from edge_sleep.schedule.courier import Courier
from edge_sleep.stages import send
from edge_sleep.sync import backoff, outbox, received
from edge_sleep.system.clock import Clock
from tests.sync.homes import Machine, files


def command(capsys: pytest.CaptureFixture, one: Machine, *words: str, remote: Path | None = None) -> tuple[int, dict]:
    code = run(["sync", words[0], *words[1:], "--home", str(one.home.root), "--json", "--set",
                f"sync.remote=folder:{remote or one.remote}", "--set", f"companion.model={one.base.place.folder}"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_push_status_pull_prune(two, capsys) -> None:
    identity = two.orin.night(1)
    outbox.queue_current(two.orin.home, two.clock)
    _, told = command(capsys, two.orin, "status")
    assert told["sends"] and [item["kind"] for item in told["waiting"]] == ["adapter", "marks"] and told["waiting"][0]["bytes"] > 500
    code, told = command(capsys, two.orin, "push")
    assert code == 0 and told["waiting"] == 0 and told["sealed_for"] == ["thor"] and told["sent"][0]["id"] == identity
    _, told = command(capsys, two.orin, "status")
    assert told["waiting"] == [] and [of["id"] for of in told["published"]["parcels"] if of["kind"] == "adapter"] == [identity]
    code, told = command(capsys, two.thor, "pull")
    assert code == 0 and [item["id"] for item in told["fetched"]] == [identity] and told["current"] is None
    _, told = command(capsys, two.thor, "status")
    assert told["received"][0]["name"] == "orin" and told["machines"][0]["latest"] == identity
    code, told = command(capsys, two.orin, "prune")
    assert code == 0 and not told["done"] and all(item["kept"] for item in told["items"])
    for words in (["status"], ["push"], ["pull"], ["prune"]):  # and in words
        assert run(["sync", *words, "--home", str(two.orin.home.root), "--set", f"sync.remote=folder:{two.remote}", "--set",
                    f"companion.model={two.orin.base.place.folder}"]) == 0
        assert capsys.readouterr().out.strip()


def test_forty_keeps_the_outbox_and_says_so(two, tmp_path, capsys) -> None:
    two.orin.night(1)
    code, told = command(capsys, two.orin, "push", remote=tmp_path / "unplugged")
    assert code == 40 and "2 parcels wait in the outbox, tried again" in told["error"]["message"]
    _, told = command(capsys, two.orin, "status", remote=tmp_path / "unplugged")
    assert run(["status", "--home", str(two.orin.home.root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["outbox"]["waiting"] == 2
    assert told["backoff"]["attempts"] == 1 and "is not there" in told["waiting"][0]["why"]
    assert command(capsys, two.orin, "push")[0] == 0           # a person need not wait


def test_forty_one_where_something_is_not_to_be_trusted(two, capsys) -> None:
    two.orin.night(1)
    two.orin.push()
    for blob in (two.remote / "blobs").iterdir():
        blob.write_bytes(bytes(len(blob.read_bytes())))
    code, told = command(capsys, two.thor, "pull")
    assert code == 41 and told["refused"] and list(two.thor.home.adapters.iterdir()) == []


def test_nothing_leaves_without_a_remote(two, capsys) -> None:
    two.orin.night(1)
    for what in ("push", "pull", "prune", "login"):
        assert run(["sync", what, "--home", str(two.orin.home.root), "--set", f"companion.model={two.orin.base.place.folder}"]) == 2
        assert "sync.remote is empty" in capsys.readouterr().err
    assert files(two.remote) == {}


def test_use_proves_before_it_makes_current(two, capsys, monkeypatch) -> None:
    from edge_sleep.serve import proof
    first, second = two.orin.night(1), two.orin.night(2)
    two.orin.push()
    asked = []

    def of_adapter(home, settings, adapter_id):
        asked.append(adapter_id)
        return {"differs_from_base": 0.25, "problems": [] if adapter_id == first else ["it changes nothing"]}

    monkeypatch.setattr(proof, "of_adapter", of_adapter)
    code, told = command(capsys, two.thor, "pull", "--use", second[:8])
    assert code == 41 and "changes nothing" in told["error"]["message"] and store.incumbent(two.thor.home) is None
    code, told = command(capsys, two.thor, "pull", "--use", first[:8])
    assert code == 0 and asked == [second, first] and store.incumbent(two.thor.home) == first
    used = json.loads((two.thor.home.received / "used.json").read_text())
    assert len(used) == 1 and "made on machine orin" in used[0]["reason"] and "0.2500" in used[0]["reason"]
    assert run(["rollback", second, "--home", str(two.thor.home.root)]) == 0 and store.incumbent(two.thor.home) == second
    used = json.loads((two.thor.home.received / "used.json").read_text())
    assert (used[1]["adapter"], used[1]["before"]) == (second, first) and "unproven here" in used[1]["reason"]


def test_import_writes_the_section(two, tmp_path, capsys) -> None:
    file = tmp_path / "sync_config.json"
    file.write_text(json.dumps({"machines": {"jetson": {"role": "training", "auto_download": True}}, "sync_paths": {
        "raising_checkpoints": {"dropbox": "/HRM/raising_checkpoints", "patterns": ["*.pt"]}}}))
    two.orin.home.config.write_text("budget:\n  time: 45m   # as we like it\n")
    code = run(["sync", "import", str(file), "--machine", "jetson", "--home", str(two.orin.home.root)])
    said = capsys.readouterr().out
    assert code == 0 and "never read" in said and "sync.role: training" in said
    assert "# as we like it" in two.orin.home.config.read_text()
    found = config.load(two.orin.home.config).sync
    assert (found.remote, found.role, found.auto_upload, found.auto_download) == ("dropbox:/HRM/raising_checkpoints", "training",
                                                                               False, True)
    assert run(["sync", "import", str(file), "--machine", "legion", "--home", str(two.orin.home.root)]) == 2


def a_night(one: Machine, *sets: str) -> SimpleNamespace:
    """As much of a night as its last stage looks at."""
    told: list = []
    return SimpleNamespace(home=one.home, config=config.load(None, sets), clock=Clock(), record={}, told=told,
                           signals=SimpleNamespace(received=None), events=lambda event, **facts: told.append((event, facts)))


@pytest.mark.parametrize("sets, sends", [([], False), (["sync.remote=folder:/x"], True),
                                         (["sync.remote=folder:/x", "sync.role=development"], False),
                                         (["sync.remote=folder:/x", "sync.auto_upload=false"], False)])
def test_only_what_was_switched_on_is_sent(two, sets: list[str], sends: bool) -> None:
    assert send.wanted(a_night(two.orin, *sets)) is sends


def test_a_night_sends_and_never_fails_for_a_network(two, tmp_path) -> None:
    two.orin.night(1)
    night = a_night(two.orin, f"sync.remote=folder:{tmp_path / 'unplugged'}")
    assert send.send(night) == "waits"
    assert "is not there" in night.record["sync"]["problem"] and night.record["sync"]["waiting"] == 2
    assert send.send(night) == "waits" and "not tried" in night.record["sync"]["problem"]      # it waits as long as was noted
    backoff.clear(outbox.backoff_file(two.orin.home))
    night = a_night(two.orin, f"sync.remote=folder:{two.remote}")
    night.signals.received = 15
    assert send.send(night) == "waits" and "signal 15" in night.record["sync"]["problem"]
    night.signals.received = None
    assert send.send(night) == "sent" and night.record["sync"] == {"queued": [], "waiting": 0, "problem": None}
    assert len(two.thor.pull().fetched) == 1
    shutil.rmtree(two.orin.home.outbox)
    two.orin.home.outbox.write_text("a file where a folder should be")
    assert send.send(night) == "waits" and night.record["sync"]["problem"]


def test_a_network_that_hangs_is_left_and_gone_on_with(two, monkeypatch) -> None:
    two.orin.night(1)
    monkeypatch.setattr(send, "_SECONDS", 0.2)
    assert send.send(night := a_night(two.orin, f"sync.remote=folder:{two.remote}", "sync.bandwidth_bytes=1024")) == "waits"
    assert "broken off" in night.record["sync"]["problem"] and night.record["sync"]["waiting"] == 2
    two.orin.push()
    assert len(files(two.remote / "blobs")) == 4 and len(two.thor.pull().fetched) == 1


def test_a_unit_may_write_to_the_folder_and_has_a_network_for_dropbox(two, capsys, tmp_path) -> None:
    for remote, wanted, unwanted in (("folder:/mnt/a stick", 'ReadWritePaths="-/mnt/a stick"', "AF_INET"),
                                     ("dropbox:/companion", "AF_INET", "PrivateNetwork")):
        assert run(["timer", "install", "--system", "--to", str(tmp_path), "--home", str(two.orin.home.root), "--set",
                    f"sync.remote={remote}", "--set", f"companion.model={two.orin.base.place.folder}"]) == 0
        text = "".join(file.read_text() for file in tmp_path.glob("*.service"))
        assert wanted in text and unwanted not in text
        for file in tmp_path.glob("*.service"):
            file.unlink()
    capsys.readouterr()


def test_the_watcher_sends_what_waits_and_looks_now_and_then(two) -> None:
    said: list[str] = []
    begun: list[str] = []

    def words(what: str) -> list[str]:
        begun.append(what)
        return [sys.executable, "-c", "raise SystemExit(0)"]

    courier = Courier(two.orin.home, words, said.append, os.environ, two.clock)
    on, off = config.load(None, [f"sync.remote=folder:{two.remote}"]), config.load(None)
    two.orin.night(1)
    outbox.queue_current(two.orin.home, two.clock)

    def looks(settings, times: int = 3) -> None:
        for _ in range(times):
            two.clock.advance(61)
            courier.look(settings)
            end = time.monotonic() + 60
            while courier.busy and time.monotonic() < end:
                courier.look(settings)
                time.sleep(0.01)

    looks(off)
    assert begun == []
    looks(on, 1)
    assert begun == ["push"] and said == ["sync push is done"]
    backoff.note(outbox.backoff_file(two.orin.home), outbox_error(), two.clock, "x")
    looks(on, 1)
    assert begun == ["push"]                                   # the remote failed; it is let be
    two.clock.advance(3600)
    for entry in outbox.waiting(two.orin.home):
        outbox.done(two.orin.home, entry)
    looks(on)
    assert begun == ["push", "pull"]                           # nothing waits: it looks, once in six hours
    received.looked(two.orin.home, two.clock)
    two.clock.advance(5 * 3600)
    looks(on)
    assert begun == ["push", "pull"]
    two.clock.advance(3600)
    looks(on, 1)
    assert begun == ["push", "pull", "pull"]
    courier.stop()


def test_what_hangs_is_ended_and_what_is_broken_is_let_be(two) -> None:
    said: list[str] = []
    codes = ["import time; time.sleep(600)", "raise SystemExit(2)", "raise SystemExit(0)"]
    courier = Courier(two.orin.home, lambda what: [sys.executable, "-c", codes.pop(0)], said.append, os.environ, two.clock)
    settings = config.load(None, [f"sync.remote=folder:{two.remote}"])
    two.orin.night(1)
    outbox.queue_current(two.orin.home, two.clock)
    two.clock.advance(61)
    courier.look(settings)
    assert courier.busy
    two.clock.advance(1201)
    courier.look(settings)
    assert not courier.busy and "goes on where it was" in said[-1]
    courier.look(settings)
    end = time.monotonic() + 60
    while courier.busy and time.monotonic() < end:
        courier.look(settings)
        time.sleep(0.01)
    assert "ended with 2" in said[-1]
    two.clock.advance(59)
    courier.look(settings)
    assert not courier.busy and len(codes) == 1                # a minute at first, then ever longer
    two.clock.advance(20)
    courier.look(settings)
    assert courier.busy
    courier.stop()


def outbox_error():
    from edge_sleep.remote.protocol import Unreachable
    return Unreachable("no network")


@pytest.mark.night
def test_a_whole_night_queues_and_sends_what_it_accepted(tmp_path) -> None:
    from tests import micro
    model, sessions = micro.make_model(tmp_path / "model"), tmp_path / "sessions"
    micro.write_talk(sessions)
    (tmp_path / "remote").mkdir()
    record = micro.night(tmp_path / "home", model, sessions, f"sync.remote=folder:{tmp_path / 'remote'}")
    assert record["outcome"] == "promoted" and record["phases"][-1] == record["phases"][-1] | {"name": "sync", "outcome": "sent"}
    assert record["sync"] == {"queued": [record["candidate"]], "waiting": 0, "problem": None}
    everything = b"".join(files(tmp_path / "remote").values())
    assert len(files(tmp_path / "remote" / "blobs")) == 4
    for words in micro.TALK:
        for text in words:
            assert text.encode() not in everything
