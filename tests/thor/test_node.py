"""What a node of a cluster does with one job, without the cluster: the same generator, its items read here."""
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_sleep.model.base import BaseSource, fingerprint
from edge_sleep.system.files import sha256_file
from edge_sleep.thor import carried, job, node
from edge_sleep.thor.node import Parcel
from tests import micro
from tests.thor.fleet import Fleet


class Sent:
    """One home's job, as a worker hands it to a node that has no base of its own."""

    def __init__(self, root: Path, model: Path):
        self.root, self.model = root, model
        self.fleet = Fleet(root / "fleet", model)
        self.fleet.send("home")
        lesson = root / "fleet" / "home" / "lesson"
        self.files = {"job.json": (lesson / f"{self.fleet.sent['home'][0]}.json").read_bytes(),
                      "examples.jsonl": (lesson / "examples.jsonl").read_bytes()}
        self.sha256 = fingerprint(BaseSource("m", model))[0]
        self.config = node.settings(self.fleet.config("thor.bases=[]", f"thor.node_cache={root / 'cache'}"))
        self.fetched = 0

    def fetch(self, piece: bytes) -> bytes:
        self.fetched += 1
        return piece

    def base(self) -> dict[str, tuple[str, list[bytes]]]:
        place = BaseSource("m", self.model)
        return {str(file.relative_to(self.model)): (sha256_file(file), list(carried.pieces(file, 4096)))
                for file in carried.files_of_a_base(place)}

    def do(self, base: dict | None, reached: dict[str, bytes] | None = None, **files: bytes) -> Iterator[node.Item]:
        return node.do(Parcel(self.files | files, reached or {}, self.config, base, self.fetch), "here")

    def left(self) -> list[str]:
        jobs = self.root / "cache" / "jobs"
        return sorted(file.name for file in jobs.iterdir()) if jobs.is_dir() else []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return micro.make_model(tmp_path_factory.mktemp("node") / "model")


@pytest.fixture
def sent(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Sent:
    monkeypatch.setattr(node, "_verified_once", set())
    return Sent(tmp_path, model)


def told(items: list[node.Item], kind: str) -> list[dict[str, Any]]:
    return [said for name, said in items if name == kind]


@pytest.mark.night
def test_a_job_is_trained_and_nothing_of_it_stays(sent: Sent) -> None:
    assert [kind for kind, _ in sent.do(None)] == ["started", "wanted"]
    items = list(sent.do(sent.base()))
    [ended] = told(items, "ended")
    assert ended["stopped"] is None and set(ended["files"]) == {f"candidate/{name}" for name in (
        "adapter_model.safetensors", "adapter_config.json", "manifest.json")}
    assert len(told(items, "state")) >= 2 and [one["step"] for one in told(items, "event") if one["event"] == "step"][:2] == [1, 2]
    assert sent.left() == [] and b"lies in the harbour" not in b"".join(file.read_bytes() for file in (sent.root / "cache").rglob("*") if file.is_file())

    # Its base is placed, and is not fetched again; from a step that was saved it makes the same adapter.
    fetched, reached = sent.fetched, told(items, "state")[1]
    again = list(sent.do(sent.base(), reached))
    assert sent.fetched == fetched
    step = next(name for name in reached if name.endswith("progress.json")).partition("/")[0]
    assert [one["step"] for one in told(again, "event") if one["event"] == "resume"] == [step]
    assert told(again, "ended")[0]["facts"]["candidate"] == ended["facts"]["candidate"]


@pytest.mark.night
def test_what_is_taken_back_stops_at_its_next_boundary(sent: Sent) -> None:
    running = sent.do(sent.base())
    for kind, said in running:
        if kind == "event" and said["event"] == "step":
            break
    running.close()
    assert sent.left() == []


def test_what_a_killed_process_left_is_swept(sent: Sent) -> None:
    jobs = sent.root / "cache" / "jobs"
    (jobs / "dead-1").mkdir(parents=True)
    (jobs / "dead-1" / "examples.jsonl").write_text("words")
    (jobs / "dead-1.lock").touch()
    with node._folder(jobs, "mine") as mine, node._folder(jobs, "other"):
        assert mine.is_dir() and sent.left() == sorted(f"{name}-{os.getpid()}{end}" for name in ("mine", "other") for end in ("", ".lock"))
    assert sent.left() == []


def test_a_base_that_arrives_damaged_is_not_placed(sent: Sent) -> None:
    base = sent.base()
    base["config.json"] = (base["config.json"][0], [b"{}"])
    items = list(sent.do(base))
    assert told(items, "failed")[0]["kind"] == "IntegrityError" and "config.json" in told(items, "failed")[0]["message"]
    assert not (sent.root / "cache" / "bases" / sent.sha256).exists()


def test_another_base_under_its_name_is_removed(sent: Sent) -> None:
    base = sent.base()
    config = b'{"model_type": "other"}'
    (sent.root / "other").write_bytes(config)
    items = list(sent.do(base | {"config.json": (sha256_file(sent.root / "other"), [config])}))
    assert "is removed" in told(items, "failed")[0]["message"]
    assert not (sent.root / "cache" / "bases" / sent.sha256).exists()


def test_a_node_without_room_can_do_no_job(sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node, "publish_folder", full)
    [said] = told(list(sent.do(sent.base())), "unfit")
    assert "no space left while writing" in said["reason"] and not (sent.root / "cache" / "bases" / sent.sha256).exists()


def test_a_document_that_is_none_fails_by_name(sent: Sent) -> None:
    items = list(sent.do(None, **{"job.json": b"{}"}))
    assert told(items, "failed")[0]["kind"] == "RemoteRefused"
    with pytest.raises(Exception, match="schema"):
        job.read(b"{}", job.Job, "it")
