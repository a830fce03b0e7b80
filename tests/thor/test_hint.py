"""When a companion's morning begins: said to its workers, and to nobody else."""
from __future__ import annotations

from datetime import datetime, time, timezone
from pathlib import Path

import pytest

from edge_sleep.config import Schedule
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import Clock
from edge_sleep.thor import hint
from edge_sleep.thor.mailbox import Mailbox

JOB = "0123456789abcdef" * 2
MORNING = datetime(2026, 3, 29, 6, tzinfo=timezone.utc)


@pytest.mark.parametrize("now, zone, wanted", [
    ("2026-01-18T01:00:00+00:00", "UTC", "2026-01-18T06:00:00+00:00"),
    ("2026-01-18T06:00:00+00:00", "UTC", "2026-01-19T06:00:00+00:00"),
    ("2026-01-18T23:30:00+00:00", "Asia/Tokyo", "2026-01-20T06:00:00+09:00"),
    ("2026-03-28T23:30:00+00:00", "Europe/Berlin", "2026-03-29T06:00:00+02:00")])
def test_the_next_morning_of_a_zone(now: str, zone: str, wanted: str) -> None:
    found = hint.next_morning(Schedule(timezone=zone, dawn=time(6)), datetime.fromisoformat(now))
    assert found.isoformat() == wanted


@pytest.fixture
def boxes(tmp_path: Path) -> dict[str, Mailbox]:
    (tmp_path / "mailbox").mkdir()
    keys = {name: Keys.open(tmp_path / name / "keys", name) for name in ("edge", "thor", "second")}
    for name, own in keys.items():
        for other in keys.values():
            if other is not keys[name]:
                own.add(other.own)
    return {name: Mailbox(FolderRemote(tmp_path / "mailbox"), own, Clock()) for name, own in keys.items()}


def test_its_workers_read_it_and_the_mailbox_does_not(boxes: dict[str, Mailbox], tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(b"sealed")
    workers = [boxes["thor"].keys.own, boxes["second"].keys.own]
    boxes["edge"].offer(JOB, tmp_path / "sealed", workers, tmp_path / "note", MORNING)
    assert boxes["thor"].waiting(JOB).morning == boxes["second"].waiting(JOB).morning == MORNING
    assert b"2026-03-29T06" not in (tmp_path / "mailbox" / "jobs" / JOB / "open.json").read_bytes()


def test_a_home_that_says_none_and_one_of_an_earlier_version(boxes: dict[str, Mailbox], tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(b"sealed")
    boxes["edge"].offer(JOB, tmp_path / "sealed", [boxes["thor"].keys.own], tmp_path / "note")
    assert boxes["thor"].waiting(JOB).morning is None


def boxed(content: bytes, keys: Keys) -> dict[str, str]:
    from edge_sleep.seal.machine import sodium

    return {"box_key": keys.own.box_key, "box": sodium().crypto_box_seal(content, bytes.fromhex(keys.own.box_key)).hex()}


@pytest.mark.parametrize("content", [b"", b"no json", b"[]", b"{}", b'{"morning": 6}', b'{"morning": "soon"}',
                                     b'{"morning": "2026-01-18T06:00:00"}', b'{"morning": "' + b"2" * 2000 + b'"}'])
def test_what_is_no_hint_is_none(boxes: dict[str, Mailbox], content: bytes) -> None:
    keys = boxes["thor"].keys
    good = hint.sealed(MORNING, [keys.own])
    assert hint.opened(good, keys) == MORNING
    assert hint.opened([boxed(content, keys)], keys) is None
    for said in (None, 5, "x", [None], [{}], [{"box_key": keys.own.box_key, "box": "zz"}], [{"box_key": keys.own.box_key, "box": "00"}],
                 hint.sealed(MORNING, [boxes["second"].keys.own])):
        assert hint.opened(said, keys) is None
