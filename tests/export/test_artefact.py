from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from edge_sleep.checkpoint import manifest
from edge_sleep.errors import IntegrityError, StorageError
from edge_sleep.export import artefact
from edge_sleep.export.artefact import Plan
from tests.export import tiny as made

WHEN = made.CREATED


def fill(out):
    (out / "part.bin").write_bytes(b"x" * 1000)
    return {"sites": [1]}


@pytest.fixture
def plan(own_tiny):
    return Plan("onnx", own_tiny.base, settings={"form": "fp32"})


def on(home, below):
    return Plan("onnx", below.base, {"id": "0123456789abcdef", "sha256": "a" * 64}, {}, artefact.make(home, below, WHEN, fill)[0])


def test_what_is_there_and_whole_is_not_made_twice(own_tiny, plan):
    made_, anew = artefact.make(own_tiny.home, plan, WHEN, fill)
    assert anew and artefact.problems(own_tiny.home, made_.folder, own_tiny.base.sha256) == []
    assert artefact.make(own_tiny.home, plan, WHEN, lambda out: pytest.fail("made twice")) == (made_, False)
    assert made_.document["sites"] == [1] and made_.entry(own_tiny.home)["path"] == f"exports/onnx/{plan.id}/manifest.json"


def test_names_say_what_decides_the_bytes(own_tiny, plan):
    others = [replace(plan, settings={"form": "int8"}), replace(plan, kind="gguf"),
              *(replace(plan, base=replace(plan.base, **{key: "another"})) for key in ("sha256", "compute_dtype", "quantisation"))]
    assert len({plan.id, *(other.id for other in others)}) == 6
    assert plan.id.startswith("base-") and replace(plan, base=replace(plan.base, cache=None)).id == plan.id


@pytest.mark.parametrize("how, said", [
    ("flip", "part.bin does not match its sha256: a byte changed"), ("cut", "part.bin has 999 bytes, not 1000"),
    ("gone", "part.bin is missing"), ("more", "no manifest lists more.bin"), ("no manifest", "has no manifest.json"),
    ("edited manifest", "does not match its sha256"), ("torn manifest", "is not readable JSON"), ("moved", "folder elsewhere holds")])
def test_what_is_wrong_is_named_and_made_again(own_tiny, plan, how, said):
    folder = artefact.make(own_tiny.home, plan, WHEN, fill)[0].folder
    part, listed = folder / "part.bin", folder / manifest.NAME
    if how == "flip":
        part.write_bytes(b"x" * 999 + b"y")
    elif how == "cut":
        part.write_bytes(b"x" * 999)
    elif how == "gone":
        part.unlink()
    elif how == "more":
        (folder / "more.bin").write_bytes(b"")
    elif how == "no manifest":
        listed.unlink()
    elif how == "edited manifest":
        listed.write_text(listed.read_text().replace('"bytes": 1000', '"bytes": 1001'))
    elif how == "torn manifest":
        listed.write_text(listed.read_text()[:-10])
    else:
        shutil.copytree(folder, folder.parent / "elsewhere")
        folder = folder.parent / "elsewhere"
    found = artefact.problems(own_tiny.home, folder)
    assert len(found) == 1 and said in found[0]
    if how != "moved":
        again, anew = artefact.make(own_tiny.home, plan, WHEN, fill)
        assert anew and artefact.problems(own_tiny.home, again.folder) == []
        assert [path.name for path in folder.parent.iterdir()] == [plan.id]


def test_an_adapter_is_bound_to_the_base_it_was_made_for(own_tiny, plan):
    home = own_tiny.home
    upper, _ = artefact.make(home, on(home, plan), WHEN, fill)
    assert artefact.problems(home, upper.folder, plan.base.sha256) == []
    below = artefact.place(home, "onnx", plan.id)
    (below / "part.bin").write_bytes(b"y" * 1000)
    assert any("a byte changed" in problem for problem in artefact.problems(home, upper.folder))
    artefact.make(home, plan, WHEN, lambda out: (out / "part.bin").write_bytes(b"z" * 1000) and None)
    assert artefact.problems(home, upper.folder) == [f"export onnx/0123456789abcdef was made for another content of onnx/{plan.id}"]
    shutil.rmtree(below)
    assert "has no manifest.json" in artefact.problems(home, upper.folder)[0]
    assert "is of another base" in artefact.problems(home, upper.folder, "f" * 64)[0]


def test_what_fails_while_it_is_made_leaves_nothing(own_tiny, plan):
    def half(out):
        (out / "part.bin").write_bytes(b"x")
        raise StorageError("no space left")

    with pytest.raises(StorageError):
        artefact.make(own_tiny.home, plan, WHEN, half)
    assert list((own_tiny.home.exports / "onnx").iterdir()) == []


def test_another_machines_export_is_taken_where_it_is_the_same(own_tiny, plan, tmp_path):
    there = artefact.make(own_tiny.home, plan, WHEN, fill)[0].folder
    carried = tmp_path / "usb" / "whatever"
    shutil.copytree(there, carried)
    shutil.rmtree(there)
    taken = artefact.take(own_tiny.home, plan, carried)
    assert taken.folder == there and artefact.problems(own_tiny.home, there, own_tiny.base.sha256) == []
    for other, said in ((replace(plan, settings={"form": "int8"}), "settings.form fp32 where int8 is asked"),
                        (replace(plan, base=replace(plan.base, sha256="f" * 64)), "base.sha256"),
                        (replace(plan, kind="gguf"), "kind onnx where gguf is asked")):
        with pytest.raises(IntegrityError, match=said):
            artefact.take(own_tiny.home, other, carried)
    (carried / "part.bin").write_bytes(b"y" * 1000)
    with pytest.raises(IntegrityError, match="is not whole: .*part.bin does not match its sha256"):
        artefact.take(own_tiny.home, plan, carried)
    assert json.loads((there / manifest.NAME).read_text()) == taken.document


def test_a_base_export_that_only_changed_inside_still_serves_to_make_something_beside_it(own_tiny, plan):
    folder = artefact.make(own_tiny.home, plan, WHEN, fill)[0].folder
    (folder / "part.bin").write_bytes(b"y" * 1000)
    assert artefact.existing(own_tiny.home, plan) is None
    assert artefact.existing(own_tiny.home, plan, hashed=False) is not None
    (folder / "part.bin").write_bytes(b"y")
    assert artefact.existing(own_tiny.home, plan, hashed=False) is None
