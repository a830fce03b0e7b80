"""What a home knows of its jobs, and what is left of them once words are forgotten."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.system.home import Home
from edge_sleep.thor import ledger

JOBS = [digit * 32 for digit in "abcdef"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path).make()


def known(home: Home, job: str, state: str, night: str, packed: str, shipped: str | None = None) -> None:
    ledger.write(home, ledger.blank("edge", job, state) | {"night": night, "packed": packed, "shipped": shipped})
    (home.jobs / job / "bundle.sealed").write_bytes(b"sealed words")
    (home.jobs / job / "refused").mkdir()
    (home.jobs / job / "refused" / "result.sealed").write_bytes(b"sealed words")


def test_a_night_finds_the_newest_of_its_jobs(home: Home) -> None:
    assert ledger.away(home, "n1") is None and ledger.read(home, JOBS[0]) is None
    known(home, JOBS[1], ledger.REFUSED, "n1", "2026-01-17T01")
    known(home, JOBS[0], ledger.SENT, "n1", "2026-01-17T02")
    known(home, JOBS[2], ledger.PACKED, "n2", "2026-01-17T03")
    ledger.write(home, ledger.blank("worker", JOBS[3], ledger.WORKING) | {"night": "n1"})
    assert [one["job"] for one in ledger.of_night(home, "n1")] == [JOBS[1], JOBS[0]]
    away = ledger.away(home, "n1")
    assert away is not None and away["job"] == JOBS[0] and ledger.returned(home, "n1") is None
    known_returned = ledger.read(home, JOBS[0])
    assert known_returned is not None
    ledger.write(home, known_returned | {"state": ledger.RETURNED})
    found = ledger.returned(home, "n1")
    assert ledger.away(home, "n1") is None and found is not None and found["job"] == JOBS[0]


def test_forgetting_takes_back_what_lost_its_words_and_leaves_no_sealed_one(home: Home) -> None:
    known(home, JOBS[0], ledger.SENT, "kept", "1", "1")
    (home.night("kept") / "state").mkdir(parents=True)
    (home.night("kept") / "state" / "plan.json").write_text("{}")
    known(home, JOBS[1], ledger.SENT, "cleared", "1", "1")
    known(home, JOBS[2], ledger.PACKED, "cleared", "1")
    known(home, JOBS[3], ledger.REFUSED, "old", "1", "1")
    assert ledger.forget(home) == [JOBS[1], JOBS[3]]
    states = {job: (one["state"], one["to_say"]) for job in JOBS[:4] if (one := ledger.read(home, job))}
    assert states == {JOBS[0]: (ledger.SENT, None), JOBS[1]: (ledger.CANCELLED, "cancel"), JOBS[2]: (ledger.CANCELLED, None),
                      JOBS[3]: (ledger.REFUSED, None)}
    assert (home.jobs / JOBS[0] / "bundle.sealed").is_file()
    assert all([file.name for file in (home.jobs / job).iterdir()] == ["record.json"] for job in JOBS[1:4])
