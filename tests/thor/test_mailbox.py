"""The mailbox on a folder: who may say what, and what is left where somebody else wrote there."""
from __future__ import annotations

from pathlib import Path

import pytest

from edge_sleep.errors import RemoteRefused
from edge_sleep.remote.folder import FolderRemote
from edge_sleep.seal.keys import Keys
from edge_sleep.system.clock import Clock
from edge_sleep.thor.lease import Seen
from edge_sleep.thor.mailbox import RESULT_LIMIT_BYTES, Answer, Mailbox, Offer

JOB, OTHER = "0123456789abcdef" * 2, "f" * 32


@pytest.fixture
def boxes(tmp_path: Path) -> dict[str, Mailbox]:
    """An edge, two workers that are paired with it and not with each other, and one whom nobody knows."""
    (tmp_path / "mailbox").mkdir()
    keys = {name: Keys.open(tmp_path / name, name) for name in ("edge", "one", "two", "stranger")}
    for name in ("one", "two"):
        keys["edge"].add(keys[name].own)
        keys[name].add(keys["edge"].own)
    return {name: Mailbox(FolderRemote(tmp_path / "mailbox"), own, Clock()) for name, own in keys.items()}


def offered(boxes: dict[str, Mailbox], tmp_path: Path, by: str = "edge", job: str = JOB) -> None:
    sealed = tmp_path / f"bundle-{by}"
    sealed.write_bytes(f"sealed by {by}".encode())
    boxes[by].offer(job, sealed, [boxes[name].keys.own for name in ("one", "two")], tmp_path / "note")


@pytest.fixture
def offer(boxes: dict[str, Mailbox], tmp_path: Path) -> Offer:
    offered(boxes, tmp_path)
    return boxes["one"].waiting(JOB)


def put(tmp_path: Path, name: str, content: bytes, job: str = JOB) -> None:
    (tmp_path / "mailbox" / "jobs" / job / name).write_bytes(content)


def content(tmp_path: Path, name: str, job: str = JOB) -> bytes:
    return (tmp_path / "mailbox" / "jobs" / job / name).read_bytes()


def delivered(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path, by: str = "one", what: str = "result") -> bool:
    sealed = tmp_path / f"sealed-{by}-{what}"
    sealed.write_bytes(f"{what} of {by}".encode())
    return boxes[by].deliver(offer, 1, sealed, tmp_path / f"note-{by}")


