"""`edge-sleep worker`: what it says of itself, and what it refuses before it takes anything."""
from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from edge_sleep.cli.main import run
from edge_sleep.errors import Exit
from edge_sleep.thor import ledger
from tests.thor.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    return Fleet(tmp_path / "fleet", model)


def worker(fleet: Fleet, *options: str, sets: tuple[str, ...] = ()) -> int:
    given = [part for one in (f"thor.mailbox=folder:{fleet.mailbox}", *sets) for part in ("--set", one)]
    return run(["worker", "--home", str(fleet.homes["thor"].root), *options, *given])


def test_status_says_queue_throughput_failures_and_each_companion_s_history(fleet: Fleet, capsys: pytest.CaptureFixture) -> None:
    fleet.send("anna", 2)
    fleet.send("ben")
    home, now = fleet.homes["thor"], fleet.clock.stamp()
    done, failed = fleet.sent["anna"][0], "f" * 32
    ledger.write(home, ledger.blank("worker", done, ledger.DELIVERED) | {
        "home": fleet.keys["anna"].own.id, "taken": now, "ended": now, "worked_seconds": 12.0, "attempts": 1})
    ledger.write(home, ledger.blank("worker", failed, ledger.DECLINED) | {
        "home": fleet.keys["ben"].own.id, "taken": now, "ended": now, "reason": "too slow", "attempts": 1})
    assert worker(fleet, "--status", "--json") == Exit.OK
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["engine"], found["worker"], found["cluster"], found["mailbox_problem"]) == ("local", None, None, None)
    assert [one["home"] for one in found["queue"]["next"]] == [fleet.keys["ben"].own.id, fleet.keys["anna"].own.id]
    assert (found["throughput"]["last_hour"], found["failures"]["count"]) == (1, 1)
    assert {one["name"]: (one["waiting"], one["delivered"], one["failed"]) for one in found["companions"]} == {
        "anna": (1, 1, 0), "ben": (1, 0, 1)}
    assert worker(fleet, "--status") == Exit.OK
    text = capsys.readouterr().out
    assert "2 job(s) of 2 companion(s) wait" in text and "anna: 1 waiting" in text and "too slow" in text
    assert not any(name.startswith("lease") for name in fleet.names(fleet.sent["ben"][0]))


def test_status_of_a_cluster_that_does_not_answer_and_a_mailbox_that_is_away(fleet: Fleet, capsys: pytest.CaptureFixture) -> None:
    fleet.mailbox.rmdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert worker(fleet, "--engine", "ray", "--status", "--json", sets=(f"thor.ray_address={address}",)) == Exit.OK
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["cluster"]["problem"].startswith(f"no Ray cluster answers at {address}") and "is not there" in found["mailbox_problem"]
    assert worker(fleet, "--engine", "ray", "--status", sets=(f"thor.ray_address={address}",)) == Exit.OK
    text = capsys.readouterr().out
    assert f"no Ray cluster answers at {address}" in text and "what waits is not known" in text
    sets = (f"thor.ray_address={address}", "thor.bases=[seedling]")
    assert worker(fleet, "--engine", "ray", "--once", sets=sets) == Exit.DEVICE
    assert "ray start --head" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["thor.ray_address=head", "thor.ray_address=a b:1", "thor.gpus=2", "thor.gpus=some", "thor.metrics=here",
                                 "thor.engine=slurm", "thor.node_bytes=-1"])
def test_settings_that_name_nothing_are_refused(fleet: Fleet, key: str, capsys: pytest.CaptureFixture) -> None:
    assert worker(fleet, "--status", sets=(key,)) == Exit.USAGE
    assert key.partition("=")[0] in capsys.readouterr().err
