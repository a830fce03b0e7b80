"""A worker's job that several processes share: sent, trained by two, delivered, believed at home."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.system.events import read_events
from edge_sleep.thor import ledger
from tests import micro
from tests.thor.fleet import Fleet
from tests.thor.machines import tensors


@pytest.mark.long
def test_two_processes_do_a_worker_s_job(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet", micro.make_model(tmp_path / "model"), workers=("two", "one"))
    fleet.send("home", jobs=1)
    (asked,) = fleet.sent["home"]
    assert fleet.worker("two", "thor.processes=2").run(once=True) == 1
    record = fleet.records("two")[asked]
    assert (record["state"], record["train"]["processes"]) == (ledger.DELIVERED, 2)
    told = read_events(fleet.homes["two"].jobs / asked / "events.jsonl")
    (plan,) = (event for event in told if event["event"] == "plan")
    assert {"name": "processes", "value": 2, "reason": "as configured (thor.processes)"} in plan["choices"]
    (held,) = (event for event in told if event["event"] == "processes")
    assert len(held["rss_peak_bytes"]) == 2
    assert fleet.believed("home", asked) == record["candidate"]
    # The same lesson once more, by one process on the other worker.
    fleet.send("again", jobs=1)
    assert fleet.worker("one").run(once=True) == 1
    alone = fleet.records("one")[fleet.sent["again"][0]]
    assert alone["train"]["processes"] == 1 and alone["train"]["loss_last"] == pytest.approx(record["train"]["loss_last"], rel=1e-4)
    assert fleet.believed("again", fleet.sent["again"][0]) == alone["candidate"]
    two, one = (tensors(fleet.root / home / "came" / fleet.sent[home][0] / "content" / "candidate") for home in ("home", "again"))
    assert max(float((two[name] - one[name]).abs().max()) for name in one) < 1e-5