def test_a_job_is_offered_once_and_may_be_offered_again(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    offered(boxes, tmp_path)
    assert boxes["one"].jobs() == [JOB] and boxes["one"].jobs(frozenset([JOB])) == []
    assert offer.home.id == boxes["edge"].keys.own.id
    assert [one.id for one in offer.workers] == [boxes[name].keys.own.id for name in ("one", "two")]
    boxes["one"].fetch(JOB, offer.blob, offer.size_bytes, 100, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"sealed by edge"


def test_nobody_s_name_is_on_the_remote(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    assert boxes["one"].take(offer, 1)
    assert not any(f'"{name}"'.encode() in content(tmp_path, file) for name in boxes for file in ("open.json", "lease-0001.json"))


def test_the_job_of_a_stranger_is_refused(boxes: dict[str, Mailbox], tmp_path: Path) -> None:
    offered(boxes, tmp_path, by="stranger")
    with pytest.raises(RemoteRefused, match="unknown signer"):
        boxes["one"].waiting(JOB)
    with pytest.raises(RemoteRefused):                    # and its name is not the edge's to take
        offered(boxes, tmp_path)


def test_what_is_no_job_is_not_looked_at(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    for name in ("not-a-job", "0123", "A" * 32):
        (tmp_path / "mailbox" / "jobs" / name).mkdir()
        put(tmp_path, "open.json", b"{}", name)
    assert boxes["one"].jobs() == [JOB]
    with pytest.raises(RemoteRefused, match="not a job"):
        boxes["one"].waiting("../../etc")


def test_an_open_document_of_another_job_is_refused(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    (tmp_path / "mailbox" / "jobs" / OTHER).mkdir()
    put(tmp_path, "open.json", content(tmp_path, "open.json"), OTHER)
    with pytest.raises(RemoteRefused, match="another purpose"):
        boxes["one"].waiting(OTHER)


def test_leases_are_seen_by_workers_that_are_not_paired_with_each_other(boxes: dict[str, Mailbox], offer: Offer) -> None:
    one, two = boxes["one"], boxes["two"]
    me = one.keys.own.id
    assert two.seen(offer) == Seen()
    assert one.take(offer, 1) and not two.take(offer, 1)
    assert two.seen(offer) == Seen(None, 1, me, 0, False)
    one.beat(offer, 1, 1, step=3, steps=9)
    assert two.seen(offer) == Seen(None, 1, me, 1, False)
    progress = boxes["edge"].progress(offer)
    assert progress is not None and (progress.holder, progress.step, progress.steps) == (me, 3, 9)
    one.beat(offer, 1, 2, given_back=True)
    assert two.seen(offer) == Seen(None, 1, me, 2, True)
    assert two.take(offer, 2) and one.seen(offer).holder == two.keys.own.id


def test_a_lease_and_a_beat_that_nobody_signed(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    put(tmp_path, "lease-0001.json", b"mine")
    assert boxes["two"].seen(offer) == Seen(None, 1, None)
    assert boxes["stranger"].take(offer, 2) and boxes["two"].seen(offer) == Seen(None, 2, None)
    assert boxes["one"].take(offer, 3)
    boxes["one"].beat(offer, 3, 5)
    boxes["two"].beat(offer, 3, 9)                        # of another's lease
    assert boxes["two"].seen(offer) == Seen(None, 3, boxes["one"].keys.own.id, 0)
    put(tmp_path, "beat-0003.json", content(tmp_path, "lease-0003.json"))
    assert boxes["two"].seen(offer).beat == 0


@pytest.mark.parametrize("name", ["cancel", "taken"])
def test_only_the_edge_ends_a_job(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path, name: str) -> None:
    put(tmp_path, f"{name}.json", b"{}")
    assert boxes["one"].seen(offer) == Seen()
    (tmp_path / "mailbox" / "jobs" / JOB / f"{name}.json").unlink()
    for by in ("two", "edge"):
        boxes[by].cancel(JOB, "no") if name == "cancel" else boxes[by].taken(JOB)
        assert (boxes["one"].seen(offer).closed is not None) is (by == "edge")
        if by == "two":
            (tmp_path / "mailbox" / "jobs" / JOB / f"{name}.json").unlink()


def test_a_result_is_published_once(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    ids = [boxes[name].keys.own.id for name in ("one", "two")]
    assert boxes["edge"].answer(JOB, ids) is None
    assert delivered(boxes, offer, tmp_path) and not delivered(boxes, offer, tmp_path, "two")
    assert delivered(boxes, offer, tmp_path)              # the same, by a worker that was cut here
    assert not delivered(boxes, offer, tmp_path, what="another")
    answer = boxes["edge"].answer(JOB, ids)
    assert answer is not None and answer.worker.id == ids[0]
    boxes["edge"].fetch(JOB, answer.blob, answer.size_bytes, RESULT_LIMIT_BYTES, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"result of one"
    assert boxes["two"].seen(offer).closed is not None and boxes["two"].jobs() == []


def hostile(name: str, boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    if name == "garbage":
        put(tmp_path, "result.json", b"\x80\x04]q\x00.")
    elif name == "stranger":
        delivered(boxes, offer, tmp_path, "stranger")
    elif name == "not sent to":
        third = Keys.open(tmp_path / "third", "third")
        boxes["edge"].keys.add(third.own)
        boxes["third"] = Mailbox(boxes["edge"].remote, third, Clock())
        delivered(boxes, offer, tmp_path, "third")
    elif name == "replayed":
        offered(boxes, tmp_path, job=OTHER)
        delivered(boxes, boxes["one"].waiting(OTHER), tmp_path)
        put(tmp_path, "result.json", content(tmp_path, "result.json", OTHER))
    elif name == "altered":
        delivered(boxes, offer, tmp_path)
        put(tmp_path, "result.json", content(tmp_path, "result.json").replace(b'"lease":1', b'"lease":2'))
    else:
        boxes["one"]._publish(JOB, "result", {"result": "../../secret", "bytes": 7, "lease": 1})


@pytest.mark.parametrize("name, why", [
    ("garbage", "no signed document"), ("stranger", "unknown signer"), ("not sent to", "was not sent to"),
    ("replayed", "another purpose"), ("altered", "does not hold"), ("other", "says not what it is")])
def test_a_hostile_result_is_refused(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path, name: str, why: str) -> None:
    hostile(name, boxes, offer, tmp_path)
    with pytest.raises(RemoteRefused, match=why):
        boxes["edge"].answer(JOB, [boxes[name].keys.own.id for name in ("one", "two")])


def test_a_blob_of_another_size_or_too_large_is_not_fetched(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    answer = Answer(JOB, offer.blob, offer.size_bytes, offer.workers[0], 1)
    with pytest.raises(RemoteRefused, match="were signed"):
        boxes["edge"].fetch(JOB, answer.blob, answer.size_bytes + 1, 100, tmp_path / "got")
    with pytest.raises(RemoteRefused, match="at most"):
        boxes["edge"].fetch(JOB, answer.blob, answer.size_bytes, 3, tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_refusals_are_each_worker_s_own(boxes: dict[str, Mailbox], offer: Offer, tmp_path: Path) -> None:
    ids = {name: boxes[name].keys.own.id for name in ("one", "two")}
    boxes["one"].decline(JOB, "base not here")
    put(tmp_path, f"refused-{ids['two']}.json", content(tmp_path, f"refused-{ids['one']}.json"))
    assert boxes["edge"].declined(JOB, list(ids.values())) == {ids["one"]: "base not here"}
