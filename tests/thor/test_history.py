"""What `worker --status` says, from records as a worker leaves them."""
from __future__ import annotations

from datetime import datetime, timedelta, timezone

from edge_sleep.thor import history, ledger
from edge_sleep.thor.queue import Turn

NOW = datetime(2026, 1, 18, 12, tzinfo=timezone.utc)


def record(job: str, home: str, state: str, hours_ago: float = 0.5, **more) -> dict:
    return ledger.blank("worker", job, state) | {"home": home, "attempts": 1, "taken": (NOW - timedelta(hours=hours_ago + 0.1)).isoformat(),
                                                 "ended": (NOW - timedelta(hours=hours_ago)).isoformat(), **more}


RECORDS = [record("1", "anna", ledger.DELIVERED, worked_seconds=40.0), record("2", "anna", ledger.DELIVERED, 3, worked_seconds=20.0),
           record("3", "ben", ledger.DELIVERED, 30, worked_seconds=60.0, attempts=3),
           record("4", "ben", ledger.DECLINED, 1, reason="too slow"), record("5", "carl", ledger.WORKING, ended=None)]
TURNS = [Turn("6", "anna", 2, 3600.0), Turn("7", "anna", 3, None)]


def test_queue_throughput_failures_and_companions() -> None:
    found = history.summary(RECORDS, TURNS, {"anna": "Heron"}, NOW)
    assert found["queue"] | {"next": len(found["queue"]["next"])} == {"waiting": 2, "working": 1, "companions": 1, "next": 2}
    assert found["throughput"] == {"last_hour": 1, "last_day": 2, "delivered": 3, "job_seconds_p50": 40.0, "worked_seconds": 120.0}
    assert found["failures"]["count"] == 1 and found["failures"]["tries"] == 1
    assert found["failures"]["latest"][0]["reason"] == "too slow"
    by = {one["home"]: one for one in found["companions"]}
    assert (by["anna"]["name"], by["anna"]["waiting"], by["anna"]["delivered"], by["anna"]["worked_seconds"]) == ("Heron", 2, 2, 60.0)
    assert (by["ben"]["delivered"], by["ben"]["failed"], by["carl"]["working"]) == (1, 1, 1)
    assert found["companions"][0]["home"] == "anna"


def test_it_is_told_to_people() -> None:
    found = history.summary(RECORDS, TURNS, {"anna": "Heron"}, NOW)
    text = history.told(found | {"cluster": {"problem": "no Ray cluster answers at somewhere:1", "nodes": []}})
    assert "2 job(s) of 1 companion(s) wait, 1 at work" in text and "Heron: 2 waiting" in text and "too slow" in text
    assert "no Ray cluster answers" in text


def test_records_of_before_and_an_empty_home() -> None:
    empty = history.summary([], [], {}, NOW)
    assert empty["throughput"]["job_seconds_p50"] is None and empty["companions"] == []
    old = {key: value for key, value in record("1", "anna", ledger.DELIVERED).items() if key not in ("ended", "worked_seconds")}
    assert history.summary([old], [], {}, NOW)["throughput"]["delivered"] == 1
