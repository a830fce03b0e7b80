"""Nights that are trained by another machine: through a folder, with real processes, on the micro-model."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.checkpoint import store
from edge_sleep.errors import Exit
from edge_sleep.thor import ledger
from tests.thor import machines

pytestmark = pytest.mark.night


@pytest.fixture
def place(tmp_path: Path) -> machines.Place:
    found = machines.make(tmp_path)
    found.pair("edge", "thor")
    return found


def test_refused_for_memory_here_trained_there_judged_and_promoted_here(place: machines.Place) -> None:
    shipped = place.night("edge")
    assert (shipped["outcome"], shipped["exit_code"]) == ("shipped", Exit.SHIPPED), shipped["reason"]
    assert shipped["plan"]["where"] == "remote" and "one example at a time needs" in shipped["reason"]
    assert place.worker("thor").wait(machines.PATIENCE) == 0, place.log("thor")

    record = place.night("edge")
    assert record["outcome"] == "promoted", record["reason"]
    assert record["night"] == shipped["night"] and record["plan"]["where"] == "remote"
    [edge], [thor] = place.jobs("edge", "edge"), place.jobs("worker", "thor")
    assert {key: edge[key] for key in ledger.SHARED} == {key: thor[key] for key in ledger.SHARED}
    assert None not in {edge[key] for key in ledger.SHARED if key not in ("parent", "resumed_from", "train", "data", "measured",
                                                                          "worker")}
    assert (edge["state"], thor["state"]) == (ledger.RETURNED, ledger.DELIVERED)
    assert record["remote"] == {key: edge[key] for key in record["remote"]} and record["remote"]["attempts"] == 1
    assert {"tensors", "finite", "moved", "id"} <= set(record["remote"]["verified"])
    assert record["candidate"] == thor["candidate"] == store.incumbent(place.home("edge"))
    assert all(record["train"][key] == value for key, value in thor["train"].items())

    # The same night with enough memory makes the same adapter, to the bit.
    alone = place.night("alone", "thor.ship=never", memory=0)
    assert alone["plan"]["where"] == "cpu" and alone["candidate"] == record["candidate"]

    names = set(place.files(edge["job"]))
    assert {"open.json", "lease-0001.json", "result.json", "taken.json"} <= names
    assert not list((place.home("edge").jobs / edge["job"]).glob("*.sealed"))
    words = b"".join(place.files(edge["job"]).values())
    assert b"Heron" not in words and b"edge_sleep sealed file" in words
