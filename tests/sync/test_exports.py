"""A base export that a bigger machine made is fetched by the smaller one, as its own would be named, or refused by name."""
from __future__ import annotations

from dataclasses import replace

from edge_sleep.export import artefact
from edge_sleep.sync import outbox
from tests.sync.homes import Machine, files


def make(one: Machine, content: bytes = b"weights" * 500) -> artefact.Made:
    """What `export base --for ort` leaves, as far as its files go."""
    def fill(folder) -> dict:
        (folder / "model.onnx").write_bytes(b"graph")
        (folder / "model.onnx.data").write_bytes(content)
        return {"sites": []}

    return artefact.make(one.home, artefact.Plan("onnx", one.base, settings={"form": "int8"}), "2026-01-17T23:00:00+00:00", fill)[0]


def test_a_base_export_travels(two) -> None:
    made = make(two.thor)
    assert outbox.queue_export(two.thor.home, two.clock, "onnx", made.document["id"])
    assert {(item["kind"], item["id"]) for item in two.thor.push().sent} == {("export", made.document["id"])}
    pulled = two.orin.pull()
    assert pulled.fetched == [] and "sync pull --exports" in pulled.left[0]["why"]         # large: not without being asked
    assert [item["id"] for item in two.orin.pull(exports=("onnx",)).fetched] == [made.document["id"]]
    there = artefact.place(two.orin.home, "onnx", made.document["id"])
    assert files(there) == files(made.folder) and artefact.problems(two.orin.home, there, two.orin.base.sha256) == []
    assert two.orin.pull(exports=("onnx",)).fetched == []


def test_one_of_another_arithmetic_is_refused_by_name(two) -> None:
    made = make(two.thor)
    outbox.queue_export(two.thor.home, two.clock, "onnx", made.document["id"])
    two.thor.push()
    two.orin.base = replace(two.orin.base, compute_dtype="bfloat16")
    pulled = two.orin.pull(exports=("onnx",))
    assert pulled.fetched == [] and "would be base-" in pulled.refused[0]["why"]
    assert not (two.orin.home.exports / "onnx").exists() or not list((two.orin.home.exports / "onnx").iterdir())


def test_a_damaged_one_is_not_sent(two) -> None:
    made = make(two.thor)
    outbox.queue_export(two.thor.home, two.clock, "onnx", made.document["id"])
    (made.folder / "model.onnx").write_bytes(b"grapH")
    assert "sha256" in two.thor.push().kept[0]["why"] and files(two.remote) == {}
